#!/usr/bin/env python3
"""A client that comes anew for each request. Asks two servers in turn for /version and /healthz, each on a connection of
its own, one after the other, until a file exists (and a thousand times at least). Prints a line about each server: how
many answers were right and wrong, and the milliseconds from before the connect to the end of the answer: median, 99th
and 99.9th percentile, worst.

Usage: fresh_client.py PORT PORT STOP RAW
STOP is that file. RAW is written: the milliseconds of each pair of requests, a line each, in their order.
"""

import os
import socket
import sys
import time

PATIENCE = 60  # seconds; an answer that takes longer is a wrong one


def ask(port, path):
    """Returns the whole answer to a request on a connection of its own."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        while piece := connection.recv(65536):
            answer += piece
    return answer


def is_right(path, answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    wanted = b'{"status":"ok"}\n' if path == "/healthz" else b'{"name":'
    return head.startswith(b"HTTP/1.1 200 OK\r\n") and body.startswith(wanted) and body.endswith(b"}\n")


def ask_in_time(port, path):
    """Returns the milliseconds that a request took, and whether its answer was right."""
    began = time.monotonic()
    try:
        right = is_right(path, ask(port, path))
    except OSError as error:
        print(error, file=sys.stderr)
        right = False
    return (time.monotonic() - began) * 1000, right


def print_figures(results):
    times = sorted(took for took, _ in results)
    right = sum(is_right for _, is_right in results)
    ranks = [times[min(len(times) - 1, int(len(times) * part))] for part in (0.5, 0.99, 0.999, 1)]
    print(right, len(times) - right, *(f"{took:.2f}" for took in ranks))


def main():
    ports, stop, raw = [int(port) for port in sys.argv[1:3]], sys.argv[3], sys.argv[4]
    rounds = []
    while not os.path.exists(stop) or len(rounds) < 1000:
        path = ("/version", "/healthz")[len(rounds) % 2]
        rounds.append([ask_in_time(port, path) for port in ports])
        time.sleep(0.001)
    with open(raw, "w", encoding="ascii") as file:
        file.writelines(" ".join(f"{took:.3f}" for took, _ in pair) + "\n" for pair in rounds)
    for server in range(len(ports)):
        print_figures([pair[server] for pair in rounds])


main()
