#!/bin/sh
# Tests that a clone in a path with a space builds, passes a test and installs as an ordinary user, and stays clean. Takes a
# minute, so `make test` omits it. Run it from the root of the project, which must have been built (its tarballs are used).
set -eu
. tests/support/check.sh

unset VERSION COMMIT DESCRIPTION NAME MAKEFLAGS MFLAGS MAKELEVEL

clone_builds_and_installs_without_root() {
    git clone -q . "$scratch/a clone"
    user=
    [ "$(id -u)" != 0 ] || user='setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=/tmp'
    [ -z "$user" ] || chown -R 65534:65534 "$scratch"
    # shellcheck disable=SC2086 # words
    $user make -C "$scratch/a clone" DEPS_MIRROR="$PWD/build/deps/sources" DESTDIR="$scratch/an image" TEST=test_http \
        build test install >"$scratch/log" 2>&1 || fail "$(tail -n 30 "$scratch/log")"
    "$scratch/an image/usr/local/bin/versiond" --version | grep -qF "commit $(git rev-parse HEAD)" || fail 'not the commit'
    expect_equal "$(git -c safe.directory='*' -C "$scratch/a clone" status --porcelain)" ''
}

run_tests clone_builds_and_installs_without_root
