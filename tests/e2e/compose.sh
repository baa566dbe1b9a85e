#!/bin/sh
# deploy/compose.yaml with a real engine and NGINX, as docs/operations.md says it works: what the proxy promises, and replicas
# that are stopped, killed, frozen and replaced under load. Takes an engine (scripts/with-engine.sh), so `make test`
# leaves it out. Run it from the root of the project. The tests build on each other.
# Environment: DOCKER (docker); COMPOSE, for one that is not "docker compose" or docker-compose.
set -eu
. tests/support/check.sh

export DOCKER="${DOCKER:-docker}"
export BASE=versiond-base:trixie COMPOSE_PROJECT_NAME=versiond-compose-test COMPOSE_FILE=compose.yaml
unset VERSION COMMIT DESCRIPTION NAME SOURCE_URL BUILD_URL SOURCE_DATE_EPOCH RELEASE MAKEFLAGS MFLAGS MAKELEVEL
image=versiond-compose-test
commit=0123456789abcdef0123456789abcdef01234567
work=$(mktemp -d)

# compose COMMAND...: on what is tested.
compose() { scripts/compose.sh "$@"; }

finish() {
    COMPOSE_FILE=compose.yaml compose down --volumes --timeout 1 >"$work/output" 2>&1 || cat "$work/output"
    "$DOCKER" image rm $image:1.0.0 $image:1.1.0 $image:unready $image-proxy >"$work/output" 2>&1 || cat "$work/output"
    rm -rf "$work"
}

# quietly COMMAND...: shows the output only of what fails.
quietly() { "$@" >"$scratch/output" 2>&1 || fail "$*: $(tail -n 40 "$scratch/output")"; }

# ask ARGUMENT...: curl, of the proxy with its own certificate.
ask() { curl -sSk --max-time 20 "$@"; }

# wait_for COMMAND...: until it succeeds, at most two minutes.
wait_for() {
    deadline=$(($(date +%s) + 120))
    until "$@"; do
        [ "$(date +%s)" -lt $deadline ] || fail "never: $*"
        sleep 0.1
    done
}

# container_of SERVICE: compose would say it, too, and take a second for it.
container_of() {
    "$DOCKER" ps --all --quiet --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME" \
        --filter "label=com.docker.compose.service=$1"
}

# inspect SERVICE FORMAT
inspect() { "$DOCKER" inspect --format "$2" "$(container_of "$1")"; }

# is SERVICE FORMAT VALUE
is() { [ "$(inspect "$1" "$2")" = "$3" ]; }

is_healthy() { is "$1" '{{ .State.Status }} {{ .State.Health.Status }}' 'running healthy'; }

# logs SERVICE: what it has said, without what compose puts before it.
logs() { "$DOCKER" logs "$(container_of "$1")" 2>&1; }

# build VERSION: the program's image, without the tests, which add nothing to what ships.
build() {
    sed -e '/^RUN .*lint-source$/d' -e '/^FROM build AS test/,/^RUN .*DIST=/{/^RUN/{/DIST=/!d;};}' Dockerfile >"$work/Dockerfile"
    quietly env DOCKER_BUILDKIT=0 make docker-build IMAGE="$image:$1" VERSION="$1" COMMIT=$commit SOURCE_DATE_EPOCH=1700000000 \
        TOOLCHAIN="$(make -s toolchain-image)" DOCKER_FLAGS="--file $work/Dockerfile"
}

# document VERSION: what it answers.
document() {
    printf '{"name":"versiond","version":"%s","commit":"%s","description":"%s","build_date":"%s"}' \
        "$1" $commit "$(sed -n 's/^DESCRIPTION *?= *//p' Makefile)" 2023-11-14T22:13:20Z
}

# free_ports: prints two.
free_ports() {
    python3 -c 'import socket
s = [socket.socket() for _ in range(2)]
for one in s: one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in s))'
}

images_are_built() {
    "$DOCKER" image inspect "$BASE" >/dev/null 2>&1 || quietly make base-image BASE="$BASE"
    build 1.0.0
    build 1.1.0
    printf 'FROM %s:1.0.0\nHEALTHCHECK CMD ["/versiond", "--healthcheck", "--port", "1"]\n' $image >"$scratch/Dockerfile"
    quietly "$DOCKER" build --tag $image:unready "$scratch"
    quietly compose build proxy
}

