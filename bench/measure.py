"""Starts servers, and measures them: answers, throughput, latency, CPU, memory, start."""

import contextlib
import http.client
import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time

from servers import Failure

PATIENCE = 30  # seconds: for what takes a moment unless something is broken
TICKS = os.sysconf("SC_CLK_TCK")
REQUEST = b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n"
# Not the address of the servers: whoever asks a port again and again until something listens there could else be given
# that very port, and be connected to itself.
CLIENT = "127.0.0.2"


def be_ready(open_files, *tools):
    """Lets a signal end this as an exception does, so that all that was started ends. Sees to open files and tools."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < open_files:
        raise Failure(f"only {hard} files can be open here, {open_files} are needed: see ulimit -Hn")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for tool in tools:
        if shutil.which(tool) is None:
            raise Failure(f"{tool} is missing; install with: apt-get install {tool}")


def in_turn(items, rounds):
    """In each round, from 1 on, every item once; who is first changes."""
    for number in range(rounds):
        first = number % len(items)
        for item in items[first:] + items[:first]:
            yield number + 1, item


def free_port():
    with socket.socket() as any_socket:
        any_socket.bind(("127.0.0.1", 0))
        return any_socket.getsockname()[1]


def words(command):
    return [str(word) for word in command]


def run(command, seconds, **options):
    """What a command prints, both streams. It is ended, not killed, when it takes longer or this is ended."""
    child = subprocess.Popen(
        words(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )
    try:
        printed, _ = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired as late:
        raise Failure(f"{command[0]}: still running after {seconds} s") from late
    finally:
        if child.poll() is None:
            child.terminate()
            child.communicate()
    if child.returncode != 0:
        raise Failure(f"{command[0]}: exit status {child.returncode}: {printed.strip()[-500:]}")
    return printed


def machine_cpu():
    """Seconds of CPU that programs have used on this machine, and that its host has taken from it."""
    user, nice, system, *_, steal = map(int, pathlib.Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + steal) / TICKS


def children_cpu():
    """Seconds of CPU of the children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Running:
    """A server that runs, from its first answer on. To be used with `with`, which ends it."""

    def __init__(self, server, log, stderr=None):
        """Its output goes to the file log, or stderr to that descriptor."""
        self.name = server.name
        self.port = free_port()
        self.log = log
        with open(log, "wb") as output:
            self.process = subprocess.Popen(
                words(server.command(self.port)),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output if stderr is None else stderr,
                env=os.environ | server.environment,
                start_new_session=True,
            )

    def __enter__(self):
        try:
            self.await_answer()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Asks it to end; what is left of its process group after that is killed."""
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(PATIENCE)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def fail(self, why):
        said = pathlib.Path(self.log).read_text(errors="replace").strip()[-500:]
        raise Failure(f"{self.name}: {why}" + (f"\nit said: {said}" if said else ""))

    def must_run(self):
        if self.process.poll() is not None:
            self.fail(f"has ended with {self.process.returncode}")

    def get(self, path):
        """Status, content type and body of an answer, on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE, source_address=(CLIENT, 0))
        with contextlib.closing(connection):
            connection.request("GET", path, headers={"Connection": "close"})
            answer = connection.getresponse()
            return answer.status, answer.getheader("Content-Type"), answer.read()

    def raw_answer(self):
        """The bytes of an answer on a connection that stays open."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE, (CLIENT, 0)) as connection:
            return ask_once(connection, self.get("/version")[2])

    def await_answer(self):
        deadline = time.monotonic() + PATIENCE
        while True:
            self.must_run()
            try:
                self.get("/version")
                return
            except (OSError, http.client.HTTPException) as error:
                if time.monotonic() > deadline:
                    self.fail(f"does not answer: {error}")
            time.sleep(0.005)

    def check(self, body):
        """Failure unless it answers what all are to answer."""
        expected = (200, "application/json", body)
        try:
            answer = self.get("/version")
        except (OSError, http.client.HTTPException) as error:
            self.fail(f"does not answer: {error}")
        if answer != expected:
            self.fail(f"answers {answer}, not {expected}")

    def processes(self):
        """The ids of its processes: what was started, and its children to the last."""
        self.must_run()
        found = [self.process.pid]
        for pid in found:
            for children in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # the thread has ended
                    found += map(int, children.read_text().split())
        return found

    def cpu(self):
        """Seconds of CPU that it has used, as a user and in the kernel, with children that have ended."""
        ticks = 0
        for pid in self.processes():
            after_name = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, after_name[11:15]))
        return ticks / TICKS

    def memory(self):
        """Its proportional set size in kB of 1000 bytes: what it shares with other processes counts in part."""
        size = 0
        for pid in self.processes():
            lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            size += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        return round(size * 1.024)

    def load(self, connections, seconds):
        """Asks for /version on so many connections as fast as it answers. Failure when an answer was not 200."""
        script = pathlib.Path(__file__).with_name("wrk.lua")
        url = f"http://127.0.0.1:{self.port}/version"
        before = self.cpu(), children_cpu(), machine_cpu()
        printed = run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", script, url], seconds + PATIENCE)
        used, wrk, all_used = (now - then for now, then in zip((self.cpu(), children_cpu(), machine_cpu()), before))
        result = json.loads(printed.splitlines()[-1])
        if any(result["errors"].values()) or result["requests"] == 0:
            self.fail(f"has failed under load: {result}")
        return {
            "requests": result["requests"],
            "requests_per_s": round(result["requests"] / result["duration_us"] * 1e6, 1),
            "cpu_us": round(used / result["requests"] * 1e6, 3),
            "p50_us": result["p50"],
            "p99_us": result["p99"],
            "p999_us": result["p999"],
            "others_cpu": round(max(0, all_used - used - wrk) / seconds, 3),
        }


def ask_once(connection, body):
    """The answer to a request on a connection that is open."""
    connection.sendall(REQUEST)
    answer = b""
    while not answer.endswith(body):
        part = connection.recv(65536)
        if not part:
            raise Failure(f"an answer that ends early: {answer}")
        answer += part
    if answer[9:13] != b"200 ":
        raise Failure(f"not an answer with 200: {answer}")
    return answer


def is_closed(connection):
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False


@contextlib.contextmanager
def idle_connections(running, count, body):
    """Opens connections, each of which has been answered once. Gives a function that counts those still open."""
    with contextlib.ExitStack() as opened:
        connections = []
        try:
            for number in range(count):
                # Ports are taken for a minute after each connection, and an address has 28,000.
                client = f"127.0.1.{1 + number % 100}"
                connection = socket.create_connection(("127.0.0.1", running.port), PATIENCE, (client, 0))
                connections.append(opened.enter_context(connection))
                ask_once(connection, body)
                connection.setblocking(False)
        except OSError as error:
            running.fail(f"with {len(connections)} connections: {error}")
        yield lambda: sum(not is_closed(connection) for connection in connections)


def start_times(server, helper, log):
    """Microseconds from before the fork to the first answer, of some starts. What the server says goes to log."""
    port = free_port()
    command = [helper, log, port, server.starts, *server.command(port)]
    try:
        printed = run(command, server.starts * PATIENCE, env=os.environ | server.environment)
    except Failure as failure:
        said = pathlib.Path(log).read_text(errors="replace").strip()[-500:]
        raise Failure(f"{server.name}: does not start: {failure}\nit said: {said}") from failure
    return [int(line) for line in printed.split()]
