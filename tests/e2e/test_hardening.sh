#!/bin/sh
# What the linker and the compiler were told to harden is in the program: PROGRAM.
set -eu
. tests/support/check.sh

# has OPTION PATTERN: what readelf says of the program has a line that matches.
has() {
    readelf -W "$1" "$PROGRAM" | grep -qE "$2"
}

# has_symbol PATTERN: the program calls the function. A stripped one has its symbols beside it.
has_symbol() {
    file=$PROGRAM
    [ ! -f "$PROGRAM.debug" ] || file=$PROGRAM.debug
    readelf -W --symbols "$file" | grep -qE "$1"
}

static_program_is_stripped() {
    ! readelf -SW "$PROGRAM" | grep -qE '\.(symtab|debug_)' || fail 'it has symbols'
}

program_is_position_independent() {
    has --file-header 'Type: +DYN'
}

# One that names an interpreter would not start in an empty image.
static_program_names_no_interpreter() {
    ! has --program-headers INTERP
}

relocations_are_read_only_from_the_start() {
    has --program-headers GNU_RELRO || fail 'no GNU_RELRO'
    has --dynamic 'BIND_NOW|FLAGS_1.*NOW' || fail 'no BIND_NOW'
}

stack_is_not_executable_and_guarded() {
    has --program-headers 'GNU_STACK .* RW +0x' || fail 'GNU_STACK is not RW'
    has_symbol '__stack_chk_fail' || fail 'no stack protector'
}

# The Makefile links abort() in its place: cJSON, which calls it for fractions alone, must be the only one who would.
nobody_else_scans() {
    nm -A "${PROGRAM%/*}"/src/*.o "$DEPS"/lib/libmicrohttpd.a "$DEPS"/lib/libcjson.a >"$scratch/symbols" 2>"$scratch/log"
    callers=$(grep -E ' U v?f?sscanf$' "$scratch/symbols" | sed "s,^$DEPS/lib/,,")
    expect_equal "$callers" 'libcjson.a:libcjson.o:                 U sscanf'
}

library_calls_are_fortified() {
    has_symbol '__(sn|f)printf_chk'
}

# What only some builds have: no FORTIFY_SOURCE in musl, nor beside sanitizers and coverage.
case $PROGRAM in
*-static*) others='static_program_names_no_interpreter static_program_is_stripped nobody_else_scans' ;;
*/plain*/*) others=library_calls_are_fortified ;;
*) others= ;;
esac

# shellcheck disable=SC2086 # names
run_tests program_is_position_independent relocations_are_read_only_from_the_start \
    stack_is_not_executable_and_guarded $others
