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

targets=$(for file in tests/fuzz/fuzz_*.c; do basename "$file" .c; done | sed 's/^fuzz_//' | paste -sd ' ')

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
    command -v "${CC%% *}" >/dev/null || die "$CC is missing; install with: apt-get install clang libclang-rt-dev" 1
    probe=$(mktemp)
    trap 'rm -f "$probe"' EXIT
    # shellcheck disable=SC2086 # CC may have arguments
    echo 'int LLVMFuzzerTestOneInput(const char *data, long size) { return data[0] == 0 && size == 0; }' |
        $CC -fsanitize=fuzzer,address,undefined -x c -o "$probe" - 2>/dev/null ||
        die "$CC has no libFuzzer; install with: apt-get install clang libclang-rt-dev" 1
}

# fuzz TARGET: runs a target and writes its exit status to log/TARGET.status.
fuzz() {
    seeds=$folder/seeds/$1 status=0
    mkdir -p "$folder/corpus/$1" "$seeds"
    FUZZ_SEEDS=$seeds "$programs/fuzz_$1" -max_total_time="$share" -seed="$seed" -detect_leaks=1 -timeout=25 -rss_limit_mb=1024 \
        -print_final_stats=1 -dict=tests/fuzz/http.dict -artifact_prefix="$folder/findings/$1-" \
        "$folder/corpus/$1" "$seeds" >"$folder/log/$1.log" 2>&1 || status=$?
    echo "$status" >"$folder/log/$1.status"
}

# report TARGET: prints a summary of libFuzzer's output.
report() {
    log=$folder/log/$1.log
    if [ "$(cat "$folder/log/$1.status")" = 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        grep -vE '^#|^INFO|NEW_FUNC' "$log" | head -n 60
        input=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
        echo "fuzz: $1: FAILED: ${input:-no input, see $log}"
        [ -z "$input" ] || echo "fuzz: $1: repeat with: $programs/fuzz_$1 $input"
    fi
    printf '%-12s %9s executions %7s/s  coverage %5s, features %6s\n' "$1" \
        "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" \
        "$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")" \
        "$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)" \
        "$(sed -n 's/.* ft: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)"
}

run() {
    programs=$1
    folder=$2
    chosen=${TARGET:-$targets}
    cpus=$(nproc)
    count=$(echo "$chosen" | wc -w)
    share=$((FUZZ_SECONDS / ((count + cpus - 1) / cpus)))
    seed=$(date +%s)
    # Without llvm-symbolizer, binutils names the lines.
    export ASAN_OPTIONS="allow_addr2line=1:${ASAN_OPTIONS-}"
    mkdir -p "$folder/findings" "$folder/log"
    rm -rf "$folder"/log/* "$folder/seeds"
    echo "fuzz: seed $seed, $share s a target, $cpus at once"
    pids='' started=0
    trap 'kill $pids; exit 130' INT TERM # background jobs ignore the keyboard
    for target in $chosen; do
        fuzz "$target" &
        pids="$pids $!"
        started=$((started + 1))
        [ $((started % cpus)) != 0 ] || wait
    done
    wait
    trap - INT TERM
    passed=0 failed=0
    for target in $chosen; do report "$target"; done
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ]
}

case ${1-} in
check) check ;;
run) run "$2" "$3" ;;
*) die "'${1-}' is not check or run" 2 ;;
esac
