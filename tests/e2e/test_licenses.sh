#!/bin/sh
# The program carries the licences of what is linked into it: PROGRAM. DEPS is the folder that
# deps/build.sh made. Run it from the root of the project.
set -eu
. tests/support/check.sh

# has FILE: the text that the program writes holds all lines of the file, in their order.
has() {
    # shellcheck disable=SC2086 # words
    $RUNNER "$PROGRAM" --licenses | gunzip >"$scratch/text"
    [ -s "$1" ] || fail "$1 is empty"
    ! diff "$scratch/text" "$1" | grep -q '^>' || fail "not all of $1 is there"
}

own_licence_is_there() {
    has LICENSE
    grep -q 'GNU$' "$scratch/text" || fail 'no notice of the LGPL'
}

licences_of_the_libraries_are_there() {
    has "$DEPS/licenses/libmicrohttpd/COPYING"
    has "$DEPS/licenses/cJSON/LICENSE"
}

licence_of_the_linked_c_library_is_there() {
    has LICENSE
    grep -q '^======== the C library' "$scratch/text" || fail 'no part for it'
    grep -q '^Upstream-Name: musl' "$scratch/text" || fail 'not the one of musl'
}

case $PROGRAM in
*-static-musl*) others=licence_of_the_linked_c_library_is_there ;;
*) others= ;;
esac

# shellcheck disable=SC2086 # none or one
run_tests own_licence_is_there licences_of_the_libraries_are_there $others
