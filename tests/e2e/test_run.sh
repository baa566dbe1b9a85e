#!/bin/sh
# Tests tests/run.sh: summary, exit status and junit.xml. Run it from the root of the project.
set -eu
. tests/support/check.sh

unset VALGRIND SERIAL VERBOSE RUNNER

# program NAME: makes a test program of the shell commands on stdin.
program() {
    { echo '#!/bin/sh' && cat; } >"$scratch/$1"
    chmod +x "$scratch/$1"
}

summarizes_passes_failures_and_crashes() {
    program good <<'PROGRAM'
printf '[ RUN      ] one\nno end of line[       OK ] one\n[  PASSED  ] 1 test(s).\n'
PROGRAM
    program bad <<'PROGRAM'
printf '[ RUN      ] one\n[  ERROR   ] --- 1 < 2\n[   LINE   ] --- a.c:7: error: Failure!\n[  FAILED  ] one\n[  FAILED  ] 1 test(s).\n'
exit 1
PROGRAM
    # shellcheck disable=SC2016 # the program expands it
    echo 'echo "[ RUN      ] two"; seq 300; kill -SEGV $$' | program dying
    ! tests/run.sh "$scratch/logs" "$scratch/good" "$scratch/bad" "$scratch/dying" >"$scratch/output" 2>&1 || fail 'exit status 0'
    expect_equal "$(tail -n 3 "$scratch/output")" 'FAILED bad: one: a.c:7: 1 < 2
FAILED dying: exit status 139 in two
1 passed, 2 failed, 0 skipped'
    ! grep -e good -e '^100$' "$scratch/output" || fail 'prints the log of good, or the whole log of dying'
    grep -qF '<testcase classname="bad" name="one"><failure message="a.c:7: 1 &lt; 2">' "$scratch/logs/junit.xml" || fail 'junit.xml'
    expect_equal "$(tests/run.sh "$scratch/logs" "$scratch/good")" '1 passed, 0 failed, 0 skipped'
}

run_tests summarizes_passes_failures_and_crashes
