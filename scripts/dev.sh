#!/bin/sh
# Works on this tree in the toolchain container, as the calling user; what is built goes to
# build/toolchain.
# Usage: scripts/dev.sh test|serve
#   test   runs the tests; without a network
#   serve  serves on 127.0.0.1:PORT; a change builds anew and restarts
# Environment: TOOLCHAIN (an image; else the one of toolchain-image.sh), TOOLCHAIN_IMAGE, BASE, PORT,
# DOCKER (docker). Run it from the root of the project.
set -eu

case ${1-} in
test | serve) ;;
*)
    echo "dev: '${1-}' is not test or serve" >&2
    exit 2
    ;;
esac
DOCKER=${DOCKER:-docker}
toolchain=${TOOLCHAIN:-$(scripts/toolchain-image.sh "$TOOLCHAIN_IMAGE")}

# The tree has its path of outside, so that messages name files that exist.
set -- "$1" --rm --init --user "$(id -u):$(id -g)" --mount "type=bind,source=$PWD,target=$PWD" --workdir "$PWD" \
    --env HOME=/tmp --env BUILD_DIR=build/toolchain
case $1 in
test)
    shift
    [ ! -d /proc/sys/net/ipv6 ] || set -- "$@" --sysctl net.ipv6.conf.lo.disable_ipv6=0
    # shellcheck disable=SC2016 # of the container
    exec "$DOCKER" run "$@" --network none "$toolchain" sh -c 'make -j "$(nproc)" test'
    ;;
serve)
    shift
    exec "$DOCKER" run "$@" --publish "127.0.0.1:$PORT:5000" "$toolchain" scripts/watch.sh
    ;;
esac
