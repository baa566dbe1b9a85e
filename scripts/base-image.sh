#!/bin/sh
# Makes the base image from Debian's archive, with mmdebstrap and nothing else.
# Usage: scripts/base-image.sh IMAGE
# Environment: SUITE (trixie), ARCH (this machine's; another wants qemu-user-static), DOCKER (docker);
# DEBIAN_MIRROR and DEBIAN_SECURITY_MIRROR (see deps/debian-mirror.sh; empty: the archive that this machine's apt is
# configured for, or on a machine of another distribution the one that mmdebstrap knows). Run it from the root of the
# project, as root or where mmdebstrap can unshare.
set -eu
# shellcheck source=deps/lib.sh
. deps/lib.sh

self=base-image
image=$1
SUITE=${SUITE:-trixie}
DOCKER=${DOCKER:-docker}
work=

finish() { rm -rf "$work"; }

# is_debian: this machine's apt is for Debian, so it says where that is, and trusts it.
is_debian() { [ -n "$(known_mirrors Debian)" ] || grep -qx 'ID=debian' /etc/os-release; }

# sources: the lines of the image's apt; none for mmdebstrap's own.
sources() {
    if [ -n "${DEBIAN_MIRROR-}" ]; then
        deps/debian-mirror.sh "$SUITE"
    elif is_debian; then
        own_sources
    fi
}

# own_sources: as this machine has them.
own_sources() {
    apt-get indextargets 'Created-By: Packages' | grep -q . || die "apt does not know its archives yet: run 'apt-get update' first"
    debian=$(archive_mirrors Debian | head -n 1)
    security=$(archive_mirrors Debian-Security | head -n 1)
    [ -n "$debian" ] || die 'apt has no mirror of Debian here'
    [ -n "$security" ] || die 'apt has no mirror of Debian-Security here'
    case $debian$security in *@*) die 'the mirror that apt is configured for wants a password, which must not get into an image' ;; esac
    echo "deb $debian $SUITE main"
    echo "deb $debian $SUITE-updates main"
    echo "deb $security $SUITE-security main"
}

# apt_options: what this machine's apt was told about the age of indexes; else a mirror that is a
# snapshot could be used here, but not in the image.
apt_options() {
    apt-config dump --format '%F "%v";%n' Acquire::Check-Valid-Until Acquire::Check-Date
}

[ -z "${DEBIAN_MIRROR-}" ] || deps/debian-mirror.sh --check
command -v mmdebstrap >/dev/null || die 'missing: mmdebstrap; install with: apt-get install mmdebstrap'
finish_always
make_work
sources >"$work/sources"
keyring=
is_debian || find_keyring || die "missing: the keyring of Debian's archive; install with: apt-get install debian-archive-keyring"
apt_options >"$work/options"
mkdir "$work/context"
# shellcheck disable=SC2046 # no argument or one, without spaces
run mmdebstrap --quiet --variant=minbase --include=ca-certificates ${ARCH:+--arch="$ARCH"} ${keyring:+--keyring="$keyring"} \
    --aptopt="$work/options" "$SUITE" "$work/context/base.tar" $([ ! -s "$work/sources" ] || echo "$work/sources")
# Built, not imported: engine 20.10 calls what it imports an image of its own architecture.
printf 'FROM scratch\nADD base.tar /\n' >"$work/context/Dockerfile"
run "$DOCKER" build --quiet ${ARCH:+--platform "linux/$ARCH"} --tag "$image" "$work/context"
