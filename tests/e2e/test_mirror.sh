#!/bin/sh
# Tests deps/debian-mirror.sh: which mirrors are valid, and the resulting lines for apt. Run it from the root of the project.
set -eu
. tests/support/check.sh

unset DEBIAN_MIRROR DEBIAN_SECURITY_MIRROR TOOLCHAIN MAKEFLAGS MFLAGS MAKELEVEL

prints_the_suite_its_updates_and_security() {
    expect_equal "$(DEBIAN_MIRROR=http://a/debian/ deps/debian-mirror.sh trixie)" 'deb http://a/debian trixie main
deb http://a/debian trixie-updates main
deb http://a/debian-security trixie-security main'
    expect_equal "$(DEBIAN_MIRROR='https://[::1]:8080/a' DEBIAN_SECURITY_MIRROR=http://b/c deps/debian-mirror.sh trixie | tail -n 1)" \
        'deb http://b/c trixie-security main'
}

refuses_malformed_mirrors() {
    # shellcheck disable=SC2016 # not expanded
    for value in banana ftp://a/debian http://a/ http:///debian 'http://a/debian main' 'http://a/$(id)' http://me:secret@a/debian; do
        ! DEBIAN_MIRROR=$value deps/debian-mirror.sh --check >"$scratch/said" 2>&1 || fail "accepted: $value"
        grep -q '^debian-mirror: DEBIAN_MIRROR: ' "$scratch/said" || fail "$(cat "$scratch/said")"
        ! grep -q secret "$scratch/said" || fail 'prints the password'
    done
    ! make toolchain-image DOCKER=false DEBIAN_MIRROR=banana >"$scratch/said" 2>&1 || fail 'make accepted it'
    grep -q "^debian-mirror: DEBIAN_MIRROR: 'banana' is not" "$scratch/said" || fail "$(cat "$scratch/said")"
}

run_tests prints_the_suite_its_updates_and_security refuses_malformed_mirrors
