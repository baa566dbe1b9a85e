#!/bin/sh
# What tests/run.sh makes of programs that pass, fail, skip, die or print anything at all: its summary, its exit
# status and junit.xml. Run it from the root of the project.
set -eu
. tests/support/check.sh

# What the run that this is part of was told is not for the programs here.
unset VALGRIND SERIAL RUNNER

# program NAME: makes a test program of the script on stdin.
program() {
    { echo '#!/bin/sh' && cat; } >"$scratch/$1"
    chmod +x "$scratch/$1"
}

# run STATUS NAME...: runs the programs and expects the exit status. The output is in $scratch/output.
run() {
    expected=$1
    shift
    programs=
    for name; do programs="$programs $scratch/$name"; done
    status=0
    # shellcheck disable=SC2086 # a list of names without spaces
    tests/run.sh "$scratch/logs" $programs >"$scratch/output" 2>&1 || status=$?
    expect_equal "$status" "$expected"
}

# expect_summary TEXT: the last line of the output.
expect_summary() { expect_equal "$(tail -n 1 "$scratch/output")" "$1"; }

# expect_xml LINE...: each is a line of junit.xml, whatever times it has.
expect_xml() {
    sed 's/ time="[0-9]*\.[0-9][0-9][0-9]"//' "$scratch/logs/junit.xml" >"$scratch/xml"
    for line; do
        grep -qxF -- "$line" "$scratch/xml" || fail "no line '$line' in: $(cat "$scratch/xml")"
    done
}

# expect_well_formed: says a parser, where there is one.
expect_well_formed() {
    if command -v python3 >/dev/null; then
        python3 -c 'import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])' "$1" || fail "malformed: $(cat "$1")"
    elif command -v xmllint >/dev/null; then
        xmllint --noout "$1" || fail "malformed: $(cat "$1")"
    else
        skip 'neither python3 nor xmllint is there'
    fi
}

passing_and_skipping_programs_pass() {
    program good <<'PROGRAM'
echo '[ RUN      ] one'
printf 'no end of line[       OK ] one\n'
echo '[ RUN      ] two'
echo 'skipped: not here'
echo '[  SKIPPED ] two'
echo '[  PASSED  ] 1 test(s).'
echo '[  SKIPPED ] 1 test(s).'
PROGRAM
    run 0 good
    expect_summary '1 passed, 0 failed, 1 skipped'
    expect_equal "$(sed 's/ time="[0-9]*\.[0-9][0-9][0-9]"//' "$scratch/logs/junit.xml")" '<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
<testsuite name="good" tests="2" failures="0" errors="0" skipped="1">
<testcase classname="good" name="one"></testcase>
<testcase classname="good" name="two"><skipped message="not here"/></testcase>
</testsuite>
</testsuites>'
    expect_equal "$(grep -c ' time="[0-9]*\.[0-9][0-9][0-9]"' "$scratch/logs/junit.xml")" 1
}

failing_test_fails_with_what_it_said() {
    program bad <<'PROGRAM'
echo '[ RUN      ] one'
echo '[       OK ] one'
echo '[ RUN      ] two'
echo '1 < 2 && "so"'
echo '[  FAILED  ] two'
echo '[  PASSED  ] 1 test(s).'
echo '[  FAILED  ] 1 test(s), listed below:'
echo '[  FAILED  ] two'
exit 1
PROGRAM
    run 1 bad
    expect_summary '1 passed, 1 failed, 0 skipped'
    expect_xml '<testsuite name="bad" tests="2" failures="1" errors="0" skipped="0">' \
        '<testcase classname="bad" name="one"></testcase>' \
        '<testcase classname="bad" name="two"><failure message="failed">[ RUN      ] two' '1 &lt; 2 &amp;&amp; &quot;so&quot;'
    ! grep -qF '[       OK ] one' "$scratch/xml" || fail 'the log of another test'
}

dying_program_is_a_failed_test() {
    program dying <<'PROGRAM'
echo '[ RUN      ] one'
echo '[       OK ] one'
echo '[ RUN      ] two'
kill -SEGV $$
PROGRAM
    program idle </dev/null
    run 1 dying idle
    expect_summary '0 passed, 2 failed, 0 skipped'
    expect_xml '<testsuite name="dying" tests="2" failures="1" errors="0" skipped="0">' \
        '<testcase classname="dying" name="dying"><failure message="exit status 139 in two">[ RUN      ] one' \
        '<testsuite name="idle" tests="1" failures="1" errors="0" skipped="0">' \
        '<testcase classname="idle" name="idle"><failure message="ran no test"></failure></testcase>'
    expect_well_formed "$scratch/logs/junit.xml"
}

# All bytes, what would end XML's constructs, and what only looks like a result.
strange_bytes_are_taken() {
    program strange <<'PROGRAM'
echo '[ RUN      ] one'
awk 'BEGIN { for (i = 0; i < 256; i++) printf "%c", i }'
printf '\357\277\277\355\240\200\300\200 ]]> <!-- </failure> <![CDATA[ &#0; & \\& \033[31m\r\n'
echo '[       OK ] another'
echo "[  FAILED  ] one"
printf '[ RUN      ] "<\377\001&>"\n'
printf '[  FAILED  ] "<\377\001&>"\n'
echo '[  FAILED  ] 2 test(s).'
awk 'BEGIN { for (i = 0; i < 20000; i++) printf "<"; for (i = 0; i < 300; i++) print "&" }'
exit 1
PROGRAM
    LC_ALL=C.UTF-8 run 1 strange
    expect_summary '0 passed, 2 failed, 0 skipped'
    expect_xml '<testsuite name="strange" tests="2" failures="2" errors="0" skipped="0">'
    expect_well_formed "$scratch/logs/junit.xml"
}

# The end of a log says why; all of it could be megabytes.
long_log_is_cut() {
    program long <<'PROGRAM'
awk 'BEGIN { for (i = 0; i < 5000; i++) print "line " i; for (i = 0; i < 5000; i++) printf "x" }'
exit 3
PROGRAM
    run 1 long
    expect_xml 'line 4999'
    ! grep -qxF 'line 4900' "$scratch/xml" || fail 'not cut'
    [ "$(wc -c <"$scratch/logs/junit.xml")" -lt 5000 ] || fail 'a long line is not cut'
}

run_tests passing_and_skipping_programs_pass failing_test_fails_with_what_it_said dying_program_is_a_failed_test \
    strange_bytes_are_taken long_log_is_cut
