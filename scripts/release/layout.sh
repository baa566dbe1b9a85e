#!/bin/sh
# Makes of the images of each architecture, as `docker save` wrote them, one image for all: an OCI image layout whose
# index names them. Its digest is known before anything is pushed.
# Usage: scripts/release/layout.sh LAYOUT FOLDER
# FOLDER has a folder for each platform (linux-amd64, linux-arm64), with its image.tar. LAYOUT must not exist.
# Prints the digest of the index. Exit status: 0; 1 with a line that says what is wrong.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. scripts/release/lib.sh

layout=$1
folder=$2
work=

finish() { rm -rf "$work"; }

# store FILE: makes it a blob of the layout. Prints its digest.
store() {
    set -- "$1" "$(sha256_of "$1")"
    cp "$1" "$layout/blobs/sha256/$2"
    echo "sha256:$2"
}

# configuration ARCHIVE: prints that of an image as the engine made it (skopeo's conversion drops the health check),
# less when and in what container that was: the same build gives the same digest.
configuration() {
    file=$(tar -xOf "$1" manifest.json | jq -er '.[0].Config')
    tar -xOf "$1" "$file" | jq -cje '.config.Labels["org.opencontainers.image.created"] as $created
        | del(.container, .container_config, .docker_version) | .created = $created | .history[]?.created = $created'
}

# add FOLDER: adds an image, which must be of the platform that the folder says.
add() {
    name=${1%/}
    name=${name##*/}
    archive=$1image.tar
    configuration "$archive" >"$work/config"
    platform=$(jq -er '.os + "-" + .architecture' "$work/config")
    [ "$platform" = "$name" ] || die "$archive: an image for $platform, not $name"
    run skopeo --insecure-policy copy --quiet "docker-archive:$archive" "oci:$layout"
    jq -er '.manifests[0].digest' "$layout/index.json" >"$work/converted"
    jq -cje --arg digest "$(store "$work/config")" --argjson size "$(wc -c <"$work/config")" \
        '.config.digest = $digest | .config.size = $size' \
        "$layout/blobs/sha256/$(sed 's/sha256://' "$work/converted")" >"$work/manifest"
    jq -ce --arg digest "$(store "$work/manifest")" --argjson size "$(wc -c <"$work/manifest")" \
        '{mediaType: "application/vnd.oci.image.manifest.v1+json", digest: $digest, size: $size,
          platform: {architecture, os}}' "$work/config" >>"$work/manifests"
    rm "$layout/index.json"
}

# The labels go on the index too: registries show those.
write_index() {
    jq -cjn --slurpfile manifests "$work/manifests" --slurpfile config "$work/config" \
        '{schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: $manifests,
          annotations: $config[0].config.Labels}' >"$work/index"
    digest=$(store "$work/index")
    jq -cn --arg digest "$digest" --argjson size "$(wc -c <"$work/index")" \
        '{schemaVersion: 2, manifests: [{mediaType: "application/vnd.oci.image.index.v1+json", digest: $digest, size: $size}]}' \
        >"$layout/index.json"
    echo "$digest"
}

wants skopeo jq
[ ! -e "$layout" ] || die "$layout exists already"
set -- "$folder"/*/
[ -d "$1" ] || die "$folder: no folder of a platform"
finish_always
make_work
for image; do
    add "$image"
done
write_index
