#!/bin/sh
# Writes what is published of a build into a folder: the program and its debug information, the SBOM,
# the licences, and the source: this tree and the tarballs of the libraries, all that it takes to
# build and link the program again (LGPL 2.1, section 6).
# Usage: scripts/dist.sh PROGRAM OUT DIST    (OUT has the SBOM and the licences)
# Environment: NAME; SOURCE_DATE_EPOCH; DEPS_CACHE (build/deps/sources), the tarballs. Run it from the root
# of the project.
set -eu
# shellcheck source-path=SCRIPTDIR source=../deps/lib.sh
. "$(dirname "$0")/../deps/lib.sh"
here=$(cd "$here/../deps" && pwd)

self=dist
program=$1
out=$2
dist=$3
sources=${DEPS_CACHE:-build/deps/sources}
work=

# tree: the names of what belongs to the source.
tree() { sed -n 's/^!//p' .dockerignore; }

tarballs() { pins | while read -r _ _ _ _ tarball _; do echo "$tarball"; done; }

finish() { rm -rf "$work"; }

finish_always
make_work
mkdir -p "$dist" "$work/$NAME/libraries"
cp "$program" "$dist/$NAME"
# The image's layer has the time, too.
touch -d "@${SOURCE_DATE_EPOCH:-0}" "$dist/$NAME"
[ ! -f "$program.debug" ] || cp "$program.debug" "$dist/$NAME.debug"
cp "$out/licenses.txt" "$out/sbom.cdx.json" "$dist/"

tree | xargs cp -R -t "$work/$NAME"
tarballs | (cd "$sources" && xargs cp -t "$work/$NAME/libraries")
# The same bytes whoever builds it, and whenever.
tar --sort=name --mtime="@${SOURCE_DATE_EPOCH:-0}" --owner=0 --group=0 --numeric-owner --mode=go=rX,u+rw,a-s \
    -C "$work" -cf "$work/source.tar" "$NAME"
gzip -9n <"$work/source.tar" >"$dist/source.tar.gz"
