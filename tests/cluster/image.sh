#!/bin/sh
# Makes an image of one static program and pushes it, without an engine. It is as the project's own: an empty file system
# with the program, which runs as user 65532.
# Usage: tests/cluster/image.sh PROGRAM REGISTRY/NAME:TAG [VERSION COMMIT]
# VERSION and COMMIT are its labels. The registry is spoken to without TLS. Prints the digest.
set -eu

program=$1 reference=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# store FILE: makes it a blob. Prints what refers to it, but for the type.
store() {
    digest=$(sha256sum "$1" | cut -d ' ' -f 1)
    jq -cn --arg digest "sha256:$digest" --argjson size "$(wc -c <"$1")" '{digest: $digest, size: $size}'
    mv "$1" "$work/image/blobs/sha256/$digest"
}

mkdir -p "$work/image/blobs/sha256"
name=$(basename "$program")
tar -C "$(dirname "$program")" --owner=0 --group=0 --mtime=@0 --mode=755 -cf "$work/layer" "$name"
layer=$(store "$work/layer")
jq -cn --arg name "$name" --argjson layer "$layer" --arg version "${3-}" --arg commit "${4-}" \
    --arg machine "$(uname -m)" '{architecture: ({x86_64: "amd64", aarch64: "arm64"}[$machine]), os: "linux",
    config: {User: "65532:65532", Entrypoint: ["/" + $name], Labels: {
        "org.opencontainers.image.version": $version, "org.opencontainers.image.revision": $commit}},
    rootfs: {type: "layers", diff_ids: [$layer.digest]}}' >"$work/config"
config=$(store "$work/config")
jq -cn --argjson config "$config" --argjson layer "$layer" '{schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: ({mediaType: "application/vnd.oci.image.config.v1+json"} + $config),
    layers: [{mediaType: "application/vnd.oci.image.layer.v1.tar"} + $layer]}' >"$work/manifest"
manifest=$(store "$work/manifest")
echo '{"imageLayoutVersion": "1.0.0"}' >"$work/image/oci-layout"
jq -cn --argjson manifest "$manifest" '{schemaVersion: 2,
    manifests: [{mediaType: "application/vnd.oci.image.manifest.v1+json"} + $manifest]}' >"$work/image/index.json"
skopeo --insecure-policy copy --quiet --dest-tls-verify=false --preserve-digests "oci:$work/image" "docker://$reference" >&2
echo "$manifest" | jq -r .digest
