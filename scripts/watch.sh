#!/bin/sh
# Builds and serves, and again on each change of the sources, until it is told to stop.
# Usage: scripts/watch.sh       Run it from the root of the project; wants entr.
set -eu

# In a container the signal comes to this script alone; entr then stops what it runs.
pid=
trap 'kill $pid; wait; exit 0' INT TERM

# entr ends with 2 when a file has come into a folder: then the list is made anew.
status=2
while [ "$status" = 2 ]; do
    find Makefile deps include scripts src -type f | entr -d -n -r make -s run &
    pid=$!
    status=0
    wait "$pid" || status=$?
done
exit "$status"
