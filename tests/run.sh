#!/bin/sh
# Runs test programs and summarizes their results.
# Usage: tests/run.sh LOGS PROGRAM...
# Writes the output of each program and junit.xml (for CI systems) into the folder LOGS. Prints the output of the programs
# that failed, the name and first failed assertion of each failed test, and finally "N passed, N failed, N skipped".
# A program passes if its exit status is 0 and it ends as cmocka does: "[  PASSED  ] 3 test(s)." and so on.
# Environment: SERIAL=1 runs one program at a time instead of all at once; VERBOSE=1 prints one line per program, passed or not;
# VALGRIND=1 runs the unit tests, and the program under test, with valgrind.
# Exit status: 0 if every program passed and at least one test ran, otherwise 1.
set -eu

logs=$1
shift
rm -rf "$logs"
mkdir -p "$logs"

# Lines printed of the log of a failed program.
shown=200

VALGRIND=${VALGRIND-}
memcheck='valgrind --quiet --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite'
RUNNER=${VALGRIND:+$memcheck}
export RUNNER

# An exit status that the program under test never uses.
ASAN_OPTIONS="exitcode=99:${ASAN_OPTIONS-}"
UBSAN_OPTIONS="exitcode=99:print_stacktrace=1:${UBSAN_OPTIONS-}"
TSAN_OPTIONS="exitcode=99:${TSAN_OPTIONS-}"
export ASAN_OPTIONS UBSAN_OPTIONS TSAN_OPTIONS

# run PROGRAM: writes its output to NAME.log, its exit status to NAME.status and its duration in seconds to NAME.time.
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

# counts LOG: prints the numbers of tests that passed, failed and were skipped.
counts() {
    awk '/^\[ +(PASSED|FAILED|SKIPPED) +\] ([^ ]+: )?[0-9]+ test\(s\)/ { sub(/\] [^ ]+: /, "] "); count[$2] = $4 }
        END { print count["PASSED"] + 0, count["FAILED"] + 0, count["SKIPPED"] + 0 }' "$1"
}

# show_log NAME: prints the end of the log.
show_log() {
    lines=$(wc -l <"$logs/$1.log")
    [ "$lines" -le $shown ] || echo "... $((lines - shown)) lines omitted, full log: $logs/$1.log"
    tail -n $shown "$logs/$1.log"
}

pids=
trap 'kill $pids; exit 130' INT TERM # background jobs ignore Ctrl-C
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
    # A program that exits with an error, or without results, counts as one failed test.
    [ "$status" = 0 ] && [ "$((p + s))" != 0 ] || [ "$f" != 0 ] || f=1
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    [ "$f" = 0 ] || show_log "$name"
    [ "$f" = 0 ] && [ -z "${VERBOSE-}" ] ||
        printf '%-28s %4d passed %3d failed %3d skipped, exit status %d\n' "$name" "$p" "$f" "$s" "$status"
done
"$(dirname "$0")/junit.sh" "$logs" "$@" >"$logs/junit.xml"
cat "$logs/summary"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ "$passed" != 0 ]
