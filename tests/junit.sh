#!/bin/sh
# Prints what test programs have said as JUnit XML, which CI systems show: a suite a program, a case a test,
# and why it failed or was skipped.
# Usage: tests/junit.sh LOGS PROGRAM...
# LOGS has of each program NAME.log, NAME.status and NAME.time (seconds), as run.sh leaves them.
# A program that ends badly without naming a failed test, or ran none, is one more case, failed, with its name.
set -eu

logs=$1
shift

# What is not printable ASCII becomes '?': no byte of a log can make the file malformed.
printable() { LC_ALL=C tr -c '\n\t -~' '?'; }

# suite NAME
suite() {
    read -r status <"$logs/$1.status"
    read -r time <"$logs/$1.time"
    printable <"$logs/$1.log" | awk -v suite="$(printf %s "$1" | printable)" -v status="$status" -v time="$time" '
        function xml(text) {
            gsub(/&/, "\\&amp;", text)
            gsub(/</, "\\&lt;", text)
            gsub(/>/, "\\&gt;", text)
            gsub(/"/, "\\&quot;", text)
            return text
        }
        # The last lines since FROM: the reason is there, and a log can be long.
        function tail(from, text) {
            if (from < NR - 99) from = NR - 99
            for (; from <= NR; from++) text = text xml(line[from]) "\n"
            return text
        }
        function testcase(name, inside) {
            tests++
            cases = cases "<testcase classname=\"" xml(suite) "\" name=\"" xml(name) "\">" inside "</testcase>\n"
            current = ""
        }
        function failure(name, message, from) {
            failures++
            testcase(name, "<failure message=\"" xml(message) "\">" tail(from) "</failure>")
        }
        # Also after what the test printed without an end of line.
        function ends(how) {
            how = how " " current
            return current != "" && substr($0, length($0) - length(how) + 1) == how
        }

        { line[NR] = substr($0, 1, 1000) }
        /^skipped: / { reason = substr(line[NR], 10) }
        match($0, /\[ RUN      \] /) { current = substr(line[NR], RSTART + RLENGTH); first = NR; reason = "" }
        ends("[       OK ]") { testcase(current) }
        ends("[  FAILED  ]") { failure(current, "failed", first) }
        ends("[  SKIPPED ]") { skipped++; testcase(current, "<skipped message=\"" xml(reason) "\"/>") }
        END {
            if (status != 0 && !failures) failure(suite, "exit status " status (current == "" ? "" : " in " current), 1)
            if (!tests) failure(suite, "ran no test", 1)
            print "<testsuite name=\"" xml(suite) "\" tests=\"" tests "\" failures=\"" failures + 0 "\" errors=\"0\" skipped=\"" \
                skipped + 0 "\" time=\"" time "\">"
            printf "%s", cases
            print "</testsuite>"
        }'
}

echo '<?xml version="1.0" encoding="UTF-8"?>'
echo '<testsuites>'
for program; do
    suite "${program##*/}"
done
echo '</testsuites>'
