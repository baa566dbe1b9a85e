#!/usr/bin/env -S python3 -B
"""Counts what a request costs: `make bench-profile`. These figures are the same on a busy machine.

    bench/cost.py PROGRAM DYNAMIC WORK

PROGRAM is versiond as it ships; DYNAMIC the same with the libc as a library, as valgrind sees allocations only there;
WORK, a folder, gets what the tools say, and callgrind.out. Each is asked REQUESTS requests, and once more twice as
many, each of the connections in its turn: the difference is what requests cost, without start and stop.
Environment: REQUESTS (2000), CONNECTIONS (the first number of it counts; 1), THREADS (1).
Exit status: 0; 1 when something failed, 2 for wrong settings.
"""

import contextlib
import pathlib
import re
import socket
import sys

import measure
import report
import servers
import settings


def ask(running, requests, count):
    body = running.get("/version")[2]
    with contextlib.ExitStack() as opened:
        connections = [
            opened.enter_context(
                socket.create_connection(("127.0.0.1", running.port), measure.PATIENCE, (measure.CLIENT, 0))
            )
            for _ in range(count)
        ]
        for number in range(requests):
            measure.ask_once(connections[number % count], body)


def found(pattern, said):
    match = re.search(pattern, said)
    if match is None:
        raise servers.Failure(f"no '{pattern}' in what it says: {said[-500:]}")
    return int(match[1].replace(",", ""))


def instructions(said):
    return {"instructions": found(r"Collected : (\d+)", said)}


def allocations(said):
    return {"allocations": found(r"total heap usage: ([\d,]+) allocs", said)}


def system_calls(said):
    calls = {name: int(number) for number, name in re.findall(r"^ *(\d+) (\w+)$", said, re.MULTILINE)}
    if calls.pop("total", 0) == 0:
        raise servers.Failure(f"strace counts nothing: {said[-500:]}")
    return calls


def per_request(command, read, place, options):
    """What was counted by a command that runs the program, a request."""
    counts = []
    for requests in (options["requests"], 2 * options["requests"]):
        server = servers.versiond(place)
        plain = server.command
        server.command = lambda port, plain=plain: command + plain(port)
        log = place.work / f"{command[0]}.log"
        with measure.Running(server, log) as running:
            ask(running, requests, options["connections"])
        counts.append(read(log.read_text()))
    once, twice = counts
    return {name: (count - once.get(name, 0)) / options["requests"] for name, count in twice.items()}


def main():
    program, dynamic, work = (pathlib.Path(argument).resolve() for argument in sys.argv[1:4])
    options = {
        "requests": settings.number("REQUESTS", 2000),
        "connections": settings.numbers("CONNECTIONS", "1")[0],
    }
    threads = settings.number("THREADS", 1)
    work.mkdir(parents=True, exist_ok=True)
    shipped, linked = (servers.Place(each, work, work, threads) for each in (program, dynamic))
    callgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={work}/callgrind.out"]
    memcheck = ["valgrind", "--tool=memcheck", "--run-libc-freeres=no"]
    strace = ["strace", "--follow-forks", "--summary-only", "--summary-columns=calls,name"]
    try:
        measure.be_ready(options["connections"] + 100, "valgrind", "strace")
        rows = per_request(callgrind, instructions, shipped, options)
        rows |= per_request(memcheck, allocations, linked, options)
        calls = per_request(strace, system_calls, shipped, options)
    except servers.Failure as failure:
        sys.exit(f"bench-profile: {failure}")
    # What happens now and then, such as a look at the time once a second, is no cost of a request.
    rows |= {name: cost for name, cost in calls.items() if cost >= 0.01}
    print(f"\n{options['requests']} requests, {options['connections']} connections, {threads} threads:\n")
    print(report.table(["What", "per request"], [[name, f"{cost:,.2f}"] for name, cost in rows.items()]))


if __name__ == "__main__":
    main()
