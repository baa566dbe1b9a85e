#!/usr/bin/env python3
"""Holds a listening socket as systemd does, and restarts a program on it under load: stops the process with SIGTERM and
starts the next one after it has exited.

Usage: socket_holder.py FOLDER RESTARTS COMMAND LOAD...
COMMAND is the program. LOAD is the command of the load (tests/load/load.c), in which PORT stands for the port. FOLDER gets
the log of the processes (log). Prints what the load prints.
Exit status: 0 if no request was lost, and if each process sent READY=1 and STOPPING=1 and exited with 0.
"""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

PATIENCE = 30  # seconds
PASSED = 3  # the descriptor of the socket


class Manager:
    def __init__(self, folder, command):
        self.command = command
        self.log = (folder / "log").open("w")
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notified.bind(str(folder / "notify"))
        self.notified.settimeout(PATIENCE)
        self.child = None

    def await_message(self, expected):
        message = self.notified.recv(4096).decode()
        if not message.startswith(expected + "\n"):
            sys.exit(f"got {message!r}, expected {expected}")

    def start(self):
        """LISTEN_PID is the pid of the child, so the child sets it."""
        self.child = os.fork()
        if self.child == 0:
            os.dup2(self.log.fileno(), 2)  # first: it may be descriptor 3
            os.dup2(self.listener.fileno(), PASSED)
            os.set_inheritable(PASSED, True)  # dup2() does not, if it had this number before
            notify = {"NOTIFY_SOCKET": self.notified.getsockname()}
            os.execve(self.command, [self.command], {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", **notify})
        self.await_message("READY=1")

    def stop(self):
        os.kill(self.child, signal.SIGTERM)
        self.await_message("STOPPING=1")
        status = os.waitstatus_to_exitcode(os.waitpid(self.child, 0)[1])
        if status != 0:
            sys.exit(f"the program exits with {status}")


def main():
    folder, restarts, command, *load = sys.argv[1:]
    manager = Manager(pathlib.Path(folder), command)
    port = str(manager.listener.getsockname()[1])
    manager.start()
    with subprocess.Popen([port if word == "PORT" else word for word in load]) as client:
        try:
            for _ in range(int(restarts)):
                time.sleep(0.5)  # of load between two restarts
                manager.stop()
                manager.start()
            time.sleep(0.5)
        finally:
            client.terminate()
    manager.stop()
    sys.exit(client.returncode)


main()
