#!/usr/bin/env -S python3 -B
"""Makes each system call and each allocation of the program fail in turn: `make fault-test`; see docs/reliability.md.

    tests/faults/faults.py [CASE...]

Runs a fixed scenario once per case, with one fault each; CASE is one as printed, by default all. strace injects the
faults of system calls.
Environment: PROGRAM; PRELOAD, tests/faults/preload.c as a library, which a static program cannot load; COMPLETE=1 runs
all cases and not only the first of each kind; DEADLINE in seconds (60); NO_SKIP=1 fails if strace is missing.
Exit status: 0 if each outcome was right.
"""

import collections
import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

DEADLINE = int(os.environ.get("DEADLINE") or 60)  # seconds, only used up by a program that hangs
GLIMPSE = 0.3  # seconds that a client waits for responses during a lasting fault
SPIN = 1000  # failing calls per second that are acceptable
ERRORS = {
    "accept4": "ECONNABORTED EMFILE ENFILE ENOBUFS ENOMEM EPERM EPROTO EINTR EAGAIN",
    "bind": "EADDRINUSE EACCES ENOMEM",
    "brk": "=0",  # strace cannot return the old end, as the kernel does
    "clock_gettime": "EINVAL EPERM",
    "clone": "EAGAIN ENOMEM EPERM",
    "clone3": "EAGAIN ENOMEM EPERM ENOSYS",
    "close": "EIO EINTR",
    "epoll_create1|eventfd2": "EMFILE ENFILE ENOMEM ENOSYS",
    "epoll_ctl": "ENOMEM ENOSPC EPERM",
    "epoll_pwait|epoll_wait": "EINTR EINVAL ENOMEM",
    "fcntl": "EBADF EINVAL EPERM",
    "fstat|newfstatat": "EIO ENOMEM EOVERFLOW",
    "getdents64": "EIO ENOENT",
    "getrandom": "EAGAIN EINTR ENOSYS",
    "getsockname": "ENOBUFS EPERM",
    "getsockopt": "ENOBUFS ENOPROTOOPT EPERM",
    "ioctl": "ENOTTY EIO EPERM",
    "listen": "EADDRINUSE EOPNOTSUPP EPERM",
    "madvise": "EAGAIN EINVAL ENOMEM",
    "mmap": "ENOMEM EAGAIN EPERM",
    "mprotect": "ENOMEM EACCES",
    "munmap": "ENOMEM EINVAL",
    "open|openat": "EMFILE ENFILE ENOENT EACCES ENOMEM EINTR",
    "poll": "EINTR ENOMEM =0",
    "pread64": "EIO EINTR =0",
    "prlimit64": "EPERM EINVAL ENOSYS",
    "read": "EINTR EAGAIN EIO =0",
    "recvfrom": "EINTR EAGAIN ECONNRESET ECONNREFUSED ENOMEM ETIMEDOUT =0",
    "sendmsg|sendto": "EINTR EAGAIN ECONNRESET EPIPE ENOBUFS ENOMEM",
    "setsockopt": "ENOBUFS ENOPROTOOPT EINVAL",
    "shutdown": "ENOTCONN ENOBUFS",
    "socket": "EMFILE ENFILE ENOMEM ENOBUFS EAFNOSUPPORT EACCES",
    "write": "EINTR EAGAIN EIO ENOSPC EPIPE =0 =1",
    "write to a thread": "EPERM",  # to an eventfd: only a sandbox makes it fail
}
ERRORS = {call: errors for calls, errors in ERRORS.items() for call in calls.split("|")}
OTHERS = "EINVAL EPERM ENOSYS"  # of other calls
# Errors that never last: the first three of accept4() remove a connection each time.
PASSING = {"EINTR", "EAGAIN", "=0", "=1", "accept4 ECONNABORTED", "accept4 EPERM", "accept4 EPROTO", "epoll_wait EINVAL",
           "epoll_wait ENOMEM", "epoll_pwait EINVAL", "epoll_pwait ENOMEM"}  # fmt: skip
# Calls that do not return, and futex: strace cannot distinguish waiting, which may fail, from waking, which cannot.
LEFT_OUT = {"execve", "exit", "exit_group", "rt_sigreturn", "restart_syscall", "futex"}


def get(path):
    return b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n"


