#!/bin/sh
# The first step of a job: derives the names of the images from the repository's variables, logs in to the registry, and
# for a job that builds gets the toolchain image. What later steps need goes to $GITHUB_ENV.
# Usage: scripts/workflow-prepare.sh [toolchain]
# Environment: REGISTRY; REGISTRY_USER and REGISTRY_TOKEN (empty: goes on as a stranger); DOCKER; what
# toolchain-image.sh takes; what GitHub sets: GITHUB_ENV, GITHUB_REPOSITORY, GITHUB_SERVER_URL, GITHUB_RUN_ID.
# Exit status: 0; 1 with a line that names the variable that is wrong.
set -eu
LC_ALL=C
export LC_ALL

# check VARIABLE VALUE PATTERN FORMAT
check() {
    # A second line could set any variable of the job.
    case $2 in *"
"*) set -- "$1" "$2" '.^' "$4" ;; esac
    printf '%s\n' "$2" | grep -Eqx -- "$3" || {
        printf "workflow-prepare: %s: '%.100s' is not %s\n" "$1" "$2" "$4" >&2
        exit 1
    }
}

check REGISTRY "$REGISTRY" '[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)*' 'a registry such as ghcr.io, or a folder of one'
check GITHUB_REPOSITORY "$GITHUB_REPOSITORY" '[A-Za-z0-9._-]+/[A-Za-z0-9._-]+' 'owner/repository'
check GITHUB_SERVER_URL "$GITHUB_SERVER_URL" 'https?://[^ ]+' 'an http or https URL'

# The name of an image has no capitals.
repository=$REGISTRY/$(echo "$GITHUB_REPOSITORY" | tr '[:upper:]' '[:lower:]')
export TOOLCHAIN_IMAGE="$repository-toolchain"
source_url=$GITHUB_SERVER_URL/$GITHUB_REPOSITORY
printf '%s\n' "IMAGE_REPOSITORY=$repository" "TOOLCHAIN_IMAGE=$TOOLCHAIN_IMAGE" "SOURCE_URL=$source_url" \
    "BUILD_URL=$source_url/actions/runs/$GITHUB_RUN_ID" >>"$GITHUB_ENV"

# skopeo takes the engine's login.
if [ -z "${REGISTRY_TOKEN-}" ]; then
    echo "workflow-prepare: no REGISTRY_TOKEN: goes on as a stranger to $REGISTRY"
else
    echo "$REGISTRY_TOKEN" | "${DOCKER:-docker}" login --username "$REGISTRY_USER" --password-stdin "${REGISTRY%%/*}"
fi

if [ "${1-}" = toolchain ]; then
    toolchain=$(make -s toolchain-image)
    echo "TOOLCHAIN=$toolchain" >>"$GITHUB_ENV"
fi
