#!/bin/sh
# Starts an image as a stranger would, with as few rights as there are, asks it everything and stops it.
# Usage: scripts/smoke.sh IMAGE
# What it must answer is what was baked in: NAME, DESCRIPTION, VERSION, COMMIT and so on, given or asked
# of this tree (see build-info.sh). The labels must say the same.
# Environment: those; DOCKER (docker).
# Exit status: 0; 1 with a line that says what was expected and what was seen. Run it from the root of
# the project; wants curl and jq.
set -eu
# shellcheck source-path=SCRIPTDIR source=../deps/lib.sh
. "$(dirname "$0")/../deps/lib.sh"

self=smoke
image=$1
DOCKER=${DOCKER:-docker}
HOST=127.0.0.1
container=
work=

finish() {
    if [ -n "$container" ]; then
        [ "$status" = 0 ] || "$DOCKER" logs "$container" >&2
        "$DOCKER" rm --force "$container" >/dev/null
    fi
    rm -rf "$work"
}

# expect WHAT SEEN EXPECTED
expect() {
    [ "$2" = "$3" ] || {
        printf 'smoke: %s: seen:\n%s\nexpected:\n%s\n' "$1" "$2" "$3" >&2
        exit 1
    }
}

# state FORMAT: what the engine says of the container.
state() { "$DOCKER" inspect --format "$1" "$container"; }

# label NAME: of the image.
label() { "$DOCKER" image inspect --format "{{ index .Config.Labels \"org.opencontainers.image.$1\" }}" "$image"; }

# value VARIABLE: as it was baked in; empty when it is not known.
value() { sed -n "s/^$1=//p" "$work/values"; }

start() {
    container=$("$DOCKER" run --detach --read-only --cap-drop ALL --security-opt no-new-privileges \
        --publish "$HOST::5000" "$image")
    port=$("$DOCKER" port "$container" 5000/tcp | head -n 1 | sed 's/.*://')
}

# The engine asks the program itself, which then is ready.
wait_until_healthy() {
    tries=300
    while health=$(state '{{ .State.Health.Status }}') && [ "$health" = starting ] && [ $tries -gt 0 ]; do
        tries=$((tries - 1))
        sleep 0.1
    done
    expect 'health' "$health" healthy
}

# The program is ready, but the engine may need some seconds more to forward the published port to it.
wait_until_reachable() {
    tries=300
    until curl --silent --show-error --max-time 10 --output "$work/body" "http://$HOST:$port/readyz" 2>"$work/error"; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || expect 'published port' "$(cat "$work/error")" 'an answer'
        sleep 0.1
    done
}

# ask METHOD PATH: leaves the head in work/head and the body in work/body. Prints the status.
ask() {
    if [ "$1" = HEAD ]; then set -- --head "$2"; else set -- --request "$1" "$2"; fi
    curl --silent --show-error --max-time 10 --dump-header "$work/raw" --output "$work/body" \
        --write-out '%{http_code}' "$1" ${3:+"$2"} "http://$HOST:$port${3:-$2}"
    tr -d '\r' <"$work/raw" | sed -e 1d -e '/^$/d' -e 's/^Date: .*/Date/' >"$work/head"
}

# expect_answer METHOD PATH STATUS TYPE BODY: the status, all of the head, and the body, as HEAD has it too.
expect_answer() {
    expect "$1 $2" "$(ask "$1" "$2")" "$3"
    expect "fields of $1 $2" "$(cat "$work/head")" "Date
Content-Type: $4
Cache-Control: no-store
X-Content-Type-Options: nosniff
Content-Length: $(printf '%s\n' "$5" | wc -c)"
    [ "$1" = HEAD ] || expect "body of $1 $2" "$(cat "$work/body")" "$5"
}

# document: what /version must answer.
document() {
    jq -cn --arg name "$(value NAME)" --arg version "$(value VERSION)" --arg commit "$(value COMMIT)" \
        --arg description "$(value DESCRIPTION)" --arg date "$(value BUILD_DATE)" \
        --arg source "$(value SOURCE_URL)" --arg build "$(value BUILD_URL)" \
        '{name: $name, version: $version, commit: (if $commit == "" then "unknown" else $commit end),
            description: $description, build_date: $date, source: $source, build: $build}
        | with_entries(select(.value != ""))'
}

