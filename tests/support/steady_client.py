#!/usr/bin/env python3
"""Asks for /version at a steady rate, partly on connections that are kept and partly on a new one for each request, and
compares every answer to the byte, until a file exists.

Usage: steady_client.py PORT STOP RATE
STOP is that file. RATE is how many requests a second to ask for; two thirds of them on connections that are kept.

Prints one JSON object: seconds, requests (answered and right), rate, connections, closed (kept ones that the server has
closed while nothing was asked, which HTTP allows), worst (milliseconds from the begin of a request, a new connection's
with its connect, to the end of its answer) and lost: how many requests got no answer, or a wrong one. What was wrong
with the first of these goes to stderr. Exit status: 0 when none was lost.
"""

import errno
import json
import os
import selectors
import socket
import sys
import time

KEPT, FRESH = 32, 16  # at a time, if the answers come as fast as they are asked for
PATIENCE = 30  # seconds without an answer
REQUEST = b"GET /version HTTP/1.1\r\nHost: a\r\n%s\r\n"


class Client:
    """One request at a time."""

    def __init__(self, load, keeps, period, first):
        self.load, self.keeps, self.period = load, keeps, period
        self.due = first
        self.began = None
        self.socket = None
        self.answer = b""

    def begin(self, now):
        """Asks, on the connection that is there or a new one."""
        self.due = max(self.due + self.period, now)
        self.began, self.answer = now, b""
        if self.socket is not None and self.has_ended():
            self.load.closed += 1
            self.close()
        if self.socket is None:
            self.connect()
        else:
            self.send()

    def has_ended(self):
        try:
            return self.socket.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def connect(self):
        self.load.connections += 1
        self.socket = socket.socket()
        self.socket.setblocking(False)
        error = self.socket.connect_ex(("127.0.0.1", self.load.port))
        if error not in (0, errno.EINPROGRESS):
            self.lose(os.strerror(error))
        else:
            self.load.selector.register(self.socket, selectors.EVENT_WRITE, self)

    def send(self):
        try:
            self.socket.sendall(REQUEST % (b"" if self.keeps else b"Connection: close\r\n"))
            self.load.selector.modify(self.socket, selectors.EVENT_READ, self)
        except OSError as error:
            self.lose(error)

    def on_event(self, events):
        if events & selectors.EVENT_WRITE:
            self.send()
            return
        try:
            piece = self.socket.recv(65536)
        except OSError as error:
            self.lose(error)
            return
        if self.began is None and piece == b"":
            self.load.closed += 1
            self.close()
        elif self.began is None or piece == b"":
            self.lose(f"{self.answer + piece!r} instead of an answer")
        else:
            self.answer += piece
            self.judge()

    def judge(self):
        """Looks whether the answer is whole and right."""
        head, end, body = self.answer.partition(b"\r\n\r\n")
        if not end or len(body) < len(self.load.document):
            return
        if not head.startswith(b"HTTP/1.1 200 OK\r\n") or body != self.load.document:
            self.lose(f"{self.answer!r}")
            return
        self.load.requests += 1
        self.load.worst = max(self.load.worst, time.monotonic() - self.began)
        self.began = None
        if b"\r\nConnection: close" in head:
            self.close()

    def lose(self, why):
        if self.load.lost == 0:
            print(f"lost: {why}", file=sys.stderr)
        self.load.lost += 1
        self.began = None
        self.close()

    def close(self):
        if self.socket.fileno() in self.load.selector.get_map():
            self.load.selector.unregister(self.socket)
        self.socket.close()
        self.socket = None


class Load:
    def __init__(self, port, rate):
        self.port = port
        self.selector = selectors.DefaultSelector()
        self.requests = self.lost = self.connections = self.closed = 0
        self.worst = 0.0
        self.document = self.ask()
        now = time.monotonic()
        self.clients = []
        for keeps, count, share in ((True, KEPT, rate * 2 / 3), (False, FRESH, rate / 3)):
            period = count / share
            self.clients += [Client(self, keeps, period, now + period * i / count) for i in range(count)]

    def ask(self):
        answer = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as connection:
            connection.sendall(REQUEST % b"Connection: close\r\n")
            while piece := connection.recv(65536):
                answer += piece
        return answer.partition(b"\r\n\r\n")[2]

    def turn(self, asks):
        now = time.monotonic()
        for client in self.clients:
            if client.began is not None and now - client.began > PATIENCE:
                client.lose("no answer in time")
            elif asks and client.began is None and client.due <= now:
                client.begin(now)
        for key, events in self.selector.select(0.001):
            key.data.on_event(events)

    def run(self, stop):
        began = time.monotonic()
        while not os.path.exists(stop):
            self.turn(True)
        seconds = time.monotonic() - began
        while any(client.began is not None for client in self.clients):
            self.turn(False)
        return {
            "seconds": round(seconds, 1),
            "requests": self.requests,
            "rate": round(self.requests / seconds),
            "connections": self.connections,
            "closed": self.closed,
            "worst": round(self.worst * 1000),
            "lost": self.lost,
        }


def main():
    load = Load(int(sys.argv[1]), int(sys.argv[3]))
    print(json.dumps(load.run(sys.argv[2])))
    sys.exit(1 if load.lost else 0)


main()
