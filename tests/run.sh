#!/bin/sh
# Runs test programs, all at once (SERIAL=1: one by one), and sums up what they say.
# Usage: tests/run.sh LOGS PROGRAM...
# LOGS is the folder for what each program prints, and for junit.xml, which CI systems read. A program ends with 0 when all of its tests passed
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

# run PROGRAM: leaves its output in NAME.log, its exit status in NAME.status and the seconds that it took in NAME.time.
run() {
    name=${1##*/}
    started=$(date +%s%N)
    # shellcheck disable=SC2086 # words
    case $VALGRIND:$1 in
    1:*/unit/*) set -- $memcheck "$1" ;;
    esac
    status=0
    "$@" >"$logs/$name.log" 2>&1 || status=$?
    echo "$status" >"$logs/$name.status"
    took=$((($(date +%s%N) - started) / 1000000))
    printf '%d.%03d\n' $((took / 1000)) $((took % 1000)) >"$logs/$name.time"
}

# counts LOG: how many tests a program says have passed, failed and were skipped; and on a line each the names of those
# skipped.
counts() {
    awk '/^\[ +(PASSED|FAILED|SKIPPED) +\] (tests: )?[0-9]+ test\(s\)/ { sub(/tests: /, ""); count[$2] = $4 }
        /^\[  SKIPPED \] [a-z0-9_]+$/ && !named[$4]++ { names = names "\nskipped: " $4 }
        END { print count["PASSED"] + 0, count["FAILED"] + 0, count["SKIPPED"] + 0 names }' "$1"
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
    name=${program##*/}
    read -r status <"$logs/$name.status"
    counts "$logs/$name.log" >"$logs/$name.counts"
    read -r p f s <"$logs/$name.counts"
    # A program that ends badly without naming a failed test has failed as a whole.
    [ "$status" = 0 ] || [ "$f" != 0 ] || f=1
    [ "$status" != 0 ] || [ "$((p + s))" != 0 ] || { f=1; echo "$name: ran no test"; }
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    if [ "$f" != 0 ]; then
        cat "$logs/$name.log"
        echo "$name: exit status $status"
    fi
    [ "$s" = 0 ] || sed 1d "$logs/$name.counts"
    printf '%-28s %4d passed %3d failed %3d skipped\n' "$name" "$p" "$f" "$s"
done
"$(dirname "$0")/junit.sh" "$logs" "$@" >"$logs/junit.xml"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ "$passed" != 0 ]
