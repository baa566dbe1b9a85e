# shellcheck shell=sh disable=SC2034 # used by the scripts that source it
# A local registry and a simulated GitHub for test scripts. Source it from the root of the project; `stop_servers` stops all
# servers.

servers=

stop_servers() {
    for server in $servers; do
        kill "$server"
        wait "$server" || ended=$?
    done
    servers=
}

# await FILE PATTERN: waits until a line of FILE matches, and prints the match. Fails if the last server exits.
await() {
    until grep -os "$2" "$1"; do
        kill -0 "${servers##* }" || {
            echo "the server has exited: $(cat "$1")" >&2
            return 1
        }
        sleep 0.05
    done
}

# start_registry FOLDER: serves a registry without TLS at $registry, and stores its content in FOLDER.
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

# start_github FOLDER REPOSITORY...: serves the GitHub API (fake_github.py), and configures gh to use only that. Its log of
# requests and the artifacts are in FOLDER.
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

workflows_are_run() { skip "$act"; }

# find_act: sets `act` to the program that runs workflows. If it is not available, reports a skipped test and exits.
find_act() {
    act=$(env -u CI scripts/tools.sh act) && return
    [ $? = 77 ] || exit 1
    act=${act#skipped: }
    run_tests workflows_are_run
    exit
}
