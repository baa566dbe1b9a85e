#!/bin/sh
# Tests that PROGRAM contains the licenses of everything that it is linked from. DEPS is the folder that deps/build.sh made. Run it
# from the root of the project.
set -eu
. tests/support/check.sh

program_contains_all_licenses() {
    # shellcheck disable=SC2086 # words
    $RUNNER "$PROGRAM" --licenses | gunzip >"$scratch/text"
    for file in LICENSE "$DEPS/licenses/libmicrohttpd/COPYING" "$DEPS/licenses/cJSON/LICENSE"; do
        [ -s "$file" ] || fail "$file is empty"
        ! diff "$scratch/text" "$file" | grep -q '^>' || fail "not all of $file"
    done
    grep -q 'GNU$' "$scratch/text" || fail 'no notice of the LGPL'
    case $PROGRAM in
    *-static-musl*) grep -q '^Upstream-Name: musl' "$scratch/text" || fail 'not the license of musl' ;;
    esac
}

run_tests program_contains_all_licenses
