#!/bin/sh
# Searches for inputs that break the expectations of the fuzz targets.
# Usage: tests/fuzz/fuzz.sh check | run PROGRAMS FOLDER
#   check  validates FUZZ_SECONDS, TARGET and CC before anything is built
#   run    runs the targets in the folder PROGRAMS, as many at once as there are CPUs, each for its share of the time.
#          FOLDER keeps corpus/TARGET/ (inputs that reach new code), seeds/TARGET/ (the initial corpus), findings/
#          (inputs that break something) and log/ (libFuzzer's output).
# Environment: FUZZ_SECONDS, the total time; TARGET, one of them (empty: all); CC, a clang. Run it from the root of the
# project.
# Exit status: 0 nothing found; 1 something found, or CC cannot build fuzz targets; 2 invalid setting.
set -eu

targets=$(basename -s .c tests/fuzz/fuzz_*.c | sed 's/^fuzz_//' | paste -sd ' ')

die() {
    echo "fuzz: $1" >&2
    exit "$2"
}

check() {
    # At least a second per target, even one after the other.
    lowest=$(echo "$targets" | wc -w)
    case $FUZZ_SECONDS in
    '' | 0* | *[!0-9]* | ??????*) allowed= ;;
    *) [ "$FUZZ_SECONDS" -lt "$lowest" ] || [ "$FUZZ_SECONDS" -gt 86400 ] || allowed=1 ;;
    esac
    [ -n "${allowed-}" ] || die "SECONDS: '$FUZZ_SECONDS' is not an integer from $lowest to 86400" 2
    case " $targets " in
    *" ${TARGET:-$targets} "*) ;;
    *) die "TARGET: '$TARGET' is not one of $targets" 2 ;;
    esac
    # shellcheck disable=SC2086 # CC may have arguments
    echo 'int LLVMFuzzerTestOneInput(const char *data, long size) { return data[0] == 0 && size == 0; }' |
        $CC -fsanitize=fuzzer,address,undefined -x c -o /dev/null - 2>/dev/null ||
        die "$CC is missing or has no libFuzzer; install with: apt-get install clang libclang-rt-dev" 1
}

# figure LOG EXPRESSION: the last match of a basic regular expression with one group.
figure() { sed -n "s/.*$2.*/\1/p" "$1" | tail -n 1; }

# fuzz PROGRAMS FOLDER SECONDS SEED TARGET: runs one target and reports. Returns 1 if it found something.
fuzz() {
    program=$1/fuzz_$5 folder=$2 log=$2/log/$5.log seeds=$2/seeds/$5 status=0
    mkdir -p "$folder/corpus/$5" "$seeds"
    # Without llvm-symbolizer, binutils names the lines.
    ASAN_OPTIONS="allow_addr2line=1:${ASAN_OPTIONS-}" FUZZ_SEEDS=$seeds "$program" -max_total_time="$3" -seed="$4" \
        -detect_leaks=1 -timeout=25 -rss_limit_mb=1024 -print_final_stats=1 -dict=tests/fuzz/http.dict \
        -artifact_prefix="$folder/findings/$5-" "$folder/corpus/$5" "$seeds" >"$log" 2>&1 || status=1
    printf '%-12s %9s executions %7s/s  coverage %5s, features %6s\n' "$5" \
        "$(figure "$log" 'number_of_executed_units: *\([0-9]*\)')" "$(figure "$log" 'average_exec_per_sec: *\([0-9]*\)')" \
        "$(figure "$log" ' cov: \([0-9]*\)')" "$(figure "$log" ' ft: \([0-9]*\)')"
    [ $status = 1 ] || return 0
    grep -vE '^#|^INFO|NEW_FUNC' "$log" | head -n 60
    input=$(figure "$log" 'Test unit written to \(.*\)')
    echo "fuzz: $5: FAILED: ${input:-no input, see $log}"
    [ -z "$input" ] || echo "fuzz: $5: repeat with: $program $input"
    touch "$log.failed"
    return 1
}

run() {
    chosen=${TARGET:-$targets} cpus=$(nproc) seed=$(date +%s)
    count=$(echo "$chosen" | wc -w)
    share=$((FUZZ_SECONDS / ((count + cpus - 1) / cpus)))
    mkdir -p "$2/findings" "$2/log"
    rm -rf "$2"/log/* "$2/seeds"
    echo "fuzz: seed $seed, $share s per target, $cpus at once"
    # xargs returns 123 if a target found something.
    echo "$chosen" | tr ' ' '\n' | xargs -P "$cpus" -n 1 "$0" fuzz "$1" "$2" "$share" "$seed" || :
    failed=$(find "$2/log" -name '*.failed' | wc -l)
    echo "$((count - failed)) passed, $failed failed"
    [ "$failed" = 0 ]
}

case ${1-} in
check | run | fuzz) "$@" ;;
*) die "'${1-}' is not check or run" 2 ;;
esac
