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
