#!/usr/bin/env -S python3 -B
"""Runs every kind of client at once against the program, then compares all counts, and the program with what it was.

Environment: PROGRAM; LOAD, the program of tests/load/load.c; SOAK_SECONDS (60), of which a sixth, at most a minute, is the
warm-up; SANITIZE and RUNNER, empty if the program runs as it ships.
Prints results as cmocka does. Exit status: 0; 1 if a check failed; 2 if SOAK_SECONDS is wrong.
"""

import collections
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

from server import DEADLINE, PATIENCE, Failure, Server, left_out_of, requests_of

HERE = pathlib.Path(__file__).resolve().parent
GROWTH = 256  # kB that memory may grow after the warm-up: see docs/reliability.md
POLLED = ("/healthz", "/readyz", "/metrics")
LAST = "/nowhere?last"
OK, SKIPPED, FAILED = "[       OK ]", "[  SKIPPED ]", "[  FAILED  ]"


class Role:
    """Clients in a process of their own, which SIGTERM stops."""

    def __init__(self, name, command):
        self.name = name
        self.output = tempfile.TemporaryFile()  # a pipe could fill up
        command = ["setpriv", "--pdeathsig", "TERM", *command]
        self.process = subprocess.Popen(command, stdout=self.output, stderr=subprocess.STDOUT)

    def read(self):
        self.output.seek(0)
        return self.output.read().decode(errors="replace")

    def must_run(self, server):
        server.must_run()
        if self.process.poll() is not None:
            time.sleep(0.5)
            server.must_run()  # its end would be the reason
            raise Failure(f"{self.name} exited: {self.read()[-10000:]}")

    def result(self):
        """The last line of the output."""
        if self.process.wait() != 0:
            raise Failure(f"{self.name} exited with {self.process.returncode}: {self.read()[-10000:]}")
        return json.loads(self.read().splitlines()[-1])


