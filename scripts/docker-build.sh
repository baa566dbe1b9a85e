#!/bin/sh
# Builds the image, with the build information of this tree or as given: see build-info.sh.
# Usage: scripts/docker-build.sh IMAGE [FLAG]...     (further flags of docker build)
# Environment: NAME, DESCRIPTION, VERSION and so on; BASE, TOOLCHAIN (empty: as the Dockerfile says),
# DEBIAN_MIRROR, DEBIAN_SECURITY_MIRROR, AUDIT_OFFLINE, DOCKER (docker). Run it from the root of the project.
set -eu

image=$1
shift
DOCKER=${DOCKER:-docker}

values=$(scripts/build-info.sh values)
set -- --tag "$image" "$@"
while IFS= read -r pair; do
    case $pair in
    NAME=*) continue ;;
    BUILD_DATE=*) pair="CREATED=${pair#*=}" ;;
    esac
    set -- "$@" --build-arg "$pair"
done <<VALUES
$values
VALUES
# The classic builder makes the stage that TOOLCHAIN replaces all the same: there, of what is done.
[ -z "${TOOLCHAIN-}" ] || set -- "$@" --build-arg TOOLCHAIN="$TOOLCHAIN"
base=${TOOLCHAIN:-${BASE-}}
[ -z "$base" ] || set -- "$@" --build-arg BASE="$base"
# A ready toolchain has its own mirrors.
if [ -z "${TOOLCHAIN-}" ] && [ -n "${DEBIAN_MIRROR-}" ]; then
    deps/debian-mirror.sh --check
    set -- "$@" --build-arg DEBIAN_MIRROR="$DEBIAN_MIRROR" --build-arg DEBIAN_SECURITY_MIRROR="${DEBIAN_SECURITY_MIRROR-}"
fi
[ -z "${AUDIT_OFFLINE-}" ] || set -- "$@" --build-arg AUDIT_OFFLINE="$AUDIT_OFFLINE"
exec "$DOCKER" build "$@" --build-arg AUDIT_DATE="$(date -u +%F)" .