# expect_document PATH TYPE TEXT...: 200, the type of the content, and each text somewhere in it.
expect_document() {
    path=$1
    expect "GET $path" "$(ask GET "$path")" 200
    expect "type of GET $path" "$(sed -n 's/^Content-Type: //p' "$work/head")" "$2"
    shift 2
    for text; do
        grep -qF -- "$text" "$work/body" || expect "GET $path" "$(cat "$work/body")" "'$text' in it"
    done
}

# What is there for people and their tools.
ask_documents() {
    version=$(value VERSION)
    revision=$(jq -r .commit "$work/document")
    expect_document / 'text/html; charset=utf-8' "<b>$version</b>" "$revision" "$(value BUILD_DATE)"
    expect_document /badge.svg image/svg+xml ">$version<"
    expect_document /openapi.json application/json '"openapi"'
    expect 'openapi.json' "$(jq -cS . "$work/body")" "$(jq -cS . src/openapi.json)"
    expect_document /metrics 'text/plain; version=0.0.4; charset=utf-8' \
        "_build_info{version=\"$version\",revision=\"$revision\",build_date=\"$(value BUILD_DATE)\"} 1"
}

ask_everything() {
    build=$(document)
    expect_answer GET /version 200 application/json "$build"
    expect_answer HEAD /version 200 application/json "$build"
    expect_answer GET /healthz 200 application/json '{"status":"ok"}'
    expect_answer GET /readyz 200 application/json '{"status":"ready"}'
    expect 'GET /nowhere' "$(ask GET /nowhere)" 404
    expect 'type of GET /nowhere' "$(grep '^Content-Type' "$work/head")" 'Content-Type: application/problem+json'
    expect 'POST /version' "$(ask POST /version)" 405
    ask_documents
}

check_labels() {
    expect 'label title' "$(label title)" "$(value NAME)"
    expect 'label description' "$(label description)" "$(value DESCRIPTION)"
    expect 'label version' "$(label version)" "$(value VERSION)"
    expect 'label revision' "$(label revision)" "$(jq -r .commit "$work/document")"
    expect 'label created' "$(label created)" "$(value BUILD_DATE)"
    expect 'label source' "$(label source)" "$(value SOURCE_URL)"
    expect 'label licenses' "$(label licenses)" 'MIT AND LGPL-2.1-or-later'
}

# One file, no root, nothing to write to.
check_image() {
    "$DOCKER" export --output "$work/files.tar" "$container"
    # The rest is what engines put into every container.
    expect 'files' "$(tar -tf "$work/files.tar" | grep -vxE '\.dockerenv|(dev|etc|proc|sys|dev/pts|dev/shm)/|dev/console|etc/(hostname|hosts|mtab|resolv\.conf)')" \
        "$(value NAME)"
    user=$("$DOCKER" image inspect --format '{{ .Config.User }}' "$image")
    case $user in
    '' | root* | 0 | 0:* | *:0) expect 'user' "$user" 'a number above 0' ;;
    esac
    # On arm64 segments begin at 64 KB, as its kernels may have pages of that size.
    limit=200000
    [ "$("$DOCKER" image inspect --format '{{ .Architecture }}' "$image")" != arm64 ] || limit=300000
    # What engines call the size of an image is with some what is packed, with some both.
    size=$(tar -xOf "$work/files.tar" "$(value NAME)" | wc -c)
    [ "$size" -le $limit ] || expect 'size' "$size bytes" "at most $limit bytes"
}

# The engine kills what does not heed it, and that is another exit code. The time that the client takes counts, too.
stop() {
    before=$(date +%s%N)
    "$DOCKER" stop "$container" >/dev/null
    took=$((($(date +%s%N) - before) / 1000000))
    expect 'exit code' "$(state '{{ .State.ExitCode }}')" 0
}

for tool in curl jq "$DOCKER"; do
    command -v "$tool" >/dev/null || die "missing: $tool; install with: apt-get install curl jq docker.io"
done
finish_always
make_work
scripts/build-info.sh values >"$work/values"
document >"$work/document"
start
wait_until_healthy
wait_until_reachable
ask_everything
check_labels
check_image
stop
echo "smoke: $image: $(jq -r '"\(.name) \(.version), \(.commit)"' "$work/document"): right; $size bytes; stopped in $took ms"
