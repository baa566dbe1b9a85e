#!/bin/sh
# Prints the results of test programs as JUnit XML: one test suite per program.
# Usage: tests/junit.sh LOGS PROGRAM...
# Reads NAME.log, NAME.status and NAME.time (seconds) of each program from LOGS, and writes one line per skipped test and one
# per failed test, with its first failed assertion, to LOGS/summary.
# A program that exits with an error without naming a failed test, or runs no test, is reported as one more failed test.
set -eu

logs=$1
shift

# Replaces everything but printable ASCII: no byte of a log can make the XML malformed.
printable() { LC_ALL=C tr -c '\n\t -~' '?'; }

# suite NAME
suite() {
    read -r status <"$logs/$1.status"
    read -r time <"$logs/$1.time"
    printable <"$logs/$1.log" | awk -v suite="$(printf %s "$1" | printable)" -v status="$status" -v time="$time" -v summary="$logs/summary" '
        function xml(text) {
            gsub(/&/, "\\&amp;", text)
            gsub(/</, "\\&lt;", text)
            gsub(/>/, "\\&gt;", text)
            gsub(/"/, "\\&quot;", text)
            return text
        }
        # The last 100 lines since FROM: the reason is at the end, and a log can be long.
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
            print "FAILED " suite ": " (name == suite ? "" : name ": ") message >>summary
            testcase(name, "<failure message=\"" xml(message) "\">" tail(from) "</failure>")
        }
        # The result may follow output of the test without an end of line.
        function ends(how) {
            how = how " " current
            return current != "" && substr($0, length($0) - length(how) + 1) == how
        }

        { line[NR] = substr($0, 1, 1000) }
        /^skipped: / { reason = substr(line[NR], 10) }
        match($0, /\[ RUN      \] /) { current = substr(line[NR], RSTART + RLENGTH); first = NR; reason = assertion = place = "" }
        /^\[  ERROR   \] --- |^FAILED: / && assertion == "" { assertion = line[NR]; sub(/^\[[^-]*--- |^FAILED: /, "", assertion) }
        /^\[   LINE   \] --- / && place == "" { place = line[NR]; sub(/^\[[^-]*--- /, "", place); sub(/ error: .*/, " ", place) }
        ends("[       OK ]") { testcase(current) }
        ends("[  FAILED  ]") { failure(current, place (assertion == "" ? "failed" : assertion), first) }
        ends("[  SKIPPED ]") {
            skipped++
            print "skipped: " suite ": " current (reason == "" ? "" : ": " reason) >>summary
            testcase(current, "<skipped message=\"" xml(reason) "\"/>")
        }
        END {
            if (status != 0 && !failures) failure(suite, "exit status " status (current == "" ? "" : " in " current), 1)
            if (!tests) failure(suite, "ran no test", 1)
            print "<testsuite name=\"" xml(suite) "\" tests=\"" tests "\" failures=\"" failures + 0 "\" errors=\"0\" skipped=\"" \
                skipped + 0 "\" time=\"" time "\">"
            printf "%s", cases
            print "</testsuite>"
        }'
}

: >"$logs/summary"
echo '<?xml version="1.0" encoding="UTF-8"?>'
echo '<testsuites>'
for program; do
    suite "${program##*/}"
done
echo '</testsuites>'
