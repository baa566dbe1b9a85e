#!/bin/sh
# That `make bench` measures, and that it fails when what it compares does not do the same. It takes half a minute and
# both CPUs, so `make test` leaves it out. Run it from the root of the project; wants musl-gcc, wrk, nginx, go and
# python3-venv.
set -eu
. tests/support/check.sh

out=build/plain-static-musl-gcc
name=$(sed -n 's/^NAME *= *//p' Makefile)

# bench FOLDER: the comparison itself, of what is in PROGRAM; all that is said is in FOLDER.log, the exit status at its end.
bench() {
    status=0
    bench/bench.py "${PROGRAM-$out/$name}" $out/bench "$1" >"$1.log" 2>&1 || status=$?
    echo "exit status $status" >>"$1.log"
}

# expect_said FOLDER PATTERN STATUS
expect_said() {
    grep -q "$2" "$1.log" || fail "did not say '$2': $(cat "$1.log")"
    expect_equal "$(tail -n 1 "$1.log")" "exit status $3"
}

# nginx_with SED: puts an nginx before the other that changes its configuration so.
nginx_with() {
    real=$(PATH=$PATH:/usr/sbin command -v nginx)
    mkdir "$scratch/bin"
    cat >"$scratch/bin/nginx" <<NGINX
#!/bin/sh
[ "\$1" != -p ] || sed -i '$1' "\$2/nginx.conf"
exec $real "\$@"
NGINX
    chmod +x "$scratch/bin/nginx"
    PATH=$scratch/bin:$PATH
}

all_peers_are_measured() {
    make bench ROUNDS=1 DURATION=1 >"$scratch/log" 2>&1 || fail "$(cat "$scratch/log")"
    ! grep -E 'not measured|missing' "$scratch/log" || fail 'not all were measured'
    for name in '\*\*versiond\*\*' floor nginx 'Go net/http' gunicorn "Flask's own server"; do
        # under load with both numbers of connections; start, memory and size; what was measured
        expect_equal "$(grep -c "^| $name |" "$scratch/log")" 4
    done
    expect_equal "$(grep -c '| met |$\|| missed |$' "$scratch/log")" 9
    expect_equal "$(jq -r '.rounds | length' build/bench/bench.json)" 6
    for file in bench.md bench-light.svg bench-dark.svg; do
        [ -s build/bench/$file ] || fail "no $file"
    done
}

logging_and_scrapes_are_measured() {
    make bench-load ROUNDS=1 DURATION=1 >"$scratch/log" 2>&1 || fail "$(cat "$scratch/log")"
    expect_equal "$(grep -cE '^\| (off|errors|all) \|' "$scratch/log")" 3
    expect_equal "$(grep -oE '\| (met|missed) \|' "$scratch/log" | grep -c .)" 4
}

request_is_counted() {
    make bench-profile REQUESTS=50 >"$scratch/log" 2>&1 || fail "$(cat "$scratch/log")"
    for row in 'instructions | [1-9][0-9]*,[0-9]*\.[0-9]*' 'allocations | 0\.00' 'recvfrom | \(0\.9\|1\.\)[0-9]*' 'sendmsg | \(0\.9\|1\.\)[0-9]*'; do
        grep -qx "| $row |" "$scratch/log" || fail "no row '$row' in: $(cat "$scratch/log")"
    done
    [ -s build/bench-profile/callgrind.out ] || fail 'no callgrind.out'
}

missing_peer_is_named() {
    mkdir "$scratch/bin"
    echo "$PATH:/usr/sbin" | tr : '\n' | while read -r folder; do
        [ ! -d "$folder" ] || find "$folder"/ -maxdepth 1 ! -type d -executable ! -name go -exec ln -sf -t "$scratch/bin" {} +
    done
    export ROUNDS=1 DURATION=1 PEERS=go
    PATH=$scratch/bin bench "$scratch/work"
    expect_said "$scratch/work" '^| Go net/http | not measured: go is not installed: apt-get install golang-go |' 0
    expect_said "$scratch/work" '^| nginx | not measured: left out by PEERS |' 0
    expect_said "$scratch/work" '^| CPU a request, of the floor.s | at most 1.1 | – | not measured |$' 0
}

