#!/usr/bin/env -S python3 -B
"""The clients of `make soak` that are in no hurry. Each runs until its standard input ends.

    tests/soak/roles.py ROLE PORT DEADLINE FOLDER COMMAND...

ROLE is slow, rude or probes; DEADLINE the server's --request-deadline in seconds; FOLDER has what it answers (`openapi`,
a body); COMMAND asks for its health. At the end it prints what it has seen, as JSON.
Exit status: 0; 1 when the server did what it must not, which stderr says.
"""

import asyncio
import collections
import json
import os
import pathlib
import random
import re
import socket
import struct
import sys
import time

SLOW, RUDE, PATIENCE = 60, 6, 30  # clients of a role, and seconds for what takes a moment
DATE = rb"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT"
BADGE = b"GET /badge.svg HTTP/1.1\r\nHost: soak\r\n\r\n"
BIG = b"GET /openapi.json HTTP/1.1\r\nHost: soak\r\n\r\n"
BIG_LABEL = "/openapi.json GET 200"  # as the metrics name it


class Wrong(Exception):
    """What the server must not do."""


class Client:
    """What the clients of a role share. A way of being one is given a connection and when that began; it returns None, or
    when it was held until the server closed it, what came before (nothing must have)."""

    def __init__(self, port, deadline, folder, command):
        self.port, self.deadline, self.command = int(port), float(deadline), command
        openapi = (pathlib.Path(folder) / "openapi").read_bytes()
        self.bodies = {"/openapi.json": openapi, "/healthz": b'{"status":"ok"}\n', "/readyz": b'{"status":"ready"}\n'}
        self.requests = collections.Counter()  # verified, by the metrics' labels
        self.maybe = collections.Counter()  # those that may have been answered, beside them
        self.count = collections.Counter()
        self.latency, self.lateness = [], [0]
        self.random = random.Random(1)
        self.stop = asyncio.Event()

    async def expect(self, reader, path):
        """Reads the answer to a GET, which must be right to the byte."""
        body = self.bodies[path]
        form = (
            rb"HTTP/1\.1 200 OK\r\nDate: " + DATE + rb"\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n"
            rb"X-Content-Type-Options: nosniff\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        async with asyncio.timeout(PATIENCE):
            head = await reader.readuntil(b"\r\n\r\n")
            got = await reader.readexactly(len(body))
        if not re.fullmatch(form, head) or got != body:
            raise Wrong(f"a wrong answer to {path}: {head!r} {got!r}")
        self.requests[f"{path} GET 200"] += 1

    async def ask(self, reader, writer, path):
        writer.write(f"GET {path} HTTP/1.1\r\nHost: soak\r\n\r\n".encode())
        await self.expect(reader, path)

    async def closed(self, reader, since):
        """Waits for the server to close: not before the deadline after `since`, and soon after that after now."""
        got, begin = b"", time.monotonic()
        try:
            async with asyncio.timeout(self.deadline + PATIENCE):
                while part := await reader.read(65536):
                    got += part
        except TimeoutError:
            raise Wrong(f"a connection is open {PATIENCE} s after its deadline") from None
        except ConnectionError:
            pass  # of requests that were not read
        now = time.monotonic()
        if now - since < self.deadline - 0.005:
            raise Wrong(f"a connection was closed after {now - since:.3f} s, before its deadline")
        self.count["overdue"] += 1
        self.lateness.append(now - begin - self.deadline)
        return got

    # Slow: held until the server closes.

    async def idle(self, reader, _, since):
        return await self.closed(reader, since)

    async def drip(self, reader, writer, since):
        """A byte now and then, so that the connection is never inactive."""

        async def write():
            for byte in b"GET /version HTTP/1.1\r\nHost: soak\r\nX: " + b"x" * 4000:
                writer.write(bytes([byte]))
                await asyncio.sleep(self.deadline / 10)

        dripping = asyncio.create_task(write())
        try:
            return await self.closed(reader, since)
        finally:
            dripping.cancel()

    async def drip_after_answer(self, reader, writer, _):
        since = time.monotonic()
        await self.ask(reader, writer, "/healthz")
        return await self.drip(reader, writer, since)

    async def never_read(self, reader, writer, since):
        """Asks for more than the kernel keeps for a client, and does not look. As requests are left in the server's socket,
        the kernel resets the connection, rather than deliver megabytes first."""
        writer.transport.pause_reading()
        writer.write(BIG * 1000)
        self.maybe[BIG_LABEL] += 1000
        await asyncio.sleep(self.deadline + 2)
        writer.transport.resume_reading()
        await self.closed(reader, since)
        return b""

    async def read_slowly(self, reader, writer, _):
        since, got = time.monotonic(), asyncio.StreamReader()
        writer.write(BIG * 3)
        for _ in range(3 * len(self.bodies["/openapi.json"]) // 512):
            got.feed_data(await reader.readexactly(512))
            await asyncio.sleep(0.005)
        got.feed_data(await self.closed(reader, since))
        got.feed_eof()
        for _ in range(3):
            await self.expect(got, "/openapi.json")
        return await got.read()

    # Rude: ended as no connection should be.

    def reset(self, writer):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        self.count["resets"] += 1

    def write_half(self, writer):
        writer.write(BADGE[: self.random.randrange(1, len(BADGE) - 1)])
        self.count["halves"] += 1

    async def reset_in_request(self, _, writer, __):
        writer.write(BADGE[: self.random.randrange(len(BADGE) - 1)])
        await asyncio.sleep(self.random.choice([0, 0.005]))
        self.reset(writer)

    async def reset_in_answer(self, reader, writer, _):
        writer.write(BIG * 4)
        await reader.readexactly(1)
        self.requests[BIG_LABEL] += 1
        self.maybe[BIG_LABEL] += 3
        self.reset(writer)

    async def half_and_close(self, _, writer, __):
        self.write_half(writer)
        self.count["maybe_overdue"] += 1  # libmicrohttpd may miss an end that comes with the last bytes

    async def half_and_end(self, reader, writer, _):
        self.write_half(writer)
        await asyncio.sleep(0.005)
        writer.write_eof()
        if got := await reader.read():
            raise Wrong(f"half a request was answered: {got!r}")

    async def garbage(self, reader, writer, _):
        """Bytes of any kind, or a request with one that is allowed nowhere."""
        got, bad = b"", bytearray(BADGE)
        bad[self.random.randrange(len(bad) - 4)] = self.random.randrange(1, 9)
        writer.write(self.random.choice([bad, self.random.randbytes(self.random.randrange(2, 400)) + b"\r\n\r\n"]))
        self.count["garbage"] += 1
        try:
            while part := await reader.read(4096):
                got += part
        except ConnectionError:
            pass  # of what was not read
        if got and not re.match(rb"HTTP/1\.1 [45]\d\d ", got):
            raise Wrong(f"garbage was answered: {got!r}")

    # Probes, as a kubelet and Docker do.

    async def probe(self, reader, writer, since):
        await self.ask(reader, writer, self.random.choice(["/healthz", "/readyz"]))
        self.latency.append(time.monotonic() - since)

    async def check_health(self):
        while not self.stop.is_set():
            process = await asyncio.create_subprocess_exec(*self.command, stderr=asyncio.subprocess.PIPE)
            said = (await process.communicate())[1]
            if process.returncode != 0:
                raise Wrong(f"--healthcheck: exit status {process.returncode}: {said.decode()}")
            self.count.update(["connections", "health_checks"])
            self.requests["/readyz GET 200"] += 1
            await asyncio.sleep(1)

    async def connect(self, buffer):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", self.port))
        self.count["connections"] += 1
        return await asyncio.open_connection(sock=client, limit=buffer)

    async def be(self, way, pause):
        """One client, which comes again and again."""
        while not self.stop.is_set():
            since = time.monotonic()
            reader, writer = await self.connect(4096 if way in (self.never_read, self.read_slowly) else 65536)
            try:
                if got := await way(reader, writer, since):
                    raise Wrong(f"{way.__name__}: got {got!r}")
            except (EOFError, ConnectionError) as error:
                if time.monotonic() - since < self.deadline:
                    raise Wrong(f"{way.__name__}: {error!r}") from error
                got = None
                self.count["lost"] += 1  # this machine was that slow: it may have been answered
            writer.close()
            # Of what took so long the server may have tired.
            self.count["maybe_overdue"] += got is None and time.monotonic() - since >= self.deadline
            await asyncio.sleep(pause)

    async def run(self, role):
        rude = [self.reset_in_request, self.reset_in_answer, self.half_and_close, self.half_and_end, self.garbage]
        slow = [self.idle, self.drip, self.drip_after_answer, self.never_read, self.read_slowly]
        ways = {"slow": slow * (SLOW // len(slow)), "rude": rude * RUDE, "probes": [self.probe]}[role]
        async with asyncio.TaskGroup() as group:
            for way in ways:
                group.create_task(self.be(way, {"slow": 0, "rude": 0.1, "probes": 0.05}[role]))
            if role == "probes":
                group.create_task(self.check_health())
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
            self.stop.set()
        seen = {"requests": list(self.requests.items()), "maybe": self.maybe, "latency": self.latency}
        print(json.dumps(self.count | seen | {"lateness": max(self.lateness)}))


def main():
    role, port, deadline, folder, *command = sys.argv[1:]
    try:
        asyncio.run(Client(port, deadline, folder, command).run(role))
    except* (Wrong, OSError, EOFError) as group:
        for error in group.exceptions:
            print(f"{role}: {error!r}", file=sys.stderr)
        sys.stderr.flush()
        os._exit(1)  # a thread still reads standard input


if __name__ == "__main__":
    main()
