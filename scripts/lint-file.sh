#!/bin/sh
# Checks one file for scripts/lint.sh, and leaves a stamp if it passes.
# Usage: scripts/lint-file.sh clang-format|clang-tidy|shellcheck FILE
# Environment, from lint.sh: stamps; include, the folder of the libraries' headers; flags, of the compiler.
# Exit status: 0 if nothing was found, otherwise 1.
set -eu
# shellcheck source-path=SCRIPTDIR source=lint-lib.sh
. scripts/lint-lib.sh

tool=$1
file=$2

# tidy FLAG...: hides the count of warnings in system headers.
tidy() {
    clang-tidy --quiet "$file" -- "$@" 2>&1 | awk '!/warnings? (generated|treated as errors)/ { print; found = 1 } END { exit found }'
}

# headers FLAG...: prints the file and the headers that it includes.
headers() { cc -MM "$@" "$file" | sed -e 's/^[^:]*://' -e 's/\\$//' | tr '\n' ' '; }

start "$tool/$file"
case $tool in
clang-format)
    clang-format --dry-run -Werror "$file"
    inputs="$file .clang-format"
    ;;
clang-tidy)
    # shellcheck disable=SC2086 # a list
    set -- -std=c17 -Iinclude -Itests/support -isystem "${include:?}" ${flags:?}
    tidy "$@"
    inputs="$(headers "$@") .clang-tidy"
    ;;
shellcheck)
    shellcheck -x "$file"
    inputs="$file ${libraries:?}"
    ;;
esac
# shellcheck disable=SC2086 # a list
pass "$tool/$file" $inputs scripts/lint-file.sh
