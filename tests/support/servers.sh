# shellcheck shell=sh disable=SC2034 # used by who sources it
# For test scripts: what stands in for a registry and for GitHub, on this machine alone. To be sourced, from the root of the
# project; `stop_servers` ends what was started.

servers=

stop_servers() {
    for server in $servers; do
        kill "$server"
        wait "$server" || ended=$? # by the signal
    done
    servers=
}

# await FILE PATTERN: until a line of FILE matches, and the server that was started last runs. Prints what matched.
await() {
    until grep -os "$2" "$1"; do
        kill -0 "${servers##* }" || {
            echo "it has ended: $(cat "$1")" >&2
            return 1
        }
        sleep 0.05
    done
}

# start_registry FOLDER: serves a registry, without TLS, at $registry; what it is given is kept in FOLDER.
start_registry() {
    cat >"$1/registry.yml" <<REGISTRY
version: 0.1
log: {accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $1/registry}}
http: {addr: '127.0.0.1:0'}
REGISTRY
    docker-registry serve "$1/registry.yml" >"$1/registry.log" 2>&1 &
    servers="$servers $!"
    registry=$(await "$1/registry.log" 'listening on 127.0.0.1:[0-9]*')
    registry=${registry##* }
}

# start_github FOLDER REPOSITORY...: serves the API of GitHub (fake_github.py), and has gh ask there and nobody else.
# FOLDER keeps its log (requests) and the artifacts.
start_github() {
    mkdir -p "$1/artifacts"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost -keyout "$1/key.pem" -out "$1/cert.pem" 2>"$1/openssl"
    tests/support/fake_github.py "$@" >"$1/github.log" 2>&1 &
    servers="$servers $!"
    GH_HOST=localhost:$(await "$1/port" '[0-9]*')
    unset GH_TOKEN GITHUB_TOKEN GH_REPO
    export GH_HOST GH_ENTERPRISE_TOKEN=any GH_PROMPT_DISABLED=1 GH_CONFIG_DIR="$1/gh" SSL_CERT_FILE="$1/cert.pem"
}

# fake_kubectl FOLDER: puts fake_kubectl.py before the real kubectl, with a cluster in FOLDER/cluster.
fake_kubectl() {
    KUBECTL=$(command -v kubectl)
    # Not by way of what chooses between several: it is started often.
    python=$(python3 -c 'import sys; print(sys.executable)')
    mkdir "$1/bin"
    # shellcheck disable=SC2016 # of the script
    printf '#!/bin/sh\nexec "%s" -IS "%s" "$@"\n' "$python" "$PWD/tests/support/fake_kubectl.py" >"$1/bin/kubectl"
    chmod +x "$1/bin/kubectl"
    export PATH="$1/bin:$PATH" FAKE_CLUSTER="$1/cluster" KUBECTL
}

# publish_index VERSION [COMMIT]: gives the registry an image as layout.sh makes it, an index with the labels, here of no
# platform. Leaves its digest in `digest`.
publish_index() {
    jq -jcn --arg version "$1" --arg commit "${2-}" '{schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json",
        manifests: [], annotations: ({"org.opencontainers.image.version": $version} +
            if $commit == "" then {} else {"org.opencontainers.image.revision": $commit} end)}' >"$scratch/index"
    digest=sha256:$(sha256sum <"$scratch/index" | cut -d ' ' -f 1)
    curl -sf -X PUT -H 'Content-Type: application/vnd.oci.image.index.v1+json' --data-binary "@$scratch/index" \
        -o "$scratch/put" "http://$registry/v2/team/versiond/manifests/$1"
}

workflows_are_run() { skip "$act"; }

# find_act: leaves in `act` the program that runs workflows; where it cannot be had that is told as a test skipped, and all
# ends.
find_act() {
    act=$(env -u CI scripts/tools.sh act) && return
    [ $? = 77 ] || exit 1
    act=${act#skipped: }
    run_tests workflows_are_run
    exit
}
