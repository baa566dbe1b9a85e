#!/usr/bin/env -S python3 -B
"""Compares versiond with its peers, in alternating rounds: `make bench`.

    bench/bench.py PROGRAM HELPERS WORK

PROGRAM is versiond, HELPERS the folder of floor and start, WORK the folder for all that is written: bench.json (every
round), bench.md, bench-light.svg, bench-dark.svg.
Environment: ROUNDS, DURATION (whole seconds, of each load), CONNECTIONS (a list, the first is what the targets are
for), PEERS (a list of names in bench/servers.py), THREADS (of each server; the CPUs that there are).
Exit status: 0, also when a target was missed; 1 when something failed, 2 for wrong settings.
"""

import datetime
import pathlib
import platform
import sys

import measure
import report
import servers
import settings

IDLE = 1000  # connections


def machine():
    """What the figures depend on."""
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cpus": settings.cpus(),
        "kernel": platform.release(),
        "system": platform.freedesktop_os_release()["PRETTY_NAME"],
    }


def fetch_answer(place):
    """Leaves in the place what versiond answers, whole and its body: all others are to say the same."""
    server = servers.versiond(place)
    with measure.Running(server, place.work / "versiond.log") as running:
        place.answer = running.raw_answer()
        place.body = running.get("/version")[2]
    return server


def make_ready(place, chosen):
    """The servers, versiond first, and why peers are missing."""
    ready, missing = [fetch_answer(place)], {}
    for name in chosen:
        try:
            ready.append(servers.PEERS[name](place))
        except servers.Missing as why:
            missing[servers.TITLES[name]] = str(why)
            print(f"bench: {servers.TITLES[name]} is missing: {why}", flush=True)
    left_out = [servers.TITLES[name] for name in servers.PEERS if name not in chosen]
    return ready, missing | dict.fromkeys(left_out, "left out by PEERS")


def measure_memory(running, body):
    """kB idle and with idle connections; None for these when the server does not keep them open."""
    idle = running.memory()
    with measure.idle_connections(running, IDLE, body) as count_open:
        connected = running.memory() if count_open() == IDLE else None
    return {"idle_kb": idle, "connected_kb": connected}


def measure_server(server, place, options):
    log = place.work / f"{server.name.split()[0]}.log"
    result = {"start_us": measure.start_times(server, place.helpers / "start", log)}
    with measure.Running(server, log) as running:
        running.check(place.body)
        result |= measure_memory(running, place.body)
        loads = {str(count): running.load(count, options["duration_s"]) for count in options["connections"]}
        running.check(place.body)
    return result | {"load": loads}


def run_rounds(ready, place, options):
    """What was measured, a row for each round and server."""
    rounds = []
    for number, server in measure.in_turn(ready, options["rounds"]):
        print(f"bench: round {number} of {options['rounds']}: {server.name}", flush=True)
        rounds.append({"round": number, "server": server.name} | measure_server(server, place, options))
    return rounds


def compare(place, options, chosen):
    ready, missing = make_ready(place, chosen)
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "machine": machine(),
        "settings": options,
        "servers": [
            {
                "name": server.name,
                "version": server.version,
                "configuration": server.configuration,
                "bytes": server.size,
            }
            for server in ready
        ],
        "missing": missing,
        "rounds": run_rounds(ready, place, options),
    }


def main():
    program, helpers, work = (pathlib.Path(argument).resolve() for argument in sys.argv[1:4])
    options = {
        "rounds": settings.number("ROUNDS", 7),
        "duration_s": settings.number("DURATION", 3),
        "connections": settings.numbers("CONNECTIONS", "32 1"),
        "threads": settings.number("THREADS", settings.cpus()),
        "idle_connections": IDLE,
    }
    chosen = settings.names("PEERS", servers.PEERS)
    work.mkdir(parents=True, exist_ok=True)
    try:
        measure.be_ready(2 * IDLE, "wrk")
        place = servers.Place(program, helpers, work, options["threads"])
        result = compare(place, options, chosen)
    except servers.Failure as failure:
        sys.exit(f"bench: {failure}")
    report.write(result, work)
    print(report.markdown(result))


if __name__ == "__main__":
    main()
