"""The server of `make soak`, and all that it says of itself: log, metrics, and what the kernel knows."""

import collections
import http.client
import json
import os
import pathlib
import re
import subprocess
import threading
import time

DEADLINE = 3  # seconds: its --request-deadline
PATIENCE = 60  # seconds: for what takes a moment unless something is broken
NUMBERS = ("status", "bytes", "duration_us", "dropped", "limited")
LINE = {"remote", "method", "path", "status", "bytes", "duration_us"}
# Else glibc keeps memory back that nobody uses, now more and now less; musl does not.
MALLOC = {"GLIBC_TUNABLES": "glibc.malloc.arena_max=1:glibc.malloc.trim_threshold=1:glibc.malloc.tcache_count=0"}


class Failure(Exception):
    """Why it cannot go on."""


class Log:
    """Reads the log in a thread of its own, now and then slowly, and looks at each line."""

    def __init__(self, pipe):
        self.pipe, self.slowly = pipe, False
        self.requests, self.left_out = 0, 0
        self.events, self.paths, self.bad = [], set(), []
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        rest = b""
        while True:
            if self.slowly and time.monotonic() % 10 < 2:
                time.sleep(0.1)
                continue
            part = os.read(self.pipe, 65536)
            *lines, rest = (rest + part).split(b"\n")
            for line in lines if part else [rest] * (rest != b""):
                if not self.take(line) and len(self.bad) < 100:
                    self.bad.append(line.decode(errors="replace"))
            if not part:
                break

    def take(self, line):
        """Returns whether the line is as it must be."""
        try:
            event = json.loads(line)
            numbers = [event[key] for key in NUMBERS if key in event]
            if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["time"]) or not all(
                isinstance(value, int) for value in numbers
            ):
                return False
            if event["msg"] != "request":
                self.events.append(event)
            elif not LINE <= event.keys():
                return False
            else:
                self.requests += 1
                self.paths.add(event["path"][:20])
            self.left_out += event.get("dropped", 0) + event.get("limited", 0)
            return True
        except (ValueError, KeyError, TypeError):
            return False


class Server:
    def __init__(self, program):
        reading, writing = os.pipe()
        # It ends when this program does, however that ends.
        command = ["setpriv", "--pdeathsig", "KILL", *os.environ.get("RUNNER", "").split(), program, "--port", "0"]
        command += ["--address", "127.0.0.1", "--request-deadline", f"{DEADLINE}s", "--access-log", "all"]
        options = {name: value for name, value in os.environ.items() if name.endswith("SAN_OPTIONS")}
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=writing, env=options | MALLOC)
        os.close(writing)
        self.log = Log(reading)
        self.wait_until(lambda: self.log.events or None, "does not listen")
        self.port = self.log.events[0]["port"]
        self.asked = collections.Counter()  # by us, by the metrics' labels
        self.scrapes, self.samples, self.problems = 0, {}, []
        self.begin = self.figures()

    def must_run(self):
        if self.process.poll() is not None:
            self.log.thread.join(PATIENCE)
            said = "\n".join(map(str, self.log.bad or self.log.events[-5:]))
            raise Failure(f"the server has ended, exit status {self.process.returncode}; it said last: {said}")

    def wait_until(self, condition, otherwise, patience=PATIENCE):
        """What the condition gives, when that is not None. Failure when that does not happen."""
        end = time.monotonic() + patience
        while (result := condition()) is None:
            self.must_run()
            if time.monotonic() > end:
                raise Failure(f"the server {otherwise}; {self.problems[:3] or ''}")
            time.sleep(0.05)
        return result

    def get(self, path, label=None, accept="*/*"):
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            client.request("GET", path, headers={"Accept": accept})
            body = client.getresponse().read().decode()
        except (OSError, http.client.HTTPException) as error:
            self.must_run()
            raise Failure(f"GET {path}: {error!r}") from error
        finally:
            client.close()
        self.asked[label or f"{path} GET 200"] += 1
        return body

    def scrape(self):
        """The samples of /metrics, after a look whether they go with one another and with those before."""
        self.scrapes += 1
        text = self.get("/metrics")
        lines = [line for line in text.splitlines() if not re.match("# (HELP|TYPE) ", line)]
        pairs = [re.fullmatch(r"([a-z_]+(?:\{[^{}]*\})?) ([0-9.]+)", line) for line in lines]
        if None in pairs or len({pair[1] for pair in pairs}) != len(pairs):
            raise Failure(f"/metrics: not lines with a name of their own and a number each: {text}")
        before, self.samples = self.samples, {pair[1]: float(pair[2]) for pair in pairs}
        if missing := {"http_connections_open", "http_request_duration_seconds_count"} - self.samples.keys():
            raise Failure(f"/metrics: without {missing}: {text}")
        self.compare(before, self.samples)
        return self.samples

    def compare(self, before, now):
        for name, value in before.items():
            if re.match(r"\w+_(total|bucket|sum|count)\b", name) and now.get(name, 0) < value:
                self.problems.append(f"{name} was {value}, then {now.get(name)}")
        buckets = [value for name, value in now.items() if "_bucket{" in name]
        requests, durations = sum(requests_of(now).values()), now["http_request_duration_seconds_count"]
        opened, limit = now["http_connections_open"], now["http_connections_limit"]
        # A thread counts a request before its duration, and a scrape reads in that order.
        if buckets != sorted(buckets) or buckets[-1] != durations or durations < requests - opened:
            self.problems.append(f"{requests} requests, {durations} durations, in buckets {buckets}")
        if not 1 <= opened <= limit:
            self.problems.append(f"{opened} connections are open, {limit} may be")

    def figures(self):
        """Memory in kB, descriptors and threads by number."""
        folder = pathlib.Path("/proc") / str(self.process.pid)
        try:
            memory = dict(re.findall(r"^(\w+): +(\d+) kB$", (folder / "smaps_rollup").read_text(), re.MULTILINE))
            descriptors, threads = len(os.listdir(folder / "fd")), len(os.listdir(folder / "task"))
        except OSError as error:
            self.must_run()
            raise Failure(f"{folder}: {error}") from error
        return {"rss_kb": int(memory["Rss"]), "pss_kb": int(memory["Pss"]), "descriptors": descriptors, "threads": threads}

    def settle(self):
        """Waits until no connection is open but the scrape's own, and all is counted. Returns what was asked before that
        scrape, its samples, and the figures."""

        def is_idle():
            asked, now = self.asked.copy(), self.scrape()
            counted = sum(requests_of(now).values()) == now["http_request_duration_seconds_count"]
            return (asked, now) if counted and now["http_connections_open"] == 1 else None

        asked, samples = self.wait_until(is_idle, "keeps connections open")
        end = time.monotonic() + 10  # for the scrape's own
        while self.figures()["descriptors"] != self.begin["descriptors"] and time.monotonic() < end:
            time.sleep(0.05)
        return {"asked": asked, "samples": samples, **self.figures()}


def requests_of(samples):
    """By path, method and code."""
    form = re.compile(r'http_requests_total\{path="(.*)",method="(.*)",code="(.*)"\}')
    return {" ".join(found.groups()): int(value) for name, value in samples.items() if (found := form.fullmatch(name))}


def left_out(samples):
    """Lines of the log."""
    return int(sum(value for name, value in samples.items() if name.startswith("log_lines_dropped_total")))
