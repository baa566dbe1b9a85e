#!/bin/sh
# Checks the source: clang-format, clang-tidy, cppcheck, shellcheck, and whether README.md and docs/performance.md are up to date.
# Skips files that have not changed since they last passed.
# Usage: scripts/lint.sh INCLUDE OUT
# INCLUDE is the folder of the libraries' headers, OUT the one of the generated and built files.
# Exit status: 0 if nothing was found; 1 if something was, or a tool is missing.
# shellcheck disable=SC2089,SC2090 # the quotes in `flags` are part of the values
set -eu
# shellcheck source-path=SCRIPTDIR source=lint-lib.sh
. scripts/lint-lib.sh

self=lint
include=$1
out=$2

missing=
for tool in clang-format clang-tidy cppcheck shellcheck python3; do
    command -v "$tool" >/dev/null || missing="$missing $tool"
done
if [ -n "$missing" ]; then
    echo "lint: missing:$missing; install with: apt-get install$missing" >&2
    exit 1
fi

# Any well-formed values: the linters do not depend on them.
flags="-DNAME=\"a\" -DVERSION=\"1.2.3\" -DCOMMIT=\"unknown\" -DDESCRIPTION=\"a\" -DBUILD_DATE=\"1970-01-01T00:00:00Z\" \
-D_GNU_SOURCE -I$out"
libraries=$(find tests/support scripts deps -name '*.sh' ! -perm -u+x | tr '\n' ' ')
export include flags libraries

sources=$(find src tests bench -name '*.c')
headers=$(find include tests -name '*.h')
scripts=$(find deploy deps scripts tests bench .ci -type f -exec grep -lE '^#!/bin/(ba)?sh' {} +)
use_stamps "$include" "$flags" "$(clang-format --version)" "$(clang-tidy --version)" "$(cppcheck --version)" "$(shellcheck --version)"

# check_files TOOL ADVICE FILE...: checks those that have changed, on all processors.
check_files() {
    tool=$1 advice=$2 total=$(($# - 2)) changed=
    shift 2
    for file; do
        has_passed "$tool/$file" || changed="$changed $file"
    done
    # shellcheck disable=SC2086 # a list
    set -- $changed
    say "$tool: $# of $total files"
    [ $# = 0 ] || printf '%s\n' "$@" | xargs -P "$(nproc)" -n 1 scripts/lint-file.sh "$tool" || fail "$tool" "$advice"
}

# check NAME INPUTS COMMAND...: checks everything if one of INPUTS, a list, has changed.
check() {
    name=$1 inputs="$2 scripts/lint.sh"
    shift 2
    if has_passed "$name"; then
        say "$name: unchanged"
        return
    fi
    say "$name"
    start "$name"
    # shellcheck disable=SC2086 # a list
    if "$@"; then pass "$name" $inputs; else fail "$name"; fi
}

# shellcheck disable=SC2317 # called by check
# Newer versions report normalCheckLevelMaxBranches, which says how far they looked.
run_cppcheck() {
    # shellcheck disable=SC2086 # a list
    cppcheck --quiet --std=c11 --error-exitcode=1 --inline-suppr -j "$(nproc)" --cppcheck-build-dir="$stamps/cppcheck-data" \
        --enable=warning,style,performance,portability --suppress="*:$include/*" --suppress=normalCheckLevelMaxBranches \
        -Iinclude -I"$include" $flags src bench
}

mkdir -p "$stamps/cppcheck-data"
# shellcheck disable=SC2086 # lists of names without spaces
check_files clang-format 'run make format' $sources $headers
# shellcheck disable=SC2086
check_files clang-tidy '' $sources
check cppcheck 'src include bench' run_cppcheck
# shellcheck disable=SC2086
check_files shellcheck '' $scripts
check 'settings in README.md' "README.md $out/tests/tools/settings_table" \
    scripts/settings-table.sh "$out/tests/tools/settings_table" README.md --check
check 'figures in docs/performance.md' 'docs bench' bench/report.py docs --check
exit "$failed"
