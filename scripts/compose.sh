#!/bin/sh
# Runs deploy/compose.yaml: a proxy and two replicas. See docs/operations.md.
# Usage: scripts/compose.sh update       brings what runs to IMAGE:VERSION, one replica after the other, or starts it
#        scripts/compose.sh COMMAND [ARGUMENT]...      any command of compose: build, down, ps, logs
# Environment: what deploy/compose.yaml names; COMPOSE ('docker compose', or docker-compose where that is not there),
# COMPOSE_FILE (as seen from deploy/), DOCKER. Run it from the root of the project.
# Exit status: that of compose; of update also 1 when something has not become healthy. Then what comes after it was not touched.
set -eu
# shellcheck source-path=SCRIPTDIR source=../deps/lib.sh
. "$(dirname "$0")/../deps/lib.sh"

self=compose
DOCKER=${DOCKER:-docker}

compose() { (cd deploy && $COMPOSE "$@"); }

# state CONTAINER: "running healthy", say.
state() { "$DOCKER" inspect --format '{{ .State.Status }} {{ .State.Health.Status }}' "$1"; }

# replace SERVICE: with what is wanted now, and waits until it is healthy.
replace() {
    compose up -d --no-deps "$1"
    container=$(compose ps -a -q "$1")
    tries=600
    while state=$(state "$container") && [ "$state" = 'running starting' ] && [ $tries -gt 0 ]; do
        tries=$((tries - 1))
        sleep 0.1
    done
    [ "$state" != 'running healthy' ] || return 0
    compose logs --tail 5 "$1" >&2
    die "$1 has not become healthy: $state. What comes after it was not touched"
}

if [ -z "${COMPOSE-}" ]; then
    COMPOSE="$DOCKER compose"
    $COMPOSE version >/dev/null 2>&1 || COMPOSE=docker-compose
    command -v "${COMPOSE%% *}" >/dev/null || die 'missing: docker compose; install with: apt-get install docker-compose'
fi
if [ "${1-}" != update ]; then
    compose "$@"
    exit
fi
# What NGINX would not start with is told before anything is touched.
compose run --rm --no-deps -T proxy nginx -t
for service in versiond-1 versiond-2 proxy; do
    replace $service
done
