#!/bin/sh
# Runs a command that needs a container engine. Where none answers, one is started for it, with files
# and a socket of its own, and stopped again.
# Usage: scripts/with-engine.sh COMMAND [ARGUMENT]...
# What an engine changes in the kernel's packet filter and forwarding stays, but for its bridge.
# Environment: DOCKER (docker), DOCKER_HOST. To start one wants root and Debian's docker.io.
set -eu

DOCKER=${DOCKER:-docker}
why=$("$DOCKER" version 2>&1) && exec "$@"

die() {
    echo "with-engine: $1" >&2
    exit 1
}

# The bridge stays after the engine, so one that was not there before is taken away.
finish() {
    status=$?
    trap '' HUP INT TERM
    if [ -n "$pid" ]; then
        [ "$status" = 0 ] || { echo 'with-engine: the last lines of the log of the engine:' && tail -n 20 "$work/log"; } >&2
        kill "$pid" 2>/dev/null || echo 'with-engine: the engine has ended before its time' >&2
        wait "$pid" || [ "$status" != 0 ] || status=1
    fi
    if [ "$had_bridge" = no ] && [ -d /sys/class/net/docker0 ]; then ip link delete docker0; fi
    # The engine leaves the mount of a network namespace.
    awk -v work="$work/" 'index($2, work) == 1 { print $2 }' /proc/mounts | sort -r | xargs -r umount
    rm -rf "$work"
    exit "$status"
}

start() {
    dockerd --host "$DOCKER_HOST" --data-root "$work/data" --exec-root "$work/exec" --pidfile "$work/pid" \
        >"$work/log" 2>&1 &
    pid=$!
    while ! "$DOCKER" version >/dev/null 2>&1; do
        kill -0 "$pid" || die "the engine did not start: $(tail -n 3 "$work/log")"
        sleep 0.1
    done
}

[ "$(id -u)" = 0 ] || die "no engine answers ($(echo "$why" | tail -n 1)), and only root can start one"
command -v dockerd >/dev/null || die 'no engine answers, and dockerd is missing; install with: apt-get install docker.io'
work=$(mktemp -d)
chmod 711 "$work" # whoever may use the socket gets there
pid=
had_bridge=no
[ ! -d /sys/class/net/docker0 ] || had_bridge=yes
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
export DOCKER_HOST="unix://$work/docker.sock"
start
"$@"
