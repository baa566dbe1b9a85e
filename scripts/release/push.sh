#!/bin/sh
# Pushes an image under its digest alone: it gets a name when it has been tested there.
# Usage: scripts/release/push.sh LAYOUT REPOSITORY VERSION
# LAYOUT is from layout.sh. Nothing is pushed when REPOSITORY has another image as VERSION.
# Prints the digest. Exit status: 0; 1 with a line that says why nothing was pushed.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. scripts/release/lib.sh

layout=$1
repository=$2
version=$3
work=

finish() { rm -rf "$work"; }

wants skopeo jq
finish_always
make_work
digest=$(jq -er '.manifests[0].digest' "$layout/index.json")
refuse_published "$repository" "$version" "$digest"
run skopeo --insecure-policy copy --quiet --all --preserve-digests --dest-tls-verify="$(tls "$repository")" \
    "oci:$layout" "docker://$repository@$digest"
echo "$digest"
