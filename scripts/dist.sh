#!/bin/sh
# Writes what is published of a build into a folder: the program and its debug information, the SBOM,
# the licences, and the source: this tree and the tarballs of the libraries, all that it takes to
# build and link the program again (LGPL 2.1, section 6).
# Usage: scripts/dist.sh PROGRAM OUT DIST    (OUT has the SBOM and the licences)
# Environment: NAME; DEPS_CACHE (build/deps/sources), the tarballs. Run it from the root of the project.
set -eu

program=$1
out=$2
dist=$3
sources=${DEPS_CACHE:-build/deps/sources}

mkdir -p "$dist"
cp "$program" "$dist/$NAME"
[ ! -f "$program.debug" ] || cp "$program.debug" "$dist/$NAME.debug"
cp "$out/licenses.txt" "$out/sbom.cdx.json" "$dist/"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/$NAME" "$work/$NAME/libraries"
tar --exclude=./build --exclude=./.git -cf - . | tar -xf - -C "$work/$NAME"
while read -r tarball; do
    cp "$sources/$tarball" "$work/$NAME/libraries/"
done <<TARBALLS
$(grep -oE '[^ ]+\.orig\.tar\.[a-z0-9]+' deps/pins)
TARBALLS
# The same bytes whoever builds it, and whenever.
tar --sort=name --mtime="@${SOURCE_DATE_EPOCH:-0}" --owner=0 --group=0 --numeric-owner --mode=go=rX,u+rw,a-s \
    -C "$work" -cf - "$NAME" | gzip -9n >"$dist/source.tar.gz"
