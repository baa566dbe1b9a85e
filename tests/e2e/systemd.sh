#!/bin/bash
# Tests the units, socket activation and the notifications to systemd. Where the machine allows it, systemd runs the units as
# process 1. Run it from the root of the project.
# Environment: PROGRAM; INSTALLED, the DESTDIR of `make install PREFIX=/usr/local`; LOAD, the program of tests/load/load.c;
# RATE (1800), requests per second during the restarts; RESTARTS (10).
set -eu
. tests/support/check.sh

: "${PROGRAM:?names the program}" "${LOAD:?names the load generator}" "${INSTALLED:?names a folder}"
rate=${RATE:-1800}
restarts=${RESTARTS:-10}
units=$INSTALLED/usr/local/lib/systemd/system

# --- the units ---

units_are_valid() {
    needs systemd-analyze
    # A service needs its program, at its place.
    mkdir -p "$scratch/units"
    sed "s,^ExecStart=,&$(realpath "$INSTALLED")," "$units/versiond.service" >"$scratch/units/versiond.service"
    cp "$units/versiond.socket" "$scratch/units/"
    systemd-analyze verify --man=no "$scratch"/units/versiond.* >"$scratch/said" 2>&1 || fail "$(cat "$scratch/said")"
    # What it says of units of the machine is none of ours.
    ! grep -F "$scratch/units" "$scratch/said" || fail 'it complains'
}

units_are_safe() {
    needs systemd-analyze
    # 0.2 with systemd 252, of 10; in tenths.
    systemd-analyze security --offline=true --no-pager --threshold=3 "$units/versiond.service" >"$scratch/said" 2>&1 ||
        fail "$(cat "$scratch/said")"
    grep 'Overall exposure level' "$scratch/said"
}

# --- one process after the other ---

# end_server: also when a test fails before it has ended.
end_server() { ! kill -0 "$server" 2>/dev/null || kill "$server"; }

# activate FLAG...: starts the program through systemd-socket-activate as process $server, once somebody asks at the port that
# this leaves in $port: a socket that the kernel has picked the port of, as it takes none of port 0 itself.
activate() {
    python3 - "$scratch/port" systemd-socket-activate "$@" 2>"$scratch/log" <<'ACTIVATE' &
import os, socket, sys
listener = socket.create_server(("127.0.0.1", 0))
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)  # also when it was 3 before
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
with open(sys.argv[1], "w") as file:
    print(listener.getsockname()[1], file=file)
os.execvp(sys.argv[2], sys.argv[2:])
ACTIVATE
    server=$!
    trap end_server EXIT
    wait_until 'a port' [ -s "$scratch/port" ]
    port=$(cat "$scratch/port")
}

program_is_activated_by_its_first_client() {
    needs systemd-socket-activate curl python3
    activate "$PROGRAM" --port 1 --address ::1
    curl -sf --max-time 60 "http://127.0.0.1:$port/version" >"$scratch/answer" || fail "curl: $?, $(cat "$scratch/log")"
    # Its threads may answer before it says so.
    wait_until "$(cat "$scratch/log")" \
        grep -q "\"address\":\"127.0.0.1\",\"port\":$port,.*\"socket\":\"passed\"}" "$scratch/log"
    kill "$server"
    wait "$server" || fail "it ends with $?"
}

# poke TYPE: connects to $scratch/socket, or sends to it, which starts who is to be activated.
poke() {
    python3 - "$scratch/socket" 2>"$scratch/poked" <<POKE
import socket, sys
with socket.socket(socket.AF_UNIX, socket.$1) as poking:
    poking.connect(sys.argv[1])
    if poking.type == socket.SOCK_DGRAM:
        poking.send(b"x")
POKE
}

# expect_refused TEXT: the process $server ends with 1, and says so.
expect_refused() {
    local status=0
    wait "$server" || status=$?
    [ $status = 1 ] || fail "it ends with $status: $(cat "$scratch/log")"
    grep -F "$1" "$scratch/log" || fail "$(cat "$scratch/log")"
}

other_sockets_are_refused() {
    needs systemd-socket-activate python3
    systemd-socket-activate -l "$scratch/socket" "$PROGRAM" 2>"$scratch/log" &
    server=$!
    trap end_server EXIT
    wait_until 'the socket' poke SOCK_STREAM
    expect_refused '"error":"descriptor 3 is not a TCP socket: SO_PROTOCOL is 0","allowed":"LISTEN_FDS=1 and a listening TCP socket"'
    rm "$scratch/socket"
    systemd-socket-activate --datagram -l "$scratch/socket" "$PROGRAM" 2>"$scratch/log" &
    server=$!
    wait_until 'the socket' poke SOCK_DGRAM
    expect_refused '"descriptor 3 is not a stream socket: SO_TYPE is 2"'
    rm "$scratch/socket"
    activate -l "$scratch/socket" "$PROGRAM"
    wait_until 'the socket' poke SOCK_STREAM
    expect_refused "\"LISTEN_FDS: '2' is not 1\""
}

