#!/bin/sh
# Makes the toolchain image anew and publishes it, when the program passes its tests with it: as what defines it, and
# as that with the date, which is never replaced. So with the base image, when it was made here.
# Usage: scripts/publish-base.sh
# Environment: TOOLCHAIN_IMAGE (registry.example/team/versiond-toolchain), BASE; BASE_REPOSITORY (empty: not published),
# where BASE goes; DOCKER (docker). Run it from the root of the project.
# Exit status: 0; 1 with a line that says what went wrong.
set -eu

DOCKER=${DOCKER:-docker}
name=$(sed -n 's/^NAME *= *//p' Makefile)-toolchain
date=$(date -u +%Y%m%d)

# publish IMAGE NAME...
publish() {
    image=$1
    shift
    for name; do
        "$DOCKER" tag "$image" "$name"
        "$DOCKER" push --quiet "$name"
    done
}

# Not the one of last week; and the name has no registry that it could be pulled from.
toolchain=$(scripts/toolchain-image.sh "$name" name)
! "$DOCKER" image inspect "$toolchain" >/dev/null 2>&1 || "$DOCKER" image rm "$toolchain" >/dev/null
toolchain=$(scripts/toolchain-image.sh "$name")
TOOLCHAIN=$toolchain make docker-test
publish "$toolchain" "$TOOLCHAIN_IMAGE:${toolchain##*:}" "$TOOLCHAIN_IMAGE:${toolchain##*:}-$date"
if [ -n "${BASE_REPOSITORY-}" ]; then
    suite=trixie-$("$DOCKER" version --format '{{ .Server.Arch }}')
    publish "$BASE" "$BASE_REPOSITORY:$suite" "$BASE_REPOSITORY:$suite-$date"
fi
