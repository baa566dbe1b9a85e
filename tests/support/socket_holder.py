#!/usr/bin/env python3
"""Holds a listening socket as systemd does, and restarts a program on it while a client asks: the old process is stopped
with SIGTERM, and the next one started when it has ended.

Usage: socket_holder.py FOLDER RESTARTS RATE PROGRAM [ARGUMENT...]

For RATE see steady_client.py. FOLDER is for the log of the processes (log) and the client's file. Prints what the client prints.
Exit status: 0 when no request was lost, each process said READY=1 and STOPPING=1 and ended with 0.
"""

import os
import socket
import subprocess
import sys
import time

PATIENCE = 30  # seconds
CLIENT = os.path.join(os.path.dirname(__file__), "steady_client.py")
PASSED = 3


class Manager:
    def __init__(self, folder, command):
        self.command = command
        self.log = open(os.path.join(folder, "log"), "w", encoding="utf-8")
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notified.bind(os.path.join(folder, "notify"))
        self.notified.settimeout(PATIENCE)
        self.child = None

    def await_message(self, expected):
        message = self.notified.recv(4096).decode()
        if not message.startswith(expected + "\n"):
            sys.exit(f"{message!r} instead of {expected}")

    def start(self):
        """The child's pid is known in the child alone: so it sets LISTEN_PID there."""
        self.child = os.fork()
        if self.child == 0:
            os.dup2(self.log.fileno(), 2)  # first: it may be descriptor 3
            os.dup2(self.listener.fileno(), PASSED)
            os.set_inheritable(PASSED, True)  # also when it had this number before
            environment = {
                "LISTEN_PID": str(os.getpid()),
                "LISTEN_FDS": "1",
                "NOTIFY_SOCKET": self.notified.getsockname(),
            }
            os.execve(self.command[0], self.command, environment)
        self.await_message("READY=1")

    def stop(self):
        os.kill(self.child, 15)
        self.await_message("STOPPING=1")
        status = os.waitstatus_to_exitcode(os.waitpid(self.child, 0)[1])
        if status != 0:
            sys.exit(f"the program ends with {status}")


def restart_under_load(manager, stop, restarts, rate):
    """Returns the client's exit status."""
    port = str(manager.listener.getsockname()[1])
    manager.start()
    client = subprocess.Popen([CLIENT, port, stop, rate])
    try:
        for _ in range(restarts):
            time.sleep(0.5)  # of load between two restarts
            manager.stop()
            manager.start()
        time.sleep(0.5)
    finally:
        with open(stop, "w", encoding="ascii"):
            pass
        status = client.wait()
    manager.stop()
    return status


def main():
    folder, restarts, rate, *command = sys.argv[1:]
    sys.exit(restart_under_load(Manager(folder, command), os.path.join(folder, "stop"), int(restarts), rate))


main()
