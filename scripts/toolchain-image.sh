#!/bin/sh
# Pulls or builds the toolchain image, unless it is there, and prints its name: NAME:HASH, the hash being of
# all that defines it.
# Usage: scripts/toolchain-image.sh NAME [name|anew]
# name: only prints; anew: builds it whatever is there, with what the archive has today.
# NAME may begin with a registry, as registry.example/team/toolchain: that is asked first. When it does not give the
# image, a line on stderr says why, and the image is built.
# Environment: BASE (debian:trixie-slim), DOCKER (docker), DOCKER_DEFAULT_PLATFORM; DEBIAN_MIRROR and
# DEBIAN_SECURITY_MIRROR (see deps/debian-mirror.sh; empty: the base's). Run it from the root of the project.
set -eu

DOCKER=${DOCKER:-docker}
BASE=${BASE:-debian:trixie-slim}
DEBIAN_MIRROR=${DEBIAN_MIRROR-}
DEBIAN_SECURITY_MIRROR=${DEBIAN_SECURITY_MIRROR-}

# definition: the stage, the files that it copies, the image that it begins with, of which platform, and the mirrors,
# which it keeps.
definition() {
    sed '/^# --- build/,$d' Dockerfile
    files=$(sed -n '/^# --- build/,$d; s/^COPY \(.*\) [^ ]*$/\1/p' Dockerfile)
    # shellcheck disable=SC2086 # a list
    cat $files
    echo "$BASE ${DOCKER_DEFAULT_PLATFORM:-$(uname -m)}"
    [ -z "$DEBIAN_MIRROR" ] || echo "$DEBIAN_MIRROR $DEBIAN_SECURITY_MIRROR"
}

# has_registry NAME: as the engine decides it.
has_registry() {
    case ${1%%/*} in
    "$1") return 1 ;;
    *.* | *:* | localhost) ;;
    *) return 1 ;;
    esac
}

is_here() { "$DOCKER" image inspect "$image" >/dev/null 2>&1; }

is_pulled() {
    has_registry "$image" || return
    why=$("$DOCKER" pull --quiet "$image" 2>&1 >/dev/null) && return
    echo "toolchain-image: built, as it could not be pulled: $(echo "$why" | paste -sd ' ' -)" >&2
    return 1
}

# build FLAG...
build() {
    [ -z "$DEBIAN_MIRROR" ] || set -- "$@" --build-arg DEBIAN_MIRROR="$DEBIAN_MIRROR" \
        --build-arg DEBIAN_SECURITY_MIRROR="$DEBIAN_SECURITY_MIRROR"
    "$DOCKER" build --build-arg BASE="$BASE" "$@" --target toolchain-local --tag "$image" . >&2
}

[ -z "$DEBIAN_MIRROR" ] || deps/debian-mirror.sh --check
definition=$(definition)
image=$1:$(echo "$definition" | sha256sum | cut -c 1-12)
case ${2-} in
name) ;;
anew) build --no-cache ;;
*) is_here || is_pulled || build ;;
esac
echo "$image"