# As plain compose starts it. Replicas that never get healthy come first: no proxy is started.
proxy_starts_after_the_replicas_are_healthy() {
    ! env VERSION=unready scripts/compose.sh up -d >"$scratch/output" 2>&1 || fail 'it starts with replicas that are not healthy'
    expect_equal "$("$DOCKER" ps --quiet --filter "name=^$COMPOSE_PROJECT_NAME.proxy")" ''
    expect_equal "$("$DOCKER" ps --quiet --filter "name=^$COMPOSE_PROJECT_NAME.versiond-" | wc -l)" 2
    quietly compose up -d
    wait_for is_healthy proxy
    expect_equal "$(ask "$https/version")" "$(document 1.0.0)"
    logs proxy | grep -q '^proxy: NO CERTIFICATE IS MOUNTED' || fail 'it does not say that the certificate is self-signed'
}

# status_of SERVICE FIELD: of its first process, as the kernel has it.
status_of() { sed -n "s/^$2:[[:space:]]*//p" "/proc/$(inspect "$1" '{{ .State.Pid }}')/status"; }

containers_have_few_rights() {
    for service in versiond-1 versiond-2 proxy; do
        expect_equal "$(status_of $service CapEff) $(status_of $service CapBnd) $(status_of $service NoNewPrivs)" \
            '0000000000000000 0000000000000000 1'
        expect_equal "$(inspect $service '{{ .HostConfig.ReadonlyRootfs }} {{ .HostConfig.PidsLimit }} {{ .HostConfig.NanoCpus }} {{ .HostConfig.RestartPolicy.Name }}')" \
            'true 64 1000000000 unless-stopped'
        expect_equal "$(inspect $service '{{ .HostConfig.LogConfig.Config }}')" 'map[max-file:3 max-size:10m mode:non-blocking]'
    done
    expect_equal "$(inspect versiond-1 '{{ .HostConfig.Memory }} {{ .HostConfig.PortBindings }}') $(status_of versiond-1 Uid | cut -f 1)" \
        '67108864 map[] 65532'
    expect_equal "$(inspect proxy '{{ .HostConfig.Memory }}') $(status_of proxy Uid | cut -f 1)" '134217728 33'
    ! compose exec -T proxy sh -c 'echo >/etc/nginx/nginx.conf' >"$scratch/output" 2>&1 || fail 'its root can be written to'
    grep -q 'Read-only file system' "$scratch/output" || fail "said: $(cat "$scratch/output")"
    expect_equal "$("$DOCKER" network inspect --format '{{ .Internal }}' ${COMPOSE_PROJECT_NAME}_replicas)" true
}

http_leads_to_https() {
    expect_equal "$(ask -o "$scratch/body" -w '%{http_code} %{redirect_url}' -X POST "$http/version?a=b")" "308 $https/version?a=b"
    expect_equal "$(ask -L "$http/version")" "$(document 1.0.0)"
    expect_equal "$(ask "$http/healthz")" '{"status":"ok"}'
    expect_equal "$(ask "$https/healthz")" '{"status":"ok"}'
    expect_equal "$(ask "$https/readyz")" '{"status":"ready"}'
    ask -o "$scratch/body" -D - "$https/version" | grep -qi '^strict-transport-security: max-age=31536000' || fail 'no HSTS'
}

# handshake ARGUMENT...: what openssl says of it, on either of its outputs: in one they would mix within a line.
handshake() {
    openssl s_client -connect "${https#*//}" "$@" </dev/null >"$scratch/said" 2>"$scratch/complained" || echo "openssl: exit status $?"
    cat "$scratch/said" "$scratch/complained" | grep -aoE '^New, .*|ALPN protocol: .*|alert number [0-9]+'
}

