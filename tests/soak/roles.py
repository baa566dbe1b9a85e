#!/usr/bin/env -S python3 -B
"""The clients of `make soak` that are slow or rude. Each role runs until SIGTERM.

    tests/soak/roles.py ROLE PORT DEADLINE FOLDER

ROLE is slow or rude. DEADLINE is the server's --request-deadline in seconds. FOLDER has the body of /openapi.json.
Prints the counts as JSON at the end.
Exit status: 0; 1 if the server did something wrong, which stderr names.
"""

import asyncio
import collections
import json
import pathlib
import random
import re
import signal
import socket
import struct
import sys
import time

PATIENCE = 60  # seconds: for anything that must happen
DATE = rb"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT"
BADGE = b"GET /badge.svg HTTP/1.1\r\nHost: soak\r\n\r\n"
BIG = b"GET /openapi.json HTTP/1.1\r\nHost: soak\r\n\r\n"
BIG_LABEL = "/openapi.json GET 200"  # in the metrics


class Wrong(Exception):
    """What the server must not do."""


class Client:
    """Shared by the clients of a role. A behaviour is a method that is passed a connection and the time before its connect.
    It returns None, or the bytes that the server sent before it closed the connection at the deadline, which must be none."""

    def __init__(self, port, deadline, folder):
        self.port, self.deadline = int(port), float(deadline)
        openapi = (pathlib.Path(folder) / "openapi.json").read_bytes()
        self.bodies = {"/openapi.json": openapi, "/healthz": b'{"status":"ok"}\n'}
        self.requests = collections.Counter()  # verified, by the labels of the metrics
        self.maybe = collections.Counter()  # sent, but the response was not awaited
        self.count = collections.Counter()
        self.random = random.Random(1)
        self.stop = asyncio.Event()

    async def expect(self, reader, path):
        """Reads the response to a GET and compares it to the byte."""
        body = self.bodies[path]
        form = (
            rb"HTTP/1\.1 200 OK\r\nDate: " + DATE + rb"\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n"
            rb"X-Content-Type-Options: nosniff\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        async with asyncio.timeout(PATIENCE):
            head = await reader.readuntil(b"\r\n\r\n")
            got = await reader.readexactly(len(body))
        if not re.fullmatch(form, head) or got != body:
            raise Wrong(f"wrong response to {path}: {head!r} {got!r}")
        self.requests[f"{path} GET 200"] += 1

    async def ask(self, reader, writer, path):
        writer.write(f"GET {path} HTTP/1.1\r\nHost: soak\r\n\r\n".encode())
        await self.expect(reader, path)

    async def closed(self, reader, since):
        """Waits until the server closes the connection, which it must not do before the deadline after `since`."""
        got = b""
        try:
            async with asyncio.timeout(self.deadline + PATIENCE):
                while part := await reader.read(65536):
                    got += part
        except TimeoutError:
            raise Wrong(f"a connection is still open {PATIENCE} s after its deadline") from None
        except ConnectionError:
            pass  # it had unread requests
        if time.monotonic() - since < self.deadline - 0.005:
            raise Wrong(f"a connection was closed after {time.monotonic() - since:.3f} s, before its deadline")
        self.count["overdue"] += 1
        return got

    # Slow clients.

    async def idle(self, reader, _, since):
        return await self.closed(reader, since)

    async def drip(self, reader, writer, since):
        """Sends a byte now and then, so that the connection is never idle."""

        async def write():
            for byte in b"GET /version HTTP/1.1\r\nHost: soak\r\nX: " + b"x" * 4000:
                writer.write(bytes([byte]))
                await asyncio.sleep(self.deadline / 10)

        dripping = asyncio.create_task(write())
        try:
            return await self.closed(reader, since)
        finally:
            dripping.cancel()

    async def drip_after_response(self, reader, writer, _):
        since = time.monotonic()
        await self.ask(reader, writer, "/healthz")
        return await self.drip(reader, writer, since)

    async def never_read(self, reader, writer, since):
        """Requests more than the kernel buffers, and reads nothing until the server has reset the connection."""
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

    # Rude clients.

    def reset(self, writer):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        self.count["resets"] += 1

    def write_half(self, writer):
        writer.write(BADGE[: self.random.randrange(1, len(BADGE) - 1)])
        self.count["halves"] += 1

    async def reset_in_request(self, _, writer, __):
        self.write_half(writer)
        await asyncio.sleep(self.random.choice([0, 0.005]))
        self.reset(writer)

    async def reset_in_response(self, reader, writer, _):
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
            raise Wrong(f"response to half a request: {got!r}")

    async def garbage(self, reader, writer, _):
        """Sends random bytes, or a request with a byte that is forbidden anywhere."""
        got, bad = b"", bytearray(BADGE)
        bad[self.random.randrange(len(bad) - 4)] = self.random.randrange(1, 9)
        writer.write(self.random.choice([bad, self.random.randbytes(self.random.randrange(2, 400)) + b"\r\n\r\n"]))
        self.count["garbage"] += 1
        try:
            while part := await reader.read(4096):
                got += part
        except ConnectionError:
            pass  # the server did not read all of it
        if got and not re.match(rb"HTTP/1\.1 [45]\d\d ", got):
            raise Wrong(f"response to garbage: {got!r}")

    async def connect(self, buffer):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", self.port))
        self.count["connections"] += 1
        return await asyncio.open_connection(sock=client, limit=buffer)

    async def repeat(self, behaviour, pause):
        while not self.stop.is_set():
            since, got = time.monotonic(), None
            reader, writer = await self.connect(4096 if behaviour in (self.never_read, self.read_slowly) else 65536)
            try:
                if got := await behaviour(reader, writer, since):
                    raise Wrong(f"{behaviour.__name__}: got {got!r}")
            except (EOFError, ConnectionError) as error:
                if time.monotonic() - since < self.deadline:
                    raise Wrong(f"{behaviour.__name__}: {error!r}") from error
                self.count["unknown"] += 1  # too slow for the deadline: the server may have responded
            writer.close()
            # On a slow machine, the server may have closed the connection at the deadline.
            self.count["maybe_overdue"] += got is None and time.monotonic() - since >= self.deadline
            await asyncio.sleep(pause)

    async def run(self, role):
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.stop.set)
        rude = [self.reset_in_request, self.reset_in_response, self.half_and_close, self.half_and_end, self.garbage]
        slow = [self.idle, self.drip, self.drip_after_response, self.never_read, self.read_slowly]
        behaviours, pause = {"slow": (slow * 12, 0), "rude": (rude * 6, 0.1)}[role]
        async with asyncio.TaskGroup() as group:
            for behaviour in behaviours:
                group.create_task(self.repeat(behaviour, pause))
        print(json.dumps({"kinds": list(self.requests.items()), "maybe": self.maybe, **self.count}))


asyncio.run(Client(*sys.argv[2:]).run(sys.argv[1]))
