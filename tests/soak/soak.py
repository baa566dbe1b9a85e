#!/usr/bin/env -S python3 -B
"""All at once against the built program, and afterwards: was every answer right, and is it as it was? `make soak`.

Environment: PROGRAM, the program; LOAD, the compiled load.c; WORK, a folder for series.csv and report.md; SOAK_SECONDS,
for how long, a sixth of it (at most a minute) to warm up; SANITIZE and RUNNER, empty when the program runs as it is.
It closes as cmocka's programs do. Exit status: 0; 1 when something was not as it must be, 2 for a wrong setting.
"""

import collections
import csv
import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time

from server import DEADLINE, PATIENCE, Failure, Server, left_out, requests_of

HERE = pathlib.Path(__file__).resolve().parent
LEAST, MOST = 10, 86400  # seconds
CONNECTIONS, FRESH = 64, 2  # of the load; of that with a new connection for each request
GROWTH = 256  # kB that memory may be above what it was after the warm-up: see docs/reliability.md
GRACE = 0.25  # seconds of a stop in which a connection is not idle: see docs/design.md, Stopping
POLLED = ("/healthz", "/readyz", "/metrics")
LAST = "/nowhere?last"
OK, SKIPPED, FAILED = "[       OK ]", "[  SKIPPED ]", "[  FAILED  ]"


class Role:
    """A client in a process of its own. It stops when its standard input ends, so also when this program does."""

    def __init__(self, name, command):
        self.name = name
        self.output = tempfile.TemporaryFile()  # a pipe has no room for what a long run has seen
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=self.output, stderr=subprocess.STDOUT)

    def must_run(self, server):
        server.must_run()
        if self.process.poll() is not None:
            time.sleep(0.5)
            server.must_run()  # which would be why
            raise Failure(f"{self.name} has ended: {self.said()}")

    def said(self):
        self.output.seek(0)
        return self.output.read().decode(errors="replace")

    def result(self):
        said = self.said()
        if self.process.returncode != 0:
            raise Failure(f"{self.name}, exit status {self.process.returncode}: {said}")
        return json.loads(said)