tls_is_of_today() {
    for version in tls1 tls1_1; do
        handshake -$version -cipher DEFAULT@SECLEVEL=0 | grep -qx 'alert number 70' || fail "$version is not refused"
    done
    handshake -tls1_2 | grep -q '^New, TLSv1.2, Cipher is ECDHE-' || fail 'no TLS 1.2'
    handshake -tls1_2 -cipher AES128-GCM-SHA256:AES128-SHA:ECDHE-ECDSA-AES128-SHA | grep -qx 'alert number 40' ||
        fail 'a cipher that is not authenticated or not forward secret is taken'
    handshake -tls1_3 | grep -q '^New, TLSv1.3' || fail 'no TLS 1.3'
    handshake -alpn h2,http/1.1 | grep -qx 'ALPN protocol: h2' || fail 'no HTTP/2 is offered'
    handshake -alpn http/1.1 | grep -qx 'ALPN protocol: http/1.1' || fail 'no HTTP/1.1 is offered'
    expect_equal "$(ask --http2 -w '%{http_version}' "$https/version")" "$(document 1.0.0)
2"
    expect_equal "$(ask --http1.1 -w '%{http_version}' "$https/version")" "$(document 1.0.0)
1.1"
}

# expect_problem STATUS TITLE ARGUMENT...: a problem document.
expect_problem() {
    status=$1 title=$2
    shift 2
    expect_equal "$(ask -w ' %{http_code} %{content_type}' "$@")" \
        "{\"type\":\"about:blank\",\"title\":\"$title\",\"status\":$status} $status application/problem+json"
}

bodies_are_refused() {
    for version in --http1.1 --http2; do
        for body in a aa; do
            expect_problem 413 'Content Too Large' $version -d $body "$https/version"
            expect_problem 413 'Content Too Large' $version -X GET -d $body "$https/nowhere"
        done
        expect_problem 413 'Content Too Large' $version -X GET -d @Makefile "$https/version"
        # Of no stated length: chunked, or as HTTP/2 has it.
        expect_problem 413 'Content Too Large' $version -X GET -T - "$https/version" <Makefile
    done
    printf a >"$scratch/one"
    expect_problem 413 'Content Too Large' --http1.1 -T - "$https/version" <"$scratch/one"
    # HTTP/2, one byte of no stated length: not seen, and no replica gets it. POST is refused by the replica.
    expect_equal "$(ask --http2 -X GET -T - "$https/version" <"$scratch/one")" "$(document 1.0.0)"
    expect_equal "$(ask -o "$scratch/body" -w '%{http_code}' -X POST -H 'Content-Length: 0' "$https/version")" 405
    ! logs versiond-1 versiond-2 | grep -q '"status":413' || fail 'a replica has seen a body'
}

metrics_are_not_public() {
    for path in /metrics '/metrics?a' //metrics /./metrics /a/../metrics /%6detrics /%2fmetrics; do
        expect_problem 404 'Not Found' --path-as-is "$https$path"
    done
    ask -L "$http/metrics" | grep -q '"status":404' || fail 'by HTTP they are'
}

# Each has to be a whole request, with the same result whoever is in front.
malformed_requests_are_told_so() {
    for request in 'GET\r\n' 'GET /%%zz HTTP/1.1\r\nHost: a\r\n' 'GET /version HTTP/1.1\r\nHost: a b\r\n' 'GET /version HTTP/1.1\r\n'; do
        # shellcheck disable=SC2059 # the escapes are meant
        printf "$request\r\n" | openssl s_client -quiet -connect "${https#*//}" 2>/dev/null >"$scratch/answer"
        head -n 1 "$scratch/answer" | grep -q '^HTTP/1.1 400 ' || fail "to $request: $(cat "$scratch/answer")"
        tail -n 1 "$scratch/answer" | grep -q '"title":"Bad Request"' || fail "to $request: $(cat "$scratch/answer")"
    done
    expect_problem 400 'Bad Request' "http:${https#*:}/version"
}

# has_line SERVICE PATTERN: leaves the lines of its log that match.
has_line() { logs "$1" | grep "$2" >>"$scratch/lines"; }
is_logged_by_a_replica() { has_line versiond-1 "$1" || has_line versiond-2 "$1"; }

