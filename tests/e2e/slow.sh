#!/bin/bash
# Attacks the program with thousands of slow clients (Debian's slowhttptest) while another client uses it. Every response must be
# right, and afterwards descriptors, threads and memory must be as before. Run it from the root of the project.
# Environment: PROGRAM; LOAD, the program of tests/load/load.c; CONNECTIONS (4000); DURATION (4, seconds that each attack
# continues after all have connected); RAW (a folder for the figures).
#
# Prints latencies next to those of a second server that is not attacked. No bound is checked: none holds on a busy machine.
set -eu
. tests/support/check.sh
. tests/support/servers.sh

program=${PROGRAM:?names the program}
: "${LOAD:?names the load generator}"
connections=${CONNECTIONS:-4000}
duration=${DURATION:-4}
raw=${RAW:-}

# start FLAG...: serves at $port as process $server.
start() {
    "$program" --address 127.0.0.1 --port 0 --log-format json --access-log off "$@" 2>"$scratch/log" &
    server=$!
    servers="$servers $server"
    port=$(await "$scratch/log" '"port":[0-9]*' | cut -d : -f 2)
}

# metric NAME: its value now, as a whole number.
metric() {
    curl -sf "http://127.0.0.1:$port/metrics" >"$scratch/metrics" || fail '/metrics does not answer'
    awk -v name="$1" '$1 == name { printf "%d\n", $2; found = 1 } END { exit !found }' "$scratch/metrics" || fail "no $1"
}

# descriptors, threads, resident: of the server.
descriptors() { find "/proc/$server/fd" -type l | wc -l; }
threads() { awk '$1 == "Threads:" { print $2 }' "/proc/$server/status"; }
resident() { awk '$1 == "VmRSS:" { print $2 }' "/proc/$server/status"; }

# Only the connection that asks is open.
is_alone() { [ "$(metric http_connections_open)" = 1 ]; }
has_descriptors() { [ "$(descriptors)" -le "$1" ]; }
has_resident() { [ "$(resident)" -le "$1" ]; }
has_evicted() { [ "$(metric http_connections_evicted_total)" -gt 0 ]; }

# start_load PORT FILE: starts a client that uses a new connection for each request, and writes its figures to FILE.
start_load() {
    "$LOAD" 127.0.0.1 "$1" 0 1 300 >"$2" 2>"$scratch/errors" &
    servers="$servers $!"
}

# end_load FILE: ends the client that was started last. None of its requests may be lost.
end_load() {
    local client=${servers##* }
    servers=${servers% *}
    kill "$client" || : # it has ended: so say why
    wait "$client" || fail "lost: $(grep '"lost":"' "$1")$(cat "$scratch/errors")"
    tail -n 1 "$1" | sed "s/^/$(basename "$1"): /"
}

# ask NAME COMMAND...: runs COMMAND while clients use both servers.
ask() {
    local name=$1
    shift
    start_load "$port" "$scratch/$name"
    start_load "$idle_port" "$scratch/$name-idle"
    "$@" || fail "$*: $(cat "$scratch/said")"
    end_load "$scratch/$name-idle"
    end_load "$scratch/$name"
    [ -z "$raw" ] || { mkdir -p "$raw" && cp "$scratch/$name" "$scratch/$name-idle" "$raw/"; }
}

# Connections without those of the load and of metric().
have_come() {
    metric http_connections_accepted_total >"$scratch/accepted"
    awk -v accepted="$(cat "$scratch/accepted")" -v wanted="$connections" '
        /^http_requests_total{path="\/(version|healthz|metrics)"/ { accepted -= $2 }
        END { exit accepted < wanted }' "$scratch/metrics"
}

# attack ARGUMENT...: runs slowhttptest until all of its connections have come, and DURATION seconds more.
attack() {
    local attacker
    slowhttptest -c "$connections" -r "$connections" -l 120 -i 1 -p 60 -v 1 "$@" \
        -u "http://127.0.0.1:$port/openapi.json" >"$scratch/said" 2>&1 &
    attacker=$!
    servers="$servers $attacker"
    wait_until "$connections slow connections" have_come
    sleep "$duration"
    servers=${servers% *}
    kill -INT "$attacker" || echo 'all slow connections were closed, and slowhttptest has ended'
    wait "$attacker" || echo "slowhttptest ends with $?"
}

# survive NAME LIMIT DEADLINE ARGUMENT...: attacks a server with that limit of connections and that deadline of requests.
survive() {
    local name=$1 limit=$2 deadline=$3 had_descriptors had_threads had_resident
    shift 3
    needs slowhttptest curl
    [ "$(ulimit -n)" -ge $((connections + 500)) ] || ulimit -n $((connections + 500)) || skip "ulimit -n is too low"
    trap stop_servers EXIT
    trap 'exit 130' INT TERM
    start
    idle_port=$port
    start --max-connections "$limit" --request-deadline "$deadline"
    wait_until 'no connection' is_alone
    had_descriptors=$(descriptors) had_threads=$(threads) had_resident=$(resident)
    ask "$name" attack "$@"
    [ "$limit" -gt "$connections" ] || has_evicted || fail 'none was closed to make room'
    wait_until 'no connection' is_alone
    wait_until "$had_descriptors descriptors" has_descriptors "$had_descriptors"
    expect_equal "$(threads)" "$had_threads"
    # Less than 1 kB for each connection: what they needed (10 kB) has gone back.
    wait_until "memory: $had_resident kB before" has_resident $((had_resident + connections))
    echo "$name: before and after: descriptors $had_descriptors $(descriptors), threads $had_threads $(threads), kB $had_resident $(resident)"
    curl -sf "http://127.0.0.1:$port/version" >"$scratch/version"
    kill "$server"
    wait "$server" || fail "ends with $?: $(cat "$scratch/log")"
    servers=${servers% *}
}

slow_heads() { survive slow_heads 10000 2s -H; }
slow_bodies() { survive slow_bodies 10000 2s -B -s 8192; }
slow_readers() { survive slow_readers 10000 2s -X -k 10 -n 1 -w 1 -y 256 -z 5; }
many_ranges() { survive many_ranges 10000 2s -R; }
# With a long deadline all of them are open at once, however slowly they come, so that some are closed to make room.
slow_heads_above_the_limit() { survive slow_heads_above_the_limit 1000 60s -H; }
slow_readers_above_the_limit() { survive slow_readers_above_the_limit 1000 60s -X -k 10 -n 1 -w 1 -y 256 -z 5; }

run_tests slow_heads slow_bodies slow_readers many_ranges slow_heads_above_the_limit slow_readers_above_the_limit
