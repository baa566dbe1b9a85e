#!/bin/sh
# Works on this tree in the toolchain container, as the calling user; what is built goes to
# build/toolchain.
# Usage: scripts/dev.sh make TARGET... | serve
#   make   makes targets, with variables if need be. CI in the environment is passed on.
#   serve  serves on 127.0.0.1:PORT; a change builds anew and restarts
# Environment: TOOLCHAIN (an image; else the one of toolchain-image.sh), TOOLCHAIN_IMAGE, BASE, PORT,
# NETWORK (none; what "make" needs one for: bridge), DOCKER (docker). Run it from the root of the project.
set -eu

mode=${1-}
case $mode${2+ more} in
'make more' | serve) shift ;;
make)
    echo 'dev: make needs what is missing: a target' >&2
    exit 2
    ;;
*)
    echo "dev: '$*' is not make TARGET... or serve" >&2
    exit 2
    ;;
esac
DOCKER=${DOCKER:-docker}
toolchain=${TOOLCHAIN:-$(scripts/toolchain-image.sh "$TOOLCHAIN_IMAGE")}

# in_container FLAG... IMAGE COMMAND...: the tree has its path of outside, so that messages name files that exist.
in_container() {
    exec "$DOCKER" run --rm --init --user "$(id -u):$(id -g)" --mount "type=bind,source=$PWD,target=$PWD" --workdir "$PWD" \
        --env HOME=/tmp --env BUILD_DIR=build/toolchain --env CI "$@"
}

if [ "$mode" = serve ]; then
    in_container --publish "127.0.0.1:$PORT:5000" "$toolchain" scripts/watch.sh
fi
# shellcheck disable=SC2016 # of the container
set -- --network "${NETWORK:-none}" "$toolchain" sh -c 'exec make -j "$(nproc)" "$@"' make "$@"
[ ! -d /proc/sys/net/ipv6 ] || set -- --sysctl net.ipv6.conf.lo.disable_ipv6=0 "$@"
in_container "$@"
