"""The server of `make soak`: starts it, and reads its log, its metrics and its files below /proc."""

import collections
import http.client
import json
import os
import pathlib
import re
import subprocess
import threading
import time

DEADLINE = 3  # seconds: --request-deadline
PATIENCE = 60  # seconds: for anything that must happen
NUMBERS = ("status", "bytes", "duration_us", "dropped", "limited")
REQUEST = {"remote", "method", "path", "status", "bytes", "duration_us"}
# glibc keeps a varying amount of freed memory otherwise; musl does not.
MALLOC = {"GLIBC_TUNABLES": "glibc.malloc.arena_max=1:glibc.malloc.trim_threshold=1:glibc.malloc.tcache_count=0"}


class Failure(Exception):
    """The reason why the test cannot go on."""


class Log:
    """Reads the log in a thread, at times slowly, and checks each line."""

    def __init__(self, pipe):
        self.slowly = False
        self.requests, self.left_out = 0, 0
        self.events, self.paths, self.bad = [], set(), []
        self.thread = threading.Thread(target=self.read, args=[pipe], daemon=True)
        self.thread.start()

    def read(self, pipe):
        with os.fdopen(pipe, "rb") as lines:
            for line in lines:
                try:
                    self.take(json.loads(line), line)
                except (ValueError, KeyError, TypeError, AttributeError):
                    self.bad.append(line)
                while self.slowly and time.monotonic() % 10 < 2:
                    time.sleep(0.1)

    def take(self, event, line):
        is_valid = re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["time"]) and line.endswith(b"}\n")
        is_valid = is_valid and all(isinstance(event.get(key, 0), int) for key in NUMBERS)
        if event["msg"] != "request":
            self.events.append(event)
        else:
            self.requests += 1
            self.paths.add(event["path"][:20])
            is_valid = is_valid and REQUEST <= event.keys()
        if not is_valid:
            raise ValueError
        self.left_out += event.get("dropped", 0) + event.get("limited", 0)


class Server:
    def __init__(self, program):
        reading, writing = os.pipe()
        command = ["setpriv", "--pdeathsig", "KILL", *os.environ.get("RUNNER", "").split(), program, "--port", "0"]
        command += ["--address", "127.0.0.1", "--request-deadline", f"{DEADLINE}s", "--access-log", "all"]
        options = {name: value for name, value in os.environ.items() if name.endswith("SAN_OPTIONS")}
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=writing, env=options | MALLOC)
        os.close(writing)
        self.log = Log(reading)
        self.wait_until(lambda: self.log.events, "does not listen")
        self.port = self.log.events[0]["port"]
        self.requested = collections.Counter()  # requests of this object, by the labels of the metrics
        self.samples, self.problems = {}, []
        self.at_start = self.figures()

    def must_run(self):
        if self.process.poll() is not None:
            self.log.thread.join(PATIENCE)
            raise Failure(f"the server exited with {self.process.returncode}: {self.log.bad or self.log.events[-5:]}")

    def wait_until(self, condition, otherwise):
        """Returns the result of the condition, once it is true."""
        end = time.monotonic() + PATIENCE
        while not (result := condition()):
            self.must_run()
            if time.monotonic() > end:
                raise Failure(f"the server {otherwise}; {self.problems[:3]}")
            time.sleep(0.05)
        return result

    def get(self, path, label=None):
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            client.request("GET", path)
            body = client.getresponse().read().decode()
        except (OSError, http.client.HTTPException) as error:
            self.must_run()
            raise Failure(f"GET {path}: {error!r}") from error
        finally:
            client.close()
        self.requested[label or f"{path} GET 200"] += 1
        return body

    def scrape(self):
        """Returns the samples of /metrics. Compares them with each other and with those before."""
        lines = [line for line in self.get("/metrics").splitlines() if not line.startswith("# ")]
        before, now = self.samples, {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}
        for name, value in before.items():
            if re.match(r"\w+_(total|bucket|sum|count)\b", name) and now.get(name, 0) < value:
                self.problems.append(f"{name} was {value}, then {now.get(name)}")
        buckets = [value for name, value in now.items() if "_bucket{" in name]
        durations, opened = now["http_request_duration_seconds_count"], now["http_connections_open"]
        # A thread counts a request before its duration, and a scrape reads them in that order.
        if buckets != sorted(buckets) or buckets[-1] != durations or durations < sum(requests_of(now).values()) - opened:
            self.problems.append(f"{requests_of(now)}, {durations} durations, buckets {buckets}")
        if len(now) != len(lines) or not 1 <= opened <= now["http_connections_limit"]:
            self.problems.append(f"{opened} open connections, {len(lines)} samples with {len(now)} names")
        self.samples = now
        return now

    def figures(self):
        """Returns the memory in kB and the numbers of descriptors and threads."""
        folder = pathlib.Path("/proc") / str(self.process.pid)
        try:
            memory = re.search(r"^Rss: +(\d+) kB$", (folder / "smaps_rollup").read_text(), re.MULTILINE)
            return {
                "rss_kb": int(memory[1]),
                "descriptors": len(os.listdir(folder / "fd")),
                "threads": len(os.listdir(folder / "task")),
            }
        except OSError as error:
            self.must_run()
            raise Failure(f"{folder}: {error}") from error

    def settle(self):
        """Waits until only the connection of the scrape is open and every request is counted, and descriptors are closed.
        Returns the requests before that scrape, its samples, and the figures."""

        def is_idle():
            requested, now = self.requested.copy(), self.scrape()
            counted = sum(requests_of(now).values()) == now["http_request_duration_seconds_count"]
            return (requested, now) if counted and now["http_connections_open"] == 1 else None

        requested, samples = self.wait_until(is_idle, "keeps connections open")
        descriptors = self.at_start["descriptors"]
        self.wait_until(lambda: self.figures()["descriptors"] == descriptors, f"does not go back to {descriptors} descriptors")
        return {"requested": requested, "samples": samples, **self.figures()}


def requests_of(samples):
    """Returns the requests by path, method and code."""
    form = re.compile(r'http_requests_total\{path="(.*)",method="(.*)",code="(.*)"\}')
    return {" ".join(found.groups()): int(value) for name, value in samples.items() if (found := form.fullmatch(name))}


def left_out_of(samples):
    """Returns the number of log lines that were not written."""
    return int(sum(value for name, value in samples.items() if name.startswith("log_lines_dropped_total")))
