#!/bin/sh
# Builds what is published beside the image, and writes it into a folder.
# Usage: scripts/docker-artifacts.sh IMAGE FOLDER
# Environment: as docker-build.sh. Run it from the root of the project.
set -eu
# shellcheck source-path=SCRIPTDIR source=../deps/lib.sh
. "$(dirname "$0")/../deps/lib.sh"

DOCKER=${DOCKER:-docker}
container=
finish() { [ -z "$container" ] || "$DOCKER" rm "$container" >/dev/null; }

finish_always
scripts/docker-build.sh "$1-artifacts" --target artifacts
# Never started: the command is there because the engine wants one.
container=$("$DOCKER" create "$1-artifacts" none)
mkdir -p "$2"
"$DOCKER" cp "$container:/artifacts/." "$2"