class Soak:
    def __init__(self, server, program, load, work):
        self.server, self.work = server, work
        self.requests, self.maybe, self.count = collections.Counter(), collections.Counter(), collections.Counter()
        self.latency, self.lateness, self.phases, self.roles = [], 0, {}, []
        for path in ("version", "openapi.json"):
            (work / path.partition(".")[0]).write_text(server.get(f"/{path}"))
        said = subprocess.run([program, "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
        if json.loads((work / "version").read_text())["version"] != said.split()[1]:
            raise Failure(f"/version is not that of --version: {said}")
        port = str(server.port)
        slow_ones = [port, str(DEADLINE), work, program, "--healthcheck", "--port", port]
        self.commands = {role: [HERE / "roles.py", role, *slow_ones] for role in ("slow", "rude", "probes")}
        for mode, number in (("keep", CONNECTIONS), ("fresh", FRESH)):
            self.commands[mode] = [load, port, mode, str(number), str(1000 * DEADLINE), work / "version"]
        self.began = time.monotonic()
        self.series = csv.writer((work / "series.csv").open("w", buffering=1))
        self.series.writerow(["seconds", "phase", "requests", *server.begin, "connections"])

    def sample(self, phase):
        samples, figures = self.server.scrape(), self.server.figures()
        passed, requests = round(time.monotonic() - self.began, 1), sum(requests_of(samples).values())
        self.series.writerow([passed, phase, requests, *figures.values(), int(samples["http_connections_open"])])
        print(f"{passed:8} s, {phase}: {requests:,} requests, {figures['rss_kb']} kB", flush=True)

    def run_phase(self, name, seconds):
        """Everything at once, for a time; then idle again."""
        end = time.monotonic() + seconds
        self.server.log.slowly = True
        self.roles = [Role(role, command) for role, command in self.commands.items()]
        while time.monotonic() < end:
            for role in self.roles:
                role.must_run(self.server)
            self.sample(name)
            time.sleep(1)
        for role in self.roles:
            role.process.stdin.close()
        while open_ones := [role.name for role in self.roles if role.process.poll() is None]:
            self.sample(name)
            time.sleep(0.5)
            if time.monotonic() > end + 2 * PATIENCE:
                raise Failure(f"do not end: {open_ones}")
        self.server.log.slowly = False
        verified = sum(self.collect(role) for role in self.roles)
        self.phases[name] = {"seconds": seconds, "verified": verified, **self.server.settle()}

    def collect(self, role):
        """Adds what a role has seen. Returns how many answers it has verified."""
        result = role.result()
        requests = result.pop("requests")
        for label, number in requests:
            self.requests[label] += number
        self.maybe.update(result.pop("maybe", {}))
        self.latency += result.pop("latency", [])
        self.lateness = max(self.lateness, result.pop("lateness", 0))
        self.count.update(result)
        return sum(number for _, number in requests)

    def run(self, seconds):
        warm_up = min(60, seconds // 6)
        self.run_phase("warm-up", warm_up)
        self.run_phase("soak", seconds - warm_up)
        self.server.get(LAST, "other GET 404")  # its line says how many were left out since the one before
        self.server.wait_until(lambda: LAST in self.server.log.paths or None, "has not logged the last request")

    # What must hold at the end. Each gives what does not.

    def every_answer_was_right(self):
        return []  # else a role would have ended it

    def every_scrape_was_consistent(self):
        return self.server.problems[:10]

    def requests_were_counted(self):
        """Exactly, but for those whose clients did not wait for an answer."""
        seen, problems, garbage = requests_of(self.phases["soak"]["samples"]), [], 0
        expected = self.requests + self.phases["soak"]["asked"]
        for label in sorted(seen.keys() | expected.keys()):
            number, path, code = seen.get(label, 0), label.split(" ")[0], label.split(" ")[-1]
            if label not in expected and path in ("other", "/badge.svg") and code >= "400":
                garbage += number
            elif not expected[label] <= number <= expected[label] + self.maybe[label] + self.count["lost"]:
                more = self.maybe[label]
                problems.append(f"{label}: counted {number}, answered {expected[label]}, perhaps {more} more")
        if garbage > self.count["garbage"]:
            problems.append(f"garbage: counted {garbage}, sent {self.count['garbage']}")
        return problems

    def between(self, name, least, more=0):
        value = self.phases["soak"]["samples"][name]
        return [] if least <= value <= least + more else [f"{name}: {value:.0f}, not {least} and at most {more} more"]

    def connections_were_counted(self):
        own = self.phases["soak"]["asked"].total() + 1  # and the scrape's that says so
        return self.between("http_connections_accepted_total", self.count["connections"] + own)

    def overdue_were_counted(self):
        return self.between("http_connections_overdue_total", self.count["overdue"], self.count["maybe_overdue"])

    def faults_were_counted(self):
        malformed = self.requests["/version other 400"]
        return (
            self.between("http_requests_malformed_total", malformed, self.count["garbage"] + self.count["lost"])
            + self.between("http_requests_failed_total", 0)
            + self.between("http_connections_refused_total", 0)
        )

    def every_log_line_is_whole(self):
        return self.server.log.bad[:10]

    def requests_are_logged_or_left_out(self):
        samples, log = self.server.scrape(), self.server.log
        wanted = sum(n for label, n in requests_of(samples).items() if not label.startswith(POLLED) or label[-3] != "2")
        if log.requests + left_out(samples) == wanted and log.left_out == left_out(samples):
            return []
        return [f"{log.requests} lines, {left_out(samples)} left out, {log.left_out} said to be; {wanted} to be logged"]

    def memory_is_as_it_was(self):
        before, after = self.phases["warm-up"]["rss_kb"], self.phases["soak"]["rss_kb"]
        return [f"{after} kB, after the warm-up {before} kB"] if after > before + GROWTH else []

    def descriptors_and_threads_are_as_they_were(self):
        begin, end = self.server.begin, self.phases["soak"]
        changed = [name for name in ("descriptors", "threads") if begin[name] != end[name]]
        return [f"{name}: {end[name]}, at the begin {begin[name]}" for name in changed]

    def stop_under_load_is_clean(self):
        """Requests that were sent before the grace of a stop is over must be answered, and connections are told to close."""
        clients = [socket.create_connection(("127.0.0.1", self.server.port), PATIENCE) for _ in range(8)]
        rounds, stopped, problems = 0, time.monotonic() + PATIENCE, []
        while clients:
            if rounds == 100:
                stopped = time.monotonic()
                self.server.process.send_signal(signal.SIGTERM)
            for client in list(clients):
                draining = "draining" in [event["msg"] for event in self.server.log.events]
                answer, sent = self.ask(client)
                is_told = answer is not None and b"\r\nConnection: close\r\n" in answer
                if answer is None and sent < stopped + GRACE:
                    problems.append("a connection ended without an answer")
                elif answer is not None and not answer.endswith(b"\r\n\r\n" + (self.work / "version").read_bytes()):
                    problems.append(f"a wrong answer: {answer}")
                elif answer is not None and draining and not is_told:
                    problems.append("a connection was not told to close")
                if answer is None or is_told:
                    clients.remove(client)
            rounds += 1
        status = self.server.wait_until(self.server.process.poll, "does not stop")
        self.server.log.thread.join(PATIENCE)
        last = [event["msg"] for event in self.server.log.events[-2:]]
        return problems[:10] + [f"exit status {status}, log {last}"] * ((status, last) != (0, ["draining", "stopped"]))

    def ask(self, client):
        """The answer to a request, None when the connection has ended; and when the request had been sent."""
        answer, sent = b"", 0
        try:
            client.sendall(b"GET /version HTTP/1.1\r\nHost: soak\r\n\r\n")
            sent = time.monotonic()
            while not answer.endswith(b"}\n") and select.select([client], [], [], PATIENCE)[0]:
                part = client.recv(65536)
                if not part:
                    break
                answer += part
        except ConnectionError:
            sent = sent or time.monotonic()
        return answer or None, sent

    def judge(self):
        """Runs the checks and prints how each ends. Returns whether all is well."""
        checks = [self.every_answer_was_right, self.every_scrape_was_consistent, self.requests_were_counted]
        checks += [self.connections_were_counted, self.overdue_were_counted, self.faults_were_counted]
        checks += [self.every_log_line_is_whole, self.requests_are_logged_or_left_out, self.memory_is_as_it_was]
        checks += [self.descriptors_and_threads_are_as_they_were, self.stop_under_load_is_clean]
        count = collections.Counter()
        for check in checks:
            print(f"[ RUN      ] {check.__name__}")
            skipped = check == self.memory_is_as_it_was and (os.environ.get("SANITIZE") or os.environ.get("RUNNER"))
            if skipped:
                print("skipped: under sanitizers and valgrind memory is not given back")
            problems = [] if skipped else check()
            for problem in problems:
                print(f"FAILED: {problem}")
            how = FAILED if problems else SKIPPED if skipped else OK
            count[how] += 1
            print(f"{how} {check.__name__}")
        sum_up(count)
        return count[FAILED] == 0

    def report(self):
        soak, count, latency = self.phases["soak"], self.count, sorted(self.latency)
        stages = [self.server.begin, self.phases["warm-up"], soak]
        shares = [latency[min(len(latency) - 1, int(len(latency) * share))] for share in (0.5, 0.99, 1)]
        rows = {
            "requests verified": f"{sum(phase['verified'] for phase in self.phases.values()):,}",
            "a second, after the warm-up": f"{soak['verified'] / soak['seconds']:,.0f} over {soak['seconds']} s",
            "bytes of answers, under load": f"{count['bytes']:,}",
            "connections opened": f"{count['connections']:,}",
            "resets; halves; garbage": f"{count['resets']:,}; {count['halves']:,}; {count['garbage']:,}",
            "held until the deadline": f"{count['overdue']:,}, at most {1000 * self.lateness:.0f} ms longer",
            "probes; `--healthcheck`; scrapes": f"{len(latency):,}; {count['health_checks']:,}; {self.server.scrapes:,}",
            "a probe's latency, ms: p50, p99, max": ", ".join(f"{1000 * share:.1f}" for share in shares),
            "lines of the log read; left out": f"{self.server.log.requests:,}; {left_out(soak['samples']):,}",
            "RSS kB: at the begin, after the warm-up, at the end": ", ".join(f"{stage['rss_kb']:,}" for stage in stages),
            "PSS kB, the same": ", ".join(f"{stage['pss_kb']:,}" for stage in stages),
            "descriptors; threads": f"{soak['descriptors']}; {soak['threads']}",
        }
        lines = [f"| {name} | {value} |\n" for name, value in rows.items()]
        (self.work / "report.md").write_text("| What | Seen |\n| --- | ---: |\n" + "".join(lines))


def sum_up(count):
    print(f"[  PASSED  ] {count[OK]} test(s).")
    for how in (SKIPPED, FAILED):
        if count[how]:
            print(f"{how} {count[how]} test(s).")


def seconds_of(text):
    if not text.isdecimal() or not LEAST <= int(text) <= MOST:
        print(f"soak: SECONDS: '{text}' is not a whole number from {LEAST} to {MOST}", file=sys.stderr)
        sys.exit(2)
    return int(text)


def main():
    seconds = seconds_of(os.environ.get("SOAK_SECONDS") or "60")
    program, work = os.environ["PROGRAM"], pathlib.Path(os.environ["WORK"]).resolve()
    work.mkdir(parents=True, exist_ok=True)
    (work / "report.md").unlink(missing_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        soak = Soak(Server(program), program, os.environ["LOAD"], work)
        soak.run(seconds)
        soak.report()
        sys.exit(0 if soak.judge() else 1)
    except Failure as failure:
        print(f"[ RUN      ] every_answer_was_right\nFAILED: {failure}\n{FAILED} every_answer_was_right")
        sum_up({OK: 0, SKIPPED: 0, FAILED: 1})
        sys.exit(1)


if __name__ == "__main__":
    main()
