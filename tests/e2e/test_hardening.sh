#!/bin/sh
# Tests that PROGRAM has the hardening that the compiler and linker were asked for.
set -eu
. tests/support/check.sh

# has OPTION PATTERN: a line of readelf's output matches.
has() { readelf -W "$1" "$PROGRAM" | grep -qE "$2" || fail "readelf $1: no $2"; }

# calls PATTERN: the program calls the function. The symbols of a stripped program are in a separate file.
calls() {
    file=$PROGRAM
    [ ! -f "$PROGRAM.debug" ] || file=$PROGRAM.debug
    readelf -W --symbols "$file" | grep -qE "$1" || fail "no call of $1"
}

program_is_hardened() {
    has --file-header 'Type: +DYN'
    has --program-headers GNU_RELRO
    has --dynamic 'BIND_NOW|FLAGS_1.*NOW'
    has --program-headers 'GNU_STACK .* RW +0x'
    calls __stack_chk_fail
}

library_calls_are_fortified() { calls '__(sn|f)printf_chk'; }

# A program that names an interpreter does not start in an empty image.
static_program_is_stripped_and_names_no_interpreter() {
    ! readelf -SWl "$PROGRAM" | grep -E '\.(symtab|debug_)|INTERP' || fail 'has symbols or an interpreter'
}

# The Makefile replaces sscanf with abort: only cJSON may call it, for fractions, which it never reads here.
only_cjson_calls_sscanf() {
    nm -A "${PROGRAM%/*}"/src/*.o "$DEPS"/lib/libmicrohttpd.a "$DEPS"/lib/libcjson.a >"$scratch/symbols" 2>"$scratch/log"
    expect_equal "$(grep -cE ' U v?f?sscanf$' "$scratch/symbols")" 1
    grep -qE '/libcjson.a:.* U sscanf$' "$scratch/symbols" || fail "$(grep sscanf "$scratch/symbols")"
}

# musl, sanitizers and coverage have no FORTIFY_SOURCE.
case $PROGRAM in
*-static*) others='static_program_is_stripped_and_names_no_interpreter only_cjson_calls_sscanf' ;;
*/plain*/*) others=library_calls_are_fortified ;;
*) others= ;;
esac

# shellcheck disable=SC2086 # names
run_tests program_is_hardened $others