client_is_who_connects() {
    expect_equal "$(ask -o "$scratch/body" -w '%{http_code}' -H 'X-Forwarded-For: 192.0.2.66' -H 'Forwarded: for=192.0.2.66' \
        -H 'X-Real-IP: 192.0.2.66' -H 'X-Request-ID: mine-1' -D "$scratch/head" "$https/nowhere-1")" 404
    grep -qi '^x-request-id: mine-1' "$scratch/head" || fail 'the identifier of the request is lost'
    ask -o "$scratch/body" -H 'X-Request-ID: not "harmless' -D "$scratch/head" "$https/nowhere-2"
    grep -qiE '^x-request-id: [0-9a-f]{32}' "$scratch/head" || fail 'no identifier was made'
    wait_for is_logged_by_a_replica '"path":"/nowhere-1"'
    client=$("$DOCKER" network inspect --format '{{ range .IPAM.Config }}{{ .Gateway }}{{ end }}' ${COMPOSE_PROJECT_NAME}_public)
    [ -n "$client" ] || fail 'the network has no gateway'
    grep -q "\"forwarded_for\":\"$client\"" "$scratch/lines" || fail "not for $client: $(cat "$scratch/lines")"
    wait_for has_line proxy '"path":"/nowhere-1"'
    tail -n 1 "$scratch/lines" | python3 -c 'import json, sys
line = json.loads(sys.stdin.readline())
assert (line["remote"], line["request_id"], line["status"], line["upstream_status"]) == (sys.argv[1], "mine-1", 404, "404"), line' "$client"
}

# fingerprint: of the certificate that is served.
fingerprint() { openssl s_client -connect "${https#*//}" </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256; }

answers() { ask -o "$scratch/body" "$https/healthz" 2>"$scratch/errors"; }

# is_answered PATH STATUS
is_answered() { [ "$(ask -o "$scratch/body" -w '%{http_code}' "$https$1")" = "$2" ]; }

certificate_survives() {
    made=$(fingerprint)
    quietly compose restart proxy
    wait_for answers
    expect_equal "$(fingerprint)" "$made"
}

# What is mounted is found: a certificate, who may ask /version; and a limit is kept.
proxy_takes_what_is_mounted() {
    made=$(fingerprint)
    mkdir "$work/mounted" "$work/restrict"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=mounted \
        -keyout "$work/mounted/tls.key" -out "$work/mounted/tls.crt" 2>"$scratch/openssl"
    chmod 644 "$work/mounted/tls.key"
    cp deploy/nginx/restrict.conf.example "$work/restrict/restrict.conf"
    cat >"$work/override.yaml" <<YAML
services:
  proxy:
    volumes:
      - $work/mounted:/tls:ro
      - $work/restrict:/etc/nginx/restrict:ro
YAML
    export COMPOSE_FILE="compose.yaml:$work/override.yaml" RATE_LIMIT=10
    quietly compose up -d --no-deps proxy
    wait_for answers
    openssl x509 -noout -fingerprint -sha256 -in "$work/mounted/tls.crt" >"$scratch/mounted"
    expect_equal "$(fingerprint)" "$(cat "$scratch/mounted")"
    ask -o "$scratch/body#1" -w '%{http_code}\n' "$https/readyz?[1-200]" >"$scratch/statuses"
    expect_equal "$(head -n 9 "$scratch/statuses" | sort -u)" 200
    expect_equal "$(sort -u "$scratch/statuses")" '200
429'
    expect_equal "$(cat "$scratch/body$(grep -n 429 "$scratch/statuses" | head -n 1 | cut -d : -f 1)")" \
        '{"type":"about:blank","title":"Too Many Requests","status":429}'
    for path in /version /__version__ / /badge.svg /openapi.json; do
        wait_for is_answered "$path" 403
    done
    wait_for is_answered /readyz 200
    client=$("$DOCKER" network inspect --format '{{ range .IPAM.Config }}{{ .Gateway }}{{ end }}' ${COMPOSE_PROJECT_NAME}_public)
    sed -i "s|^allow 192.*|allow $client;|" "$work/restrict/restrict.conf"
    quietly compose exec -T proxy nginx -t
    quietly compose exec -T proxy nginx -s reload
    wait_for is_answered /version 200
}

