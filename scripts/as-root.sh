#!/bin/sh
# Runs a command as root: as it is where we are root, else by sudo, with this environment.
# Usage: scripts/as-root.sh COMMAND...
set -eu

if [ "$(id -u)" = 0 ]; then
    exec "$@"
fi
exec sudo --preserve-env "$@"
