#!/bin/sh
# Runs test programs, all at once (SERIAL=1: one by one), and sums up what they say.
# Usage: tests/run.sh LOGS PROGRAM...
# LOGS is the folder for what each program prints. A program ends with 0 when all of its tests passed
# and closes as cmocka does: "[  PASSED  ] 3 test(s)." and so on.
# Environment: VALGRIND=1 runs the unit tests, and the program that the others test, under valgrind.
# Exit status: 0 when every program passed and at least one test ran, else 1.
set -eu

logs=$1
shift
rm -rf "$logs"
mkdir -p "$logs"

memcheck='valgrind --quiet --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite'
RUNNER=
[ -z "${VALGRIND-}" ] || RUNNER=$memcheck
export RUNNER

# Exit statuses that no test takes for the program's own.
ASAN_OPTIONS="exitcode=99:${ASAN_OPTIONS-}"
UBSAN_OPTIONS="exitcode=99:print_stacktrace=1:${UBSAN_OPTIONS-}"
TSAN_OPTIONS="exitcode=99:${TSAN_OPTIONS-}"
export ASAN_OPTIONS UBSAN_OPTIONS TSAN_OPTIONS

# run PROGRAM: leaves its output in NAME.log and its exit status in NAME.status.
run() {
    name=$(basename "$1")
    # shellcheck disable=SC2086 # words
    case $VALGRIND:$1 in
    1:*/unit/*) set -- $memcheck "$1" ;;
    esac
    status=0
    "$@" >"$logs/$name.log" 2>&1 || status=$?
    echo "$status" >"$logs/$name.status"
}

# count WORD NAME: the number of tests that a program says have passed, failed or were skipped.
count() {
    sed -nE "s/^\\[ +$1 +\\] (tests: )?([0-9]+) test\\(s\\).*/\\2/p" "$logs/$2.log" | tail -n 1 | grep . || echo 0
}

VALGRIND=${VALGRIND-}
pids=
trap 'kill $pids; exit 130' INT TERM # what runs in the background does not heed the keyboard
for program; do
    run "$program" &
    pids="$pids $!"
    [ -z "${SERIAL-}" ] || wait
done
wait
trap - INT TERM

passed=0 failed=0 skipped=0
for program; do
    name=$(basename "$program")
    status=$(cat "$logs/$name.status")
    p=$(count PASSED "$name") f=$(count FAILED "$name") s=$(count SKIPPED "$name")
    # A program that ends badly without naming a failed test has failed as a whole.
    [ "$status" = 0 ] || [ "$f" != 0 ] || f=1
    [ "$status" != 0 ] || [ "$((p + s))" != 0 ] || { f=1; echo "$name: ran no test"; }
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    if [ "$f" != 0 ]; then
        cat "$logs/$name.log"
        echo "$name: exit status $status"
    fi
    sed -n 's/^\[  SKIPPED \] \([a-z0-9_]*\)$/skipped: \1/p' "$logs/$name.log" | sort -u
    printf '%-28s %4d passed %3d failed %3d skipped\n' "$name" "$p" "$f" "$s"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ "$passed" != 0 ]