# expect_no_start REASON: what compose.yaml and the override say is told, and nothing is touched.
expect_no_start() {
    before=$(container_of proxy)
    ! compose update >"$scratch/output" 2>&1 || fail "taken: $1"
    grep -qF "$1" "$scratch/output" || fail "not for '$1': $(cat "$scratch/output")"
    expect_equal "$(container_of proxy)" "$before"
    is_healthy proxy || fail 'the proxy that ran does not run any more'
}

wrong_configuration_is_told() {
    sed 's/proxy_read_timeout/proxy_reed_timeout/' deploy/nginx/nginx.conf >"$work/wrong.conf"
    cat >"$work/override.yaml" <<YAML
services:
  proxy:
    volumes: ["$work/wrong.conf:/etc/nginx/nginx.conf:ro"]
YAML
    export COMPOSE_FILE="compose.yaml:$work/override.yaml"
    expect_no_start 'unknown directive "proxy_reed_timeout"'
    mkdir "$work/half"
    echo >"$work/half/tls.crt"
    sed -i "s|\[.*|[\"$work/half:/tls:ro\"]|" "$work/override.yaml"
    expect_no_start 'proxy: /tls: of tls.crt and tls.key only one is there'
    rm "$work/half/tls.crt"
    expect_no_start 'proxy: /tls: no tls.crt and tls.key are there, and none can be made'
    export COMPOSE_FILE=compose.yaml
    limit=$RATE_LIMIT
    export RATE_LIMIT=1.5
    expect_no_start "proxy: RATE_LIMIT: '1.5' is not a whole number from 0 to 999999"
    export RATE_LIMIT="$limit"
    quietly compose update
    expect_equal "$(ask "$https/version")" "$(document 1.0.0)"
}

# expect_all DOCUMENT: a hundred times.
expect_all() {
    ask "$https/version?[1-100]" >"$scratch/all"
    expect_equal "$(sort "$scratch/all" | uniq -c | sed 's/^ *//')" "100 $1"
}

# --- under load ---

# start_load DOCUMENT...: 32 connections over TLS that ask steadily, each answer being one of those.
start_load() {
    wrk --threads 2 --connections 32 --duration 300s --timeout 10s --latency --script tests/support/answers.lua "$https/version" -- "$@" \
        >"$work/load" 2>&1 &
    load=$!
    trap '[ -z "$load" ] || kill $load' EXIT
    counted=$(requests)
    wait_for has_asked 1000
}

# requests: how many both replicas have answered. Their network is this host's, too.
requests() {
    for address in 11 12; do
        curl -s --max-time 1 "http://${SUBNET:-172.31.250}.$address:5000/metrics" || echo "$address does not answer"
    done | awk '/^http_requests_total\{path="\/version",method="GET",code="200"\}/ { all += $2 } END { print all + 0 }'
}

# has_asked COUNT: of the load, since `counted`.
has_asked() { [ $(($(requests) - counted)) -ge "$1" ]; }

# end_load NAME: lost must be nothing, and the load must have been one.
end_load() {
    counted=$(requests)
    wait_for has_asked 1000
    kill -0 "$load" || fail "the load ended before: $(cat "$work/load")"
    kill -INT "$load"
    wait "$load" || fail "the load: $(cat "$work/load")"
    load=
    line=$(grep '^requests=' "$work/load") || fail "the load: $(cat "$work/load")"
    echo "$1: $line"
    echo "$line" | grep -q ' wrong=0 connect=0 read=0 write=0 timeout=0 ' || fail "lost: $(cat "$work/load")"
    echo "$line" | awk -F '[= ]' '{ exit !($2 / $4 >= 1000) }' || fail "less than 1,000 requests/s: $line"
}

load_is_steady() {
    start_load "$(document 1.0.0)"
    wait_for has_asked 10000
    end_load steady
}

replica_is_stopped() {
    start_load "$(document 1.0.0)"
    quietly "$DOCKER" stop "$(container_of versiond-1)"
    counted=$(requests)
    wait_for has_asked 3000
    quietly "$DOCKER" start "$(container_of versiond-1)"
    wait_for is_healthy versiond-1
    end_load stop
}

