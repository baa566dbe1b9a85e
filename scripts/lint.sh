#!/bin/sh
# Looks for faults without running anything: formatting, clang-tidy, cppcheck, shellcheck, and whether
# the README's table of settings is the program's, and the figures of docs/bench.md those of its rounds.
# Usage: scripts/lint.sh INCLUDE OUT
# INCLUDE is the folder of the libraries' headers, OUT the one of what was generated and built.
# Exit status: 0 when nothing was found; 1 when something was, or a tool is missing.
set -eu

include=$1
out=$2
failed=0

# step NAME COMMAND...: runs a check and says how it went.
step() {
    name=$1
    shift
    if "$@"; then
        echo "lint: $name: no finding"
    else
        echo "lint: $name: FAILED"
        failed=1
    fi
}

missing=
for tool in clang-format clang-tidy cppcheck shellcheck python3; do
    command -v "$tool" >/dev/null || missing="$missing $tool"
done
if [ -n "$missing" ]; then
    echo "lint: missing:$missing; install with: apt-get install$missing" >&2
    exit 1
fi

# Values of the right form: what they are changes nothing that a linter sees.
set -- -DNAME='"a"' -DVERSION='"1.2.3"' -DCOMMIT='"unknown"' -DDESCRIPTION='"a"' \
    -DBUILD_DATE='"1970-01-01T00:00:00Z"' -D_GNU_SOURCE -I"$out"

sources=$(find src tests bench -name '*.c')
headers=$(find include tests -name '*.h')
scripts=$(find deploy deps scripts tests bench .ci -type f -exec grep -lE '^#!/bin/(ba)?sh' {} +)

# shellcheck disable=SC2317 # called by step
# One process a file, as many at once as there are CPUs.
tidy() {
    printf '%s\n' "$sources" | xargs -P "$(nproc)" -I FILE \
        clang-tidy --quiet FILE -- -std=c17 -Iinclude -Itests/support -isystem "$include" "$@" 2>&1 |
        awk '!/warnings? (generated|treated as errors)/ { print; found = 1 } END { exit found }'
}

# normalCheckLevelMaxBranches is no finding: newer versions say how far they looked.
# shellcheck disable=SC2317
check() {
    cppcheck --quiet --std=c11 --error-exitcode=1 --inline-suppr -j "$(nproc)" \
        --enable=warning,style,performance,portability --suppress="*:$include/*" --suppress=normalCheckLevelMaxBranches \
        -Iinclude -I"$include" "$@" src bench
}

# shellcheck disable=SC2086 # lists of names without spaces
step clang-format clang-format --dry-run -Werror $sources $headers
step clang-tidy tidy "$@"
step cppcheck check "$@"
# shellcheck disable=SC2086
step shellcheck shellcheck -x $scripts
step 'settings in README.md' scripts/settings-table.sh "$out/tests/tools/settings_table" README.md --check
step 'figures in docs/bench.md' bench/report.py docs --check
exit "$failed"