wrong_body_fails() {
    nginx_with 's/return 200 .{/&\\n/'
    export ROUNDS=1 DURATION=1 PEERS=nginx
    bench "$scratch/work"
    expect_said "$scratch/work" '^bench: nginx: answers .* not (200, ' 1
}

wrong_content_type_fails() {
    nginx_with 's/default_type .*/default_type text\/plain;/'
    export ROUNDS=1 DURATION=1 PEERS=nginx
    bench "$scratch/work"
    expect_said "$scratch/work" "^bench: nginx: answers (200, 'text/plain', .* not (200, " 1
}

# From its hundredth on, a connection's requests are answered otherwise.
# shellcheck disable=SC2016 # nginx's variables
wrong_status_under_load_fails() {
    nginx_with '/^map/d; s/^http {/&\nmap $connection_requests $late { default ""; ~... 1; }/
        s/^ *return 200/if ($late) { return 503; } &/'
    export ROUNDS=1 DURATION=1 PEERS=nginx
    bench "$scratch/work"
    expect_said "$scratch/work" "^bench: nginx: has failed under load: .*'status': [1-9]" 1
}

# The kernel ends it after a second of CPU.
server_that_dies_fails() {
    printf '#!/bin/sh\nulimit -t 1\nexec %s "$@"\n' "$PWD/$out/$name" >"$scratch/versiond"
    chmod +x "$scratch/versiond"
    export ROUNDS=1 DURATION=4 PEERS=floor
    PROGRAM=$scratch/versiond bench "$scratch/work"
    expect_said "$scratch/work" '^bench: versiond: has ended with -' 1
}

server_that_does_not_start_fails() {
    nginx_with 's/^events/evens/'
    export ROUNDS=1 DURATION=1 PEERS=nginx
    bench "$scratch/work"
    expect_said "$scratch/work" '^it said: .*unknown directive "evens"' 1
}

# While a server is asked: it ends, and so does what asks.
interrupt_ends_all() {
    ROUNDS=1 DURATION=60 PEERS=nginx bench/bench.py "$out/$name" $out/bench "$scratch/work" >"$scratch/log" 2>&1 &
    driver=$!
    until wrk=$(pgrep -P $driver -x wrk); do
        kill -0 $driver || fail "has ended: $(cat "$scratch/log")"
        sleep 0.05
    done
    children=$(pgrep -P $driver)
    kill $driver
    status=0
    wait $driver || status=$?
    expect_equal "$status" 143
    for child in $children $wrk; do
        [ ! -e "/proc/$child" ] || fail "$child is left: $(tr '\0' ' ' <"/proc/$child/cmdline")"
    done
}

wrong_settings_are_refused() {
    ROUNDS=0 bench "$scratch/rounds"
    expect_said "$scratch/rounds" "^bench: ROUNDS: '0' is not a whole number from 1$" 2
    CONNECTIONS='32 x' bench "$scratch/connections"
    expect_said "$scratch/connections" "^bench: CONNECTIONS: 'x' is not a whole number from 1$" 2
    PEERS=apache bench "$scratch/peers"
    expect_said "$scratch/peers" "^bench: PEERS: 'apache' is not one of floor, nginx, go, gunicorn, flask$" 2
}

figures_that_are_not_of_the_rounds_are_found() {
    cp -r docs "$scratch/docs"
    bench/report.py "$scratch/docs" --check
    for file in bench.json bench.md bench-light.svg bench-dark.svg; do
        cp "docs/$file" "$scratch/docs/$file"
        sed -i 's/"requests_per_s": 1/&1/; s/| met |/| missed |/; s/versiond</version</' "$scratch/docs/$file"
        ! bench/report.py "$scratch/docs" --check 2>"$scratch/log" || fail "taken: $file"
        grep -q "^report: .* is not what its rounds say; run 'make bench bench-docs'$" "$scratch/log" || fail "$(cat "$scratch/log")"
        cp "docs/$file" "$scratch/docs/$file"
    done
}

run_tests all_peers_are_measured logging_and_scrapes_are_measured request_is_counted missing_peer_is_named wrong_body_fails \
    wrong_content_type_fails wrong_status_under_load_fails server_that_dies_fails server_that_does_not_start_fails \
    interrupt_ends_all wrong_settings_are_refused figures_that_are_not_of_the_rounds_are_found