# As somebody without rights in another container, who sees the host's processes.
replica_is_killed() {
    start_load "$(document 1.0.0)"
    pid=$(inspect versiond-2 '{{ .State.Pid }}')
    started=$(inspect versiond-2 '{{ .State.StartedAt }}')
    quietly "$DOCKER" run --rm --pid host --user 65532:65532 --cap-drop ALL "$BASE" sh -c "kill -KILL $pid"
    wait_for is_new versiond-2 "$started"
    wait_for is_healthy versiond-2
    end_load kill
}

is_new() { ! is "$1" '{{ .State.StartedAt }}' "$2"; }

replica_is_frozen() {
    start_load "$(document 1.0.0)"
    since=$(date +%s)
    quietly "$DOCKER" kill --signal STOP "$(container_of versiond-1)"
    wait_for has_timed_out "$since"
    counted=$(requests)
    wait_for has_asked 10000
    quietly "$DOCKER" kill --signal CONT "$(container_of versiond-1)"
    wait_for is_healthy versiond-1
    end_load freeze
}

# has_timed_out SINCE: NGINX has waited in vain for an answer.
has_timed_out() {
    "$DOCKER" logs --since "$1" "$(container_of proxy)" 2>&1 >"$scratch/access" |
        grep 'upstream timed out .* while reading response header' >"$scratch/timed-out"
}

replicas_are_replaced() {
    start_load "$(document 1.0.0)" "$(document 1.1.0)"
    quietly env VERSION=1.1.0 scripts/compose.sh update
    end_load replace
    expect_all "$(document 1.1.0)"
}

update_that_fails_stops_and_is_taken_back() {
    start_load "$(document 1.0.0)" "$(document 1.1.0)"
    ! env VERSION=unready scripts/compose.sh update >"$scratch/output" 2>&1 || fail 'the update went through'
    grep -q '^compose: versiond-1 has not become healthy: running unhealthy' "$scratch/output" || fail "said: $(cat "$scratch/output")"
    expect_equal "$(inspect versiond-2 '{{ .Config.Image }}')" $image:1.1.0
    quietly env VERSION=1.1.0 scripts/compose.sh update
    end_load 'update that fails'
    expect_all "$(document 1.1.0)"
}

# Both at once: that is not the proxy's to hide. As soon as they are back so is the answer, though both are thought to be dead.
both_are_started_again() {
    quietly "$DOCKER" kill "$(container_of versiond-1)" "$(container_of versiond-2)"
    ask "$https/version" | grep -qE '"title":"(Bad Gateway|Gateway Timeout)"' || fail 'somebody answers'
    quietly "$DOCKER" start "$(container_of versiond-1)" "$(container_of versiond-2)"
    for address in 11 12; do
        wait_for curl -s -o "$scratch/body" "http://${SUBNET:-172.31.250}.$address:5000/readyz"
    done
    expect_equal "$(ask "$https/version")" "$(document 1.0.0)"
}

what_it_takes_is_installed() {
    needs curl openssl python3 wrk
    compose version >"$scratch/output" 2>&1 || skip "$(tail -n 1 "$scratch/output")"
}

run_tests what_it_takes_is_installed >"$work/needs" || { cat "$work/needs"; exit 1; }
if grep '^skipped' "$work/needs"; then
    cat "$work/needs"
    exit
fi
ports=$(free_ports)
export HTTP_PORT="${ports% *}" HTTPS_PORT="${ports#* }" RATE_LIMIT=100000 IMAGE=$image VERSION=1.0.0 PROXY_IMAGE=$image-proxy
http=http://127.0.0.1:$HTTP_PORT https=https://127.0.0.1:$HTTPS_PORT
trap finish EXIT
trap 'exit 130' INT TERM
run_tests images_are_built proxy_starts_after_the_replicas_are_healthy containers_have_few_rights http_leads_to_https tls_is_of_today \
    bodies_are_refused metrics_are_not_public malformed_requests_are_told_so client_is_who_connects certificate_survives \
    proxy_takes_what_is_mounted wrong_configuration_is_told both_are_started_again load_is_steady \
    replica_is_stopped replica_is_killed replica_is_frozen replicas_are_replaced update_that_fails_stops_and_is_taken_back
