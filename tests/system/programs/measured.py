"""A service that forks a child for each connection, and its client."""

from __future__ import annotations

import os
import signal
import socket
import sys

from harness import Client

SOCKET = "{dir}/s"


def serve(path: str) -> None:
    """The child answers, and ends by os._exit."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        while True:
            connection, _ = listener.accept()
            if os.fork() == 0:
                in_child(connection)
            connection.close()  # of the service
            os.wait()


def in_child(connection: socket.socket) -> None:
    """Greet who is good."""
    name = connection.recv(100)
    if name == b"bad":
        os._exit(3)  # of the bad child
    connection.sendall(b"hello " + name)
    os._exit(0)  # of the good child


def ask(client: Client, name: str) -> None:
    """Its greeting."""
    with client.invoke("ask"), client.connect(SOCKET) as connection:
        connection.sendall(name.encode())
        client.expect(connection.recv(100), b"hello " + name.encode())
