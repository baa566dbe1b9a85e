# shellcheck shell=sh
# Runs shell functions as tests, with output like that of cmocka. Source it in test scripts.

# skip WHY: ends the current test as skipped; with NO_SKIP set, as failed.
skip() {
    [ -z "${NO_SKIP-}" ] || fail "must not be skipped: $1"
    echo "skipped: $1"
    exit 77
}

# needs TOOL...: skips the current test if a tool is not installed.
needs() {
    for tool; do
        command -v "$tool" >/dev/null || skip "$tool is not installed"
    done
}

# fail WHY: ends the current test as failed.
fail() {
    echo "FAILED: $1"
    exit 1
}

# expect_equal ACTUAL EXPECTED
expect_equal() {
    [ "$1" = "$2" ] || fail "got:
$1
expected:
$2"
}

# wait_until WHAT COMMAND...: waits until the command succeeds, at most PATIENCE (60) seconds.
wait_until() {
    awaited=$1 wait_ends=$(($(date +%s) + ${PATIENCE:-60}))
    shift
    until "$@"; do
        [ "$(date +%s)" -lt $wait_ends ] || fail "timed out waiting for: $awaited"
        sleep 0.05
    done
}

# run_tests FUNCTION...: runs each in a subshell with its own empty folder, $scratch. Returns 0 if none failed.
run_tests() {
    passed=0 failed=0 skipped=0
    for test; do
        scratch=$(mktemp -d)
        echo "[ RUN      ] $test"
        set +e # after "||" the shell would ignore "set -e" in the test
        (
            set -e
            "$test"
        )
        status=$?
        set -e
        rm -rf "$scratch"
        case $status in
        0) passed=$((passed + 1)) && echo "[       OK ] $test" ;;
        77) skipped=$((skipped + 1)) && echo "[  SKIPPED ] $test" ;;
        *) failed=$((failed + 1)) && echo "[  FAILED  ] $test" ;;
        esac
    done
    echo "[  PASSED  ] $passed test(s)."
    [ "$skipped" = 0 ] || echo "[  SKIPPED ] $skipped test(s)."
    [ "$failed" = 0 ] || echo "[  FAILED  ] $failed test(s)."
    [ "$failed" = 0 ]
}