# The connections: the requests of each, in steps, and whether the server closes it after the last.
SCENARIO = {
    "kept": ([get(b"/version"), get(b"/nowhere"), 3 * get(b"/readyz")], False),
    "large": ([5 * get(b"/openapi.json"), get(b"/"), b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"], False),
    "no host": ([b"GET /healthz HTTP/1.1\r\n\r\n"], True),
    "content": ([b"POST /version HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"], True),
    "malformed": ([get(b"/healthz"), b"GET /healthz HTTP/1.1\r\nHost : a\r\n\r\n"], True),
    "metrics": ([b"", get(b"/metrics")], False),
}
STATUSES = {"kept": b"200 404 200 200 200", "large": b"200 200 200 200 200 200 204", "no host": b"400", "content": b"413",
            "malformed": b"200 400", "metrics": b"200"}  # fmt: skip
DATE = re.compile(rb"\r\nDate: ([^\r]*)\r\n")
VERSIONS = rb'\nhttp_requests_total{path="/version",method="GET",code="200"} (\d+)\n'


class Wrong(Exception):
    """A wrong outcome."""


def split(stream):
    """Returns the complete responses at the start of a stream."""
    answers = []
    while (end := stream.find(b"\r\n\r\n") + 4) > 3:
        length = re.search(rb"\r\nContent-Length: (\d+)", stream[:end])
        end += int(length[1]) if length else 0
        if len(stream) < end:
            break
        answers.append(stream[:end])
        stream = stream[end:]
    return answers


class Client:
    """A connection of the scenario; `got` is what it received, `ended` is True after its end."""

    def __init__(self, port, until):
        self.got, self.ended, self.until = b"", False, until
        self.socket = socket.socket()
        self.socket.settimeout(DEADLINE)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)  # smaller than the responses
        try:
            self.socket.connect(("127.0.0.1", port))
        except OSError:
            self.ended = True

    def receive(self):
        """Returns False on timeout."""
        self.socket.settimeout(max(self.until - time.monotonic(), 0.001))
        try:
            some = self.socket.recv(65536)
        except TimeoutError:
            return False
        except OSError:
            some = b""
        self.got, self.ended = self.got + some, some == b""
        return True

    def ask(self, request, answers):
        """Waits for so many responses in total, or the end. Returns False on timeout."""
        with contextlib.suppress(OSError):
            self.socket.sendall(request)
        while not self.ended and len(split(self.got)) < answers:
            if not self.receive():
                return False
        return True


class Run:
    """The program with a fault: `case` is words as in "call 2 openat:error=EIO:when=3",
    "preload 1 FAULT_ALLOCATION=7" or "stderr 1 >/dev/full"; the number is the number of threads."""

    def __init__(self, case, folder, reference=None):
        self.kind, threads, self.fault = case.split()
        self.reference, self.streams = reference, {}
        self.log, self.call = folder / "log", self.fault.split(":")[0]
        self.lasts = self.fault.endswith("+")
        self.stuck = "EAGAIN" in self.fault  # epoll reports readiness once: only the deadline ends it
        self.command = [PROGRAM, "--port=0", f"--threads={threads}", "--log-format=json"]
        self.command += ["--request-deadline=1s"] if self.stuck or "FAULT_SLEEP" in self.fault else []
        self.environment = {"FAULT_LOG": str(self.log)}
        if self.kind == "preload":  # it writes a file, which the sandbox forbids
            self.environment |= {"LD_PRELOAD": PRELOAD, "SANDBOX": "off", self.call.split("=")[0]: self.call.split("=")[1]}
        elif self.kind == "call":
            self.trace("--seccomp-bpf", "-e", f"trace={self.call}", "-e", f"inject={self.fault}")
        elif self.kind == "stderr":
            self.command = ["sh", "-c", f'exec "$0" "$@" 2{self.fault}', *self.command]
        else:
            self.trace()

    def trace(self, *options):
        self.command = ["strace", "-f", "-qq", "-s", "256", "-o", str(self.log), *options, *self.command]

    def program(self):
        """Returns the pid of the program, which strace may have started."""
        pid = self.process.pid
        if self.kind in ("preload", "stderr"):
            return pid
        with contextlib.suppress(OSError, IndexError):
            return int(pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
        return None

    def files(self):
        folder = f"/proc/{self.pid}/fd"
        with contextlib.suppress(OSError):
            return [os.readlink(f"{folder}/{name}") for name in os.listdir(folder)]
        return []

    def wait_for_port(self):
        """Returns the port, or 0 if the program exits."""
        until = time.monotonic() + DEADLINE
        while self.process.poll() is None:
            self.pid = self.program()
            inodes = {file[8:-1] for file in self.files() if file.startswith("socket:")}
            for table in ("tcp", "tcp6") if inodes else ():
                for row in map(str.split, pathlib.Path(f"/proc/net/{table}").read_text().splitlines()):
                    if row[3] == "0A" and row[9] in inodes:
                        return int(row[1].split(":")[1], 16)
            if time.monotonic() > until:
                raise Wrong("hangs at start")
            time.sleep(0.001)
        return 0

    def hits(self):
        """Returns how often the fault occurred; 1 if that is not counted."""
        if self.kind in ("preload", "stderr") and "ALLOCATION" not in self.fault:
            return 1
        text = self.log.read_text() if self.log.exists() else ""
        if "signal=" in self.fault:  # not marked by strace
            return text.count(f"{self.call}(")
        return text.count("(INJECTED)") + text.count("failed\n")

    def speak(self, port):
        """Runs the scenario."""
        until = time.monotonic() + (GLIMPSE if self.lasts else DEADLINE)
        clients = {name: Client(port, until) for name in SCENARIO}
        asked = collections.Counter()
        in_time = True
        for step in range(3):
            for name, (requests, _) in SCENARIO.items():
                request = requests[step] if step < len(requests) else b""
                asked[name] += len(re.findall(rb" HTTP/1.1\r", request))
                in_time = (not request or clients[name].ask(request, asked[name])) and in_time
        for name, client in clients.items():
            while SCENARIO[name][1] and not client.ended and client.receive():
                pass
            in_time = in_time and (client.ended or not SCENARIO[name][1])
            client.socket.close()
            self.streams[name] = client.got
        if not in_time and not self.lasts and self.process.poll() is None:
            raise Wrong("a client waits in vain")

    def settle(self, port):
        """Expects a new client to be served and nothing to be left behind after a single fault."""
        until = time.monotonic() + DEADLINE
        while self.process.poll() is None:
            client = Client(port, until)
            client.ask(get(b"/version"), 1)
            if client.got and self.reference and normal(client.got) != normal(split(self.reference.streams["kept"])[0]):
                raise Wrong(f"a new client is answered {client.got!r}")
            served = client.ask(get(b"/metrics"), 2) and len(split(client.got)) == 2
            client.socket.close()
            if not self.files():
                break  # it has exited
            if time.monotonic() > until:
                raise Wrong(f"afterwards: served {served}, {len(self.files())} descriptors: {self.files()}")
            most = len(self.reference.left) if self.reference else 1 << 20
            if served and b"\nhttp_connections_open 1\n" in client.got and (len(self.files()) - 1 <= most or self.call == "close"):
                break
        self.left = self.files()

    def stop(self):
        """Stops the program and waits for its exit."""
        self.asked = self.process.poll() is None
        if self.asked:
            self.kill(self.pid, signal.SIGTERM)
        try:
            self.error = self.process.communicate(timeout=DEADLINE)[1].decode()
        except subprocess.TimeoutExpired:
            raise Wrong("does not stop") from None

    def kill(self, pid, number):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    def run(self):
        self.pid, self.left = None, []
        self.process = subprocess.Popen(self.command, env=self.environment, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        try:
            self.port = self.wait_for_port()
            if self.port:
                began = time.monotonic()
                self.speak(self.port)
                took = time.monotonic() - began
                if self.lasts and self.hits() > SPIN * max(took, GLIMPSE):
                    raise Wrong(f"{self.hits()} calls in vain in {took:.1f} s")
                if not self.lasts:
                    self.settle(self.port)
            self.stop()
        finally:
            for pid in {self.program(), self.process.pid} if self.process.poll() is None else ():
                if pid:
                    self.kill(pid, signal.SIGKILL)
            self.process.communicate()
        return self

    def judge(self):
        """Returns the kind of a right outcome."""
        hits, code = self.hits(), self.process.returncode
        if hits == 0:
            return "not reached"
        whole = sum(self.is_whole(name, stream) for name, stream in self.streams.items())
        errors = self.read_log()
        if code == 1 and (len(errors) == 1 or self.call in ("write", "writev", "poll") and not errors):
            return "clear exit"
        if "signal=" in self.fault and (code, '"listening"' in self.error) == (-signal.SIGTERM, False):
            return "ended by SIGTERM, as it did not listen yet"
        if "signal=" in self.fault and code == 0 and not errors and '"draining"' in self.error:
            return "stopped by SIGTERM"
        if code != 0 or not self.asked:
            raise Wrong(f"exit status {code}, says: {self.error}")
        if errors:
            raise Wrong(f"exit status 0, says: {errors}")
        if self.lasts:
            return "served" if whole == len(SCENARIO) else "not served while it lasted"
        may_cut = self.kind == "call" or "ALLOCATION" in self.fault  # the connection that it hits
        spared = 0 if self.stuck or "SLEEP" in self.fault else len(SCENARIO) - (hits if may_cut else 0)
        if whole < spared:
            raise Wrong(f"{hits} faults, {whole} connections whole: {self.streams}")
        return "served" if whole == len(SCENARIO) else "served, but for the connection that was hit"

    def is_whole(self, name, stream):
        """Returns True if all responses are complete. What was received must be right."""
        expected = self.reference.streams[name]
        compared = 15 if name == "metrics" else None  # the status line of metrics
        if normal(stream)[:compared] != normal(expected)[: len(stream)][:compared]:
            raise Wrong(f"{name}: {stream!r}")
        if name != "metrics" or not split(stream):
            return name != "metrics" and len(stream) == len(expected)
        head, body = stream.split(b"\r\n\r\n", 1)
        if re.sub(rb"\d+$", b"", normal(head)) != re.sub(rb"\d+$", b"", normal(expected.split(b"\r\n\r\n")[0])):
            raise Wrong(f"{name}: {head!r}")
        if not re.fullmatch(rb'(# (HELP|TYPE) [^\n]+\n|[a-z_]+(\{[^}]+\})? [0-9]+(\.[0-9]+)?\n)+', body):
            raise Wrong(f"{name}: {body!r}")
        answered = bool(split(self.streams["kept"]))
        if int((re.search(VERSIONS, body) or [0, -1])[1]) not in ({1} if answered else {0, 1}):
            raise Wrong(f"{name}: /version was served: {answered}; {body!r}")
        lasted = re.search(rb"\nhttp_request_duration_seconds_sum (\d+)", body)
        if "SLEEP" not in self.fault and int(lasted[1]) > DEADLINE:
            raise Wrong(f"{name}: impossible durations: {lasted[0]}")
        if re.search(rb"\nprocess_(cpu_seconds_total|start_time_seconds|resident_memory_bytes) 0?(\.0+)?\n", body):
            raise Wrong(f"{name}: a figure that could not be read: {body!r}")
        return True

    def read_log(self):
        """Returns the lines with errors. A truncated line is acceptable only if writing failed."""
        errors = []
        for line in self.error.splitlines():
            if line.startswith(NAME + ": "):
                errors.append(line)
                continue
            try:
                event = json.loads(line)
            except ValueError:
                if self.call == "write":
                    continue
                raise Wrong(f"says: {line}") from None
            if event["level"] == "error":
                errors.append(line)
            if event["msg"] == "listening" and self.port and event["port"] not in (self.port, 0):
                raise Wrong(f"listens at {self.port}, says: {line}")
        return errors


def normal(stream):
    """Masks the dates in a stream, even if incomplete."""
    return re.sub(rb"(\r\nDate: )([^\r]*)", lambda match: match[1] + b"*" * len(match[2]), stream)


def calls_of(trace):
    """Returns the phases in which a thread makes its first, second ... call: {name: {number: {phase}}}."""
    counts, phase, found = collections.Counter(), "loader", {}
    for line in trace.splitlines():
        match = re.match(r"(\d+) +(\w+)\(", line)
        if not match or match[2] in LEFT_OUT:
            continue
        phase = "start" if "fcntl(0, F_GETFD" in line and phase == "loader" else phase
        counts[match.groups()] += 1
        name = "write to a thread" if re.match(r"write\([^2]", line[match.start(2) :]) else match[2]
        found.setdefault(name, {}).setdefault(counts[match.groups()], set()).add(phase)
        for mark, following in (('\\"listening\\"', "serving"), ('\\"draining\\"', "stop")):
            phase = following if mark in line else phase
    return found


def cases_of(found, threads, most):
    """Yields the cases of a traced run: for each phase at most `most` of each call."""
    for call, numbers in sorted(found.items()):
        twins = found.get("write to a thread", {}) if call == "write" else {}
        own = {number: phases for number, phases in numbers.items() if "loader" not in phases and number not in twins}
        chosen, first = set(), {}
        for phase in ("start", "serving", "stop"):
            those = sorted(number for number, phases in own.items() if phase in phases)
            chosen |= set(those[: most[phase]])
            first |= {those[0]: phase} if those else {}
        for error in ERRORS.get(call, OTHERS).split():
            name = call.split()[0]
            fault = f"{name}:retval{error}" if error[0] == "=" else f"{name}:error={error}"
            yield from (f"call {threads} {fault}:when={number}" for number in sorted(chosen))
            yield from (f"call {threads} {fault}:when={number}+" for number in sorted(first) if not {error, f"{call} {error}"} & PASSING)
        if threads == 1:
            yield from (f"call {threads} {name}:signal=SIGTERM:when={number}" for number in own if "start" in own[number])


def plan(references):
    """Returns all cases, and the number of each call that the loader makes."""
    complete = bool(os.environ.get("COMPLETE"))
    of_threads = {"brk", "clone", "clone3", "epoll_create1", "epoll_ctl", "eventfd2", "mmap", "mprotect"}
    cases, loader = [], collections.Counter()
    for threads in references if shutil.which("strace") else ():
        found = calls_of(references[threads].log_text)
        loader = {call: sum("loader" in phases for phases in numbers.values()) for call, numbers in found.items()}
        if threads > 1 and not complete:
            found = {call: numbers for call, numbers in found.items() if call in of_threads}
        most = {"start": 1000, "serving": 0 if threads > 1 else 25 if complete else 3, "stop": 25 if complete else 3}
        cases += cases_of(found, threads, most)
    cases += [f"stderr {threads} {to}" for threads in references for to in (">/dev/full", ">&-", "</dev/null")]
    if IS_DYNAMIC:
        clean = attempt("preload 1 FAULT_ALLOCATION=0", references, judge=False)
        count = int(re.search(r"allocations (\d+)", clean.log_text)[1])
        cases += [f"preload 1 FAULT_ALLOCATION={number}" for number in range(1, count + 1)]
        cases += [f"preload 1 FAULT_ALLOCATION={number}+" for number in range(1, count + 1, 1 if complete else 7)]
        cases += [f"preload 1 FAULT_BUFFER={size}" for size in (1, 4000, 8000)]
        cases += [f"preload {threads} FAULT_CLOCK={seconds}" for threads in (1, 3) for seconds in (1, 3600, 86400 * 365)]
        cases += [f"preload 1 FAULT_SLEEP={number}" for number in range(1, 40, 1 if complete else 8)]
    return cases, {call: number for call, number in loader.items() if number}


def attempt(case, references, judge=True):
    with tempfile.TemporaryDirectory() as folder:
        run = Run(case, pathlib.Path(folder), references.get(int(case.split()[1])))
        run.run()
        run.log_text = run.log.read_text() if run.log.exists() else ""
        run.outcome = run.judge() if judge else None
        return run


def outcome_of(case, references):
    try:
        return attempt(case, references).outcome, None
    except (Wrong, OSError) as failure:
        return "wrong", f"FAILED: {case}: {failure}\n  again: PROGRAM={PROGRAM} PRELOAD={PRELOAD} tests/faults/faults.py '{case}'"


def main():
    has_strace = shutil.which("strace")
    if not has_strace and os.environ.get("NO_SKIP"):
        sys.exit("strace is not installed")
    kind = "trace" if has_strace else "stderr"
    references = {}
    for threads in (1, 3):
        references[threads] = attempt(f"{kind} {threads} >&2", {}, judge=False)
        for name, stream in references[threads].streams.items():
            if b" ".join(answer[9:12] for answer in split(stream)) != STATUSES[name]:
                sys.exit(f"without a fault: {name}: {stream!r}")
    cases, loader = (sys.argv[1:], {}) if len(sys.argv) > 1 else plan(references)
    outcomes, began = collections.Counter(), time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool:
        for case, (outcome, failure) in zip(cases, pool.map(lambda case: outcome_of(case, references), cases)):
            outcomes[outcome] += 1
            if failure:
                print(failure, flush=True)
    wrong, missed = outcomes.pop("wrong", 0), outcomes["not reached"]
    print(f"{len(cases)} cases in {time.monotonic() - began:.0f} s:")
    for outcome, count in outcomes.most_common():
        print(f"{count:6} {outcome}")
    if loader:
        print(f"{sum(loader.values()):6} calls of the loader left out: {loader}")
    print(f"[  PASSED  ] {len(cases) - wrong - missed} test(s).")
    if not has_strace:
        print("[  SKIPPED ] system_calls\n[  SKIPPED ] 1 test(s).")
    if missed * 10 > len(cases) or wrong:
        print(f"[  FAILED  ] {max(wrong, 1)} test(s).")
        sys.exit(1)


if __name__ == "__main__":
    PROGRAM, PRELOAD = (str(pathlib.Path(os.environ.get(name) or "none").resolve()) for name in ("PROGRAM", "PRELOAD"))
    NAME = pathlib.Path(PROGRAM).name
    IS_DYNAMIC = b"/ld-" in pathlib.Path(PROGRAM).read_bytes()[:4096]
    main()
