#!/bin/sh
# What DEBIAN_MIRROR and DEBIAN_SECURITY_MIRROR may be, and what apt is told then. Run it from the root of the project.
set -eu
. tests/support/check.sh

unset DEBIAN_MIRROR DEBIAN_SECURITY_MIRROR TOOLCHAIN MAKEFLAGS MFLAGS MAKELEVEL

lines_are_of_the_suite_its_updates_and_security() {
    for mirror in http://mirror.example/some/debian http://mirror.example/some/debian/; do
        expect_equal "$(DEBIAN_MIRROR=$mirror deps/debian-mirror.sh trixie)" 'deb http://mirror.example/some/debian trixie main
deb http://mirror.example/some/debian trixie-updates main
deb http://mirror.example/some/debian-security trixie-security main'
    done
    expect_equal "$(DEBIAN_MIRROR='https://[::1]:8080/a' DEBIAN_SECURITY_MIRROR=http://b/c deps/debian-mirror.sh trixie | tail -n 1)" \
        'deb http://b/c trixie-security main'
}

# expect_refused VARIABLE SHOWN COMMAND...
expect_refused() {
    line="debian-mirror: $1: '$2' is not an http or https URL with a path and without a password, such as http://mirror.example/debian"
    shift 2
    ! "$@" >"$scratch/output" 2>&1 || fail "taken: $*"
    grep -qxF "$line" "$scratch/output" || fail "expected: $line
got: $(cat "$scratch/output")"
}

# shellcheck disable=SC2016 # as it stands
malformed_mirror_is_refused() {
    for value in banana ftp://a/debian http://a http://a/ http:///debian 'http://a/debian main' 'http://a/$(id)' 'http://a/"b'; do
        expect_refused DEBIAN_MIRROR "$value" env DEBIAN_MIRROR="$value" deps/debian-mirror.sh --check
    done
    expect_refused DEBIAN_MIRROR 'http://a/b?http://a/c' env DEBIAN_MIRROR='http://a/b
http://a/c' deps/debian-mirror.sh --check
    expect_refused DEBIAN_MIRROR http://a/debian env DEBIAN_MIRROR=http://me:secret@a/debian deps/debian-mirror.sh --check
    ! grep -q secret "$scratch/output" || fail 'the password is shown'
    expect_refused DEBIAN_SECURITY_MIRROR b env DEBIAN_MIRROR=http://a/debian DEBIAN_SECURITY_MIRROR=b deps/debian-mirror.sh --check
}

# No engine is asked.
images_refuse_it_before_they_are_built() {
    for target in toolchain-image docker-build base-image; do
        expect_refused DEBIAN_MIRROR banana make $target DOCKER=false DEBIAN_MIRROR=banana
    done
}

run_tests lines_are_of_the_suite_its_updates_and_security malformed_mirror_is_refused images_refuse_it_before_they_are_built
