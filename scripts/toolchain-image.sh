#!/bin/sh
# Builds the toolchain image, unless it is there, and prints its name: NAME:HASH, the hash being of
# all that defines it.
# Usage: scripts/toolchain-image.sh NAME [name]      ("name": only prints)
# Environment: BASE (debian:trixie-slim), DOCKER (docker), DOCKER_DEFAULT_PLATFORM. Run it from the root of
# the project.
set -eu

DOCKER=${DOCKER:-docker}
BASE=${BASE:-debian:trixie-slim}

# definition: the stage, the files that it copies, and the image that it begins with, of which platform.
definition() {
    sed '/^# --- build/,$d' Dockerfile
    files=$(sed -n '/^# --- build/,$d; s/^COPY \(.*\) [^ ]*$/\1/p' Dockerfile)
    # shellcheck disable=SC2086 # a list
    cat $files
    echo "$BASE${DOCKER_DEFAULT_PLATFORM:+ $DOCKER_DEFAULT_PLATFORM}"
}

definition=$(definition)
image=$1:$(echo "$definition" | sha256sum | cut -c 1-12)
if [ "${2-}" != name ] && ! "$DOCKER" image inspect "$image" >/dev/null 2>&1; then
    "$DOCKER" build --build-arg BASE="$BASE" --target toolchain-local --tag "$image" . >&2
fi
echo "$image"
