#!/bin/sh
# Makes the toolchain image anew and publishes it, when the program passes its tests with it: as what defines it, and
# as that with the date. So with the base image, when it was made here.
# Usage: scripts/publish-base.sh
# Environment: TOOLCHAIN_IMAGE (registry.example/team/versiond-toolchain), BASE; BASE_REPOSITORY (empty: not published),
# where BASE goes; DOCKER (docker). Run it from the root of the project.
# Exit status: 0; 1 with a line that says what went wrong.
set -eu

DOCKER=${DOCKER:-docker}
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

toolchain=$(scripts/toolchain-image.sh "$TOOLCHAIN_IMAGE" anew)
TOOLCHAIN=$toolchain make docker-test
publish "$toolchain" "$toolchain" "$toolchain-$date"
if [ -n "${BASE_REPOSITORY-}" ]; then
    suite=trixie-$("$DOCKER" version --format '{{ .Server.Arch }}')
    publish "$BASE" "$BASE_REPOSITORY:$suite" "$BASE_REPOSITORY:$suite-$date"
fi
