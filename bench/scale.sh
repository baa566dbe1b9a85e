#!/bin/bash
# What a pod of one thread serves, and what goes over the network for it: the program in a network namespace of its own, wrk in
# another, a cable between them (veth). Each mode runs ROUNDS (3) times for DURATION (3) seconds; the median by CPU time a
# request is printed, as a row of Markdown.
# Usage: bench/scale.sh PROGRAM, as root. Wants wrk, iproute2 and jq.
# CPU is what the program's process was charged; a share of a CPU is a quota, as a container's limit is (control groups, of
# either version).
set -euo pipefail

if [ -z "${SCALE_WORK-}" ]; then
    SCALE_WORK=$(mktemp -d)
    export SCALE_WORK
    status=0
    unshare --net --mount --pid --fork --kill-child --mount-proc "$0" "$@" || status=$?
    for group in /sys/fs/cgroup/cpu/versiond-scale /sys/fs/cgroup/versiond-scale; do
        [ ! -d "$group" ] || rmdir "$group"
    done
    rm -rf "$SCALE_WORK"
    exit "$status"
fi

program=$1
work=$SCALE_WORK
url=http://10.89.0.2:5000/version

lay_cable() {
    mount -t tmpfs none /run
    ip link set lo up
    ip netns add server
    ip link add client type veth peer name eth0 netns server
    ip address add 10.89.0.1/24 dev client
    ip link set client up
    ip -n server link set lo up
    ip -n server address add 10.89.0.2/24 dev eth0
    ip -n server link set eth0 up
}

# limit MILLICORES PID: as a container's limit of CPU; 0 is none.
limit() {
    [ "$1" != 0 ] || return 0
    if [ -d /sys/fs/cgroup/cpu ]; then
        group=/sys/fs/cgroup/cpu/versiond-scale
        mkdir -p $group
        echo 100000 >$group/cpu.cfs_period_us
        echo $(($1 * 100)) >$group/cpu.cfs_quota_us
    else
        group=/sys/fs/cgroup/versiond-scale
        mkdir -p $group
        echo "$(($1 * 100)) 100000" >$group/cpu.max
    fi
    echo "$2" >$group/cgroup.procs
}

# cpu PID: microseconds of CPU that it was charged.
cpu() { awk -v hertz="$(getconf CLK_TCK)" '{ print ($14 + $15) * 1000000 / hertz }' "/proc/$1/stat"; }

# sum_of DIRECTION FIELD: a counter of the cable, at the client's end.
sum_of() { ip -json -stats link show dev client | jq ".[0].stats64.$1.$2"; }

# round MILLICORES CONNECTIONS HEADER: prints requests a second, CPU us a request, its 99th percentile in us, and per request the
# bytes to and from the server and the packets to and from it; or nothing when a request was lost.
round() {
    local pid cpu bytes_in bytes_out packets_in packets_out
    nsenter --net=/run/netns/server "$program" --threads 1 --address 10.89.0.2 2>"$work/log" &
    pid=$!
    until grep -q '"listening"' "$work/log"; do
        kill -0 $pid
        sleep 0.05
    done
    limit "$1" $pid
    cpu=$(cpu $pid) bytes_out=$(sum_of tx bytes) bytes_in=$(sum_of rx bytes)
    packets_out=$(sum_of tx packets) packets_in=$(sum_of rx packets)
    wrk --threads 1 --connections "$2" --duration "${DURATION:-3}s" --timeout 10s --header "$3" \
        --script bench/wrk.lua "$url" >"$work/wrk"
    tail -n 1 "$work/wrk" | jq -r --argjson cpu "$(($(cpu $pid) - cpu))" \
        --argjson sent "$(($(sum_of tx bytes) - bytes_out))" --argjson received "$(($(sum_of rx bytes) - bytes_in))" \
        --argjson out "$(($(sum_of tx packets) - packets_out))" --argjson in "$(($(sum_of rx packets) - packets_in))" '
        if (.errors | add) > 0 then error("requests were lost") else
        [.requests * 1000000 / .duration_us, $cpu / .requests, .p99, $sent / .requests, $received / .requests, $out / .requests, $in / .requests]
        | map(tostring) | join(" ") end'
    kill $pid
    wait $pid
}

# measure NAME MILLICORES CONNECTIONS HEADER
measure() {
    local name=$1
    shift
    for _ in $(seq "${ROUNDS:-3}"); do round "$@"; done | sort -g -k 2 |
        awk -v name="$name" '{ line[NR] = $0 } END { split(line[int((NR + 1) / 2)], f);
            printf "| %s | %d | %.2f | %d | %d | %d | %.2f | %.2f |\n", name, f[1], f[2], f[3], f[4], f[5], f[6], f[7] }'
}

lay_cable
echo '| What | requests/s | CPU µs per request | p99 µs | bytes in | bytes out | packets in | packets out |'
echo '| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |'
measure '32 connections kept' 0 32 'X: y'
measure '1,000 connections kept' 0 1000 'X: y'
measure 'a new connection for each request, 32 at once' 0 32 'Connection: close'
measure '32 kept, limit of 1 CPU' 1000 32 'X: y'
measure '32 kept, limit of 100m' 100 32 'X: y'