class Soak:
    def __init__(self, server, load, work):
        self.server = server
        self.requests, self.maybe, self.count = collections.Counter(), collections.Counter(), collections.Counter()
        self.phases = {}
        for path in ("version", "openapi.json"):
            (work / path).write_text(server.get(f"/{path}"))
        port, deadline = str(server.port), str(1000 * DEADLINE)
        self.commands = {role: [HERE / "roles.py", role, port, str(DEADLINE), work] for role in ("slow", "rude")}
        for name, options in (("keep", ["64", "0", "0"]), ("fresh", ["0", "2", "1000"])):
            self.commands[name] = [load, "127.0.0.1", port, *options, work / "version", deadline]

    def run_phase(self, name, seconds):
        """Runs all roles at once, then waits until the server is idle."""
        end = time.monotonic() + seconds
        self.server.log.slowly = True
        roles = [Role(role, command) for role, command in self.commands.items()]
        while time.monotonic() < end:
            for role in roles:
                role.must_run(self.server)
            print(f"{name}: {sum(requests_of(self.server.scrape()).values())} requests, {self.server.figures()}", flush=True)
            time.sleep(1)
        for role in roles:
            role.process.terminate()
        self.server.wait_until(lambda: all(role.process.poll() is not None for role in roles), "keeps clients waiting")
        self.server.log.slowly = False
        verified = sum(self.collect(role.result()) for role in roles)
        self.phases[name] = {"verified": verified / seconds, **self.server.settle()}

    def collect(self, result):
        """Adds the counts of a role. Returns the number of responses that it has verified."""
        requests = result.pop("kinds")
        for label, number in requests:
            self.requests[label] += number
        self.maybe.update(result.pop("maybe", {}))
        self.count.update({name: number for name, number in result.items() if isinstance(number, int)})
        return sum(number for _, number in requests)

    def run(self, seconds):
        warm_up = min(60, seconds // 6)
        self.run_phase("warm-up", warm_up)
        self.run_phase("soak", seconds - warm_up)
        self.server.get(LAST, "other GET 404")  # its line has the number of lines left out before it
        self.server.wait_until(lambda: LAST in self.server.log.paths, "has not logged the last request")

    # The checks. Each returns a list of what is wrong.

    def every_scrape_was_consistent(self):
        return self.server.problems

    def requests_were_counted(self):
        """Exactly, except those of clients that do not wait for the response."""
        seen, problems, garbage = requests_of(self.phases["soak"]["samples"]), [], 0
        expected = self.requests + self.phases["soak"]["requested"]
        for label in sorted(seen.keys() | expected.keys()):
            number, path, code = seen.get(label, 0), label.split(" ")[0], label.split(" ")[-1]
            more = self.maybe[label] + self.count["unknown"]
            if label not in expected and path in ("other", "/badge.svg") and code >= "400":
                garbage += number
            elif not expected[label] <= number <= expected[label] + more:
                problems.append(f"{label}: {number}, expected {expected[label]} and at most {more} more")
        if garbage > self.count["garbage"]:
            problems.append(f"garbage: {garbage}, sent {self.count['garbage']}")
        return problems

    def connections_and_faults_were_counted(self):
        own = self.phases["soak"]["requested"].total() + 1  # and the scrape that returned it
        expected = {
            "http_connections_accepted_total": (self.count["connections"] + own, 0),
            "http_connections_overdue_total": (self.count["overdue"], self.count["maybe_overdue"]),
            "http_requests_malformed_total": (
                self.requests["/version other 400"],
                self.count["garbage"] + self.count["unknown"],
            ),
            "http_requests_failed_total": (0, 0),
            "http_connections_refused_total": (0, 0),
        }
        samples = self.phases["soak"]["samples"]
        return [
            f"{name}: {samples[name]}, expected {least} and at most {more} more"
            for name, (least, more) in expected.items()
            if not least <= samples[name] <= least + more
        ]

    def every_log_line_is_whole(self):
        return self.server.log.bad

    def requests_are_logged_or_left_out(self):
        samples, log = self.server.scrape(), self.server.log
        due = sum(n for label, n in requests_of(samples).items() if not label.startswith(POLLED) or label[-3] != "2")
        left_out = left_out_of(samples)
        is_right = log.requests + left_out == due and log.left_out == left_out
        return [] if is_right else [f"{log.requests} lines, {left_out} left out, {log.left_out} by the lines; {due} due"]

    def memory_is_as_before(self):
        before, after = self.phases["warm-up"]["rss_kb"], self.phases["soak"]["rss_kb"]
        return [f"{after} kB, after the warm-up {before} kB"] if after > before + GROWTH else []

    def threads_are_as_before(self):
        before, after = self.server.at_start["threads"], self.phases["soak"]["threads"]
        return [f"{after}, at the start {before}"] if before != after else []

    def stop_is_clean(self):
        self.server.process.send_signal(signal.SIGTERM)
        status = self.server.process.wait(PATIENCE)
        self.server.log.thread.join(PATIENCE)
        last = [event["msg"] for event in self.server.log.events[-2:]]
        return [] if (status, last) == (0, ["draining", "stopped"]) else [f"exit status {status}, log {last}"]

    def judge(self):
        """Runs the checks and prints their results. Returns True if none failed."""
        checks = [self.every_scrape_was_consistent, self.requests_were_counted, self.connections_and_faults_were_counted]
        checks += [self.every_log_line_is_whole, self.requests_are_logged_or_left_out, self.memory_is_as_before]
        checks += [self.threads_are_as_before, self.stop_is_clean]
        count = collections.Counter()
        for check in checks:
            print(f"[ RUN      ] {check.__name__}")
            problems, how = [], OK
            if check == self.memory_is_as_before and (os.environ.get("SANITIZE") or os.environ.get("RUNNER")):
                print("skipped: sanitizers and valgrind keep freed memory")
                how = SKIPPED
            elif problems := check():
                how = FAILED
            for problem in problems[:10]:
                print(f"FAILED: {problem}")
            count[how] += 1
            print(f"{how} {check.__name__}")
        sum_up(count)
        return count[FAILED] == 0

    def report(self):
        count, (warm_up, soak) = self.count, self.phases.values()
        rows = {
            "responses verified per second": f"{soak['verified']:,.0f}",
            "connections; resets; halves; garbage": f"{count['connections']}; {count['resets']}; {count['halves']}; {count['garbage']}",
            "closed at the deadline": count["overdue"],
            "log lines read; left out": f"{self.server.log.requests}; {left_out_of(soak['samples'])}",
            "RSS at the start, after the warm-up, at the end": f"{self.server.at_start['rss_kb']}, {warm_up['rss_kb']}, {soak['rss_kb']} kB",
        }
        for name, value in rows.items():
            print(f"| {name} | {value} |")


def sum_up(count):
    print(f"[  PASSED  ] {count[OK]} test(s).")
    for how in (SKIPPED, FAILED):
        if count[how]:
            print(f"{how} {count[how]} test(s).")


def main():
    seconds = os.environ.get("SOAK_SECONDS") or "60"
    if not seconds.isdecimal() or not 10 <= int(seconds) <= 86400:
        print(f"soak: SECONDS: '{seconds}' is not an integer from 10 to 86400", file=sys.stderr)
        sys.exit(2)
    try:
        with tempfile.TemporaryDirectory() as work:
            soak = Soak(Server(os.environ["PROGRAM"]), os.environ["LOAD"], pathlib.Path(work))
            soak.run(int(seconds))
        soak.report()
        sys.exit(0 if soak.judge() else 1)
    except Failure as failure:
        print(f"[ RUN      ] every_response_was_right\nFAILED: {failure}\n{FAILED} every_response_was_right")
        sum_up({OK: 0, SKIPPED: 0, FAILED: 1})
        sys.exit(1)


if __name__ == "__main__":
    main()
