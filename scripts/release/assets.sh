#!/bin/sh
# Collects what is attached to a release: for each platform the program, its debug information and its SBOM; the
# source and the licences; the checksums of all.
# Usage: scripts/release/assets.sh VERSION FOLDER ASSETS
# FOLDER has a folder for each platform (linux-amd64) with what scripts/dist.sh wrote. ASSETS must not exist.
# Environment: NAME. Exit status: 0; 1 with a line that says what is wrong.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. scripts/release/lib.sh

version=$1
folder=$2
assets=$3

# common FILE NAME: what each platform has must be the same.
common() {
    if [ ! -e "$assets/$2" ]; then
        cp "$1" "$assets/$2"
    else
        cmp "$1" "$assets/$2" || die "$1 is not what another platform has"
    fi
}

mkdir "$assets"
for from in "$folder"/*/; do
    platform=${from%/}
    program=$assets/$NAME-$version-${platform##*/}
    cp "$from$NAME" "$program"
    cp "$from$NAME.debug" "$program.debug"
    cp "${from}sbom.cdx.json" "$program.cdx.json"
    common "${from}licenses.txt" licenses.txt
    common "${from}source.tar.gz" "$NAME-$version-source.tar.gz"
done
cd "$assets"
sha256sum -- * >SHA256SUMS.new
mv SHA256SUMS.new SHA256SUMS
