#!/usr/bin/env -S python3 -B
"""Compares versiond with itself, in alternating rounds: what logging and being watched cost. `make bench-load`.

    bench/load.py PROGRAM WORK

PROGRAM is versiond; WORK, a folder, gets load.json with every round. What is compared is in MODES.
Environment: ROUNDS, DURATION (whole seconds, of each load), THREADS (the CPUs that there are).
Exit status: 0, also when a target was missed; 1 when something failed, 2 for wrong settings.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import statistics
import sys
import threading

import measure
import report
import servers
import settings

CONNECTIONS = 32
IDLE = 10000
PERIOD = 1  # seconds from scrape to scrape


@dataclasses.dataclass
class Mode:
    title: str
    meaning: str
    options: list
    watched: bool = False  # idle connections, scrapes, and a log that nobody reads
    bound: float = 0  # how much may be lost, in percent


MODES = [
    Mode("off", "no request is logged", ["--access-log", "off"]),
    Mode("errors", "the default; there are none", ["--access-log", "errors"], bound=1),
    Mode(
        "all",
        f"each of them, into a pipe that nobody reads, with {IDLE:,} idle connections, and /metrics read every {PERIOD} s",
        ["--access-log", "all", "--access-log-rate", 0, "--max-connections", IDLE + 100],
        watched=True,
        bound=5,
    ),
]


class Scraper:
    """Reads /metrics every PERIOD, in a thread of its own. To be used with `with`."""

    def __init__(self, running):
        self.running = running
        self.problem = None
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.work)

    def work(self):
        try:
            scrape(self.running)
            while not self.stopped.wait(PERIOD):
                scrape(self.running)
        except Exception as error:  # told by whoever waits for this thread
            self.problem = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join()

    def must_have_worked(self):
        if self.problem is not None:
            self.running.fail(f"/metrics: {self.problem}")


def scrape(running):
    """The text of /metrics."""
    status, _, body = running.get("/metrics")
    if status != 200:
        raise servers.Failure(f"answers {status} to /metrics")
    return body.decode()


def dropped_lines(running):
    """That the pipe did not take."""
    return float(re.search(r'^log_lines_dropped_total{reason="slow_reader"} (\S+)$', scrape(running), re.MULTILINE)[1])


def load_watched(running, body, seconds):
    """A load while all is on. Failure when it was not: no connection may be gone, lines must have been dropped."""
    with measure.idle_connections(running, IDLE, body) as count_open, Scraper(running) as scraper:
        result = running.load(CONNECTIONS, seconds)
        scraper.must_have_worked()
        if count_open() != IDLE:
            running.fail(f"has kept {count_open()} of {IDLE} connections")
        if dropped_lines(running) == 0:
            running.fail("has dropped no line of the log, though nobody reads it")
    return result


@contextlib.contextmanager
def unread_pipe():
    ends = os.pipe()
    try:
        yield ends[1]
    finally:
        for end in ends:
            os.close(end)


def measure_mode(mode, place, seconds):
    server = servers.versiond(place)
    plain = server.command
    server.command = lambda port: plain(port) + mode.options
    server.environment = {"REQUEST_DEADLINE": "10m"}  # idle connections are to stay
    log = place.work / f"{mode.title}.log"
    if not mode.watched:
        with measure.Running(server, log) as running:
            return running.load(CONNECTIONS, seconds)
    with unread_pipe() as pipe, measure.Running(server, log, stderr=pipe) as running:
        return load_watched(running, running.get("/version")[2], seconds)


def run_rounds(place, rounds, seconds):
    """What was measured, a row for each round and mode."""
    rows = []
    for number, mode in measure.in_turn(MODES, rounds):
        print(f"bench-load: round {number} of {rounds}: {mode.title}", flush=True)
        rows.append({"round": number, "mode": mode.title} | measure_mode(mode, place, seconds))
    return rows


def values(rows, mode, key):
    return [row[key] for row in rows if row["mode"] == mode.title]


def losses(rows, mode):
    """In percent, of each round: requests a second that are missing, and CPU a request that is added."""
    rates = zip(values(rows, mode, "requests_per_s"), values(rows, MODES[0], "requests_per_s"))
    costs = zip(values(rows, mode, "cpu_us"), values(rows, MODES[0], "cpu_us"))
    return [100 * (1 - now / off) for now, off in rates], [100 * (now / off - 1) for now, off in costs]


def table(rows):
    titles = ["Access log", "requests per second", "lost %", "", "CPU µs per request", "added %", "", "at most %"]
    lines = []
    for mode in MODES:
        line = [mode.title, report.spread(values(rows, mode, "requests_per_s")), "", ""]
        line += [report.spread(values(rows, mode, "cpu_us")), "", "", ""]
        if mode.bound:
            line[7] = f"{mode.bound:g}"
            for column, loss in zip((2, 5), losses(rows, mode)):
                line[column] = report.spread(loss)
                line[column + 1] = report.verdict(statistics.median(loss), "at most", mode.bound)
        lines.append(line)
    return report.table(titles, lines)


def main():
    program, work = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
    rounds, seconds = settings.number("ROUNDS", 9), settings.number("DURATION", 3)
    threads = settings.number("THREADS", settings.cpus())
    work.mkdir(parents=True, exist_ok=True)
    place = servers.Place(program, work, work, threads)
    try:
        measure.be_ready(IDLE + 200, "wrk")
        rows = run_rounds(place, rounds, seconds)
    except servers.Failure as failure:
        sys.exit(f"bench-load: {failure}")
    (work / "load.json").write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")
    print(f"\n{rounds} rounds of {seconds} s with {CONNECTIONS} connections.")
    print(report.noise([row["others_cpu"] for row in rows]) + "\n")
    print(f"{table(rows)}\n")
    for mode in MODES:
        print(f"* {mode.title}: {mode.meaning}")


if __name__ == "__main__":
    main()