# expect_no_loss: of the load, which has responses of one build only.
expect_no_loss() {
    tail -n 1 "$scratch/figures"
    tail -n 1 "$scratch/figures" | python3 -c 'import json, sys
end = json.load(sys.stdin)
sys.exit(end["lost"] != 0 or len(end["versions"]) != 1 or end["requests"] < 100 * int(sys.argv[1]))' "$restarts" ||
        fail "requests were lost, or there were too few: $(grep '"lost":"' "$scratch/figures")"
}

restarts_on_a_socket_that_is_held_lose_nothing() {
    needs python3
    tests/support/socket_holder.py "$scratch" "$restarts" "$PROGRAM" "$LOAD" 127.0.0.1 PORT 32 16 "$rate" \
        >"$scratch/figures" 2>"$scratch/errors" || fail "$(cat "$scratch/figures" "$scratch/errors")"
    expect_equal "$(grep -c '"msg":"listening".*"socket":"passed"' "$scratch/log")" $((restarts + 1))
    expect_no_loss
}

# --- the real systemd ---

inside() { nsenter -m -u -i -n -p -C -t "$init" -- "$@"; }

# boot: starts systemd with the units as process $init; stop_systemd ends it.
boot() {
    needs unshare nsenter findmnt systemctl python3
    [ "$(id -u)" = 0 ] || skip 'root is needed to start another systemd'
    [ -n "$(findmnt -nt cgroup2)" ] || skip 'there is no cgroup v2'
    mkdir "$scratch/work" "$scratch/root"
    cp -r "$INSTALLED/." "$scratch/root/"
    mkdir "$scratch/root/units"
    cp "$units"/* "$scratch/root/units/"
    for unit in systemd-journald.service systemd-journald.socket systemd-journald-dev-log.socket; do
        cp "/lib/systemd/system/$unit" "$scratch/root/units/"
    done
    # What units depend on by themselves, with nothing behind it.
    for target in sysinit basic sockets shutdown multi-user; do
        printf '[Unit]\nDefaultDependencies=no\n' >"$scratch/root/units/$target.target"
    done
    printf '[Unit]\nWants=systemd-journald.service versiond.socket versiond.service\n' >"$scratch/root/units/default.target"
    mkdir -p "$scratch/root/etc/default"
    printf 'DRAIN_DELAY=0s\n' >"$scratch/root/etc/default/versiond"
    tests/support/boot_systemd.sh "$scratch/work" "$scratch/root" >"$scratch/boot" 2>&1 &
    booted=$!
    trap 'stop_systemd' EXIT
    wait_until 'process 1' find_init
    wait_until 'the service' is_active
}

find_init() {
    local unshare
    kill -0 "$booted" || fail "$(cat "$scratch/boot")"
    unshare=$(pgrep -P "$booted" unshare) && init=$(pgrep -P "$unshare") && [ "$(cat "/proc/$init/comm")" = systemd ]
}

is_active() { inside systemctl is-active --quiet versiond.service 2>"$scratch/said"; }

stop_systemd() {
    trap - EXIT
    kill "$booted"
    wait "$booted" || [ $? = 143 ] # by the signal
}

restarts_by_systemd_lose_nothing() {
    boot
    nsenter -n -t "$init" -- "$LOAD" 127.0.0.1 5000 32 16 "$rate" >"$scratch/figures" 2>"$scratch/errors" &
    client=$!
    for ((i = 0; i < restarts; i++)); do
        sleep 0.5 # of load between two restarts
        inside systemctl restart versiond.service || fail "$(inside systemctl status versiond.service)"
    done
    sleep 0.5
    kill "$client"
    wait "$client" || fail "$(cat "$scratch/figures" "$scratch/errors")"
    inside journalctl --no-pager -o cat -u versiond.service >"$scratch/log"
    expect_equal "$(grep -c '"msg":"listening".*"sandbox":"landlock [0-9]*, seccomp","socket":"passed"' "$scratch/log")" $((restarts + 1))
    expect_no_loss
    inside systemctl status --no-pager versiond.service >"$scratch/status"
    cat "$scratch/status"
    grep -q 'Status: "Serving version ' "$scratch/status" || fail 'no status'
    stop_systemd
}

run_tests units_are_valid units_are_safe program_is_activated_by_its_first_client other_sockets_are_refused \
    restarts_on_a_socket_that_is_held_lose_nothing restarts_by_systemd_lose_nothing
