"""A service with a bug that its author looks for with pdb, and its client."""

from __future__ import annotations

import signal
import socket
import sys

from harness import Client

SOCKET = "{dir}/s"


def serve(path: str) -> None:
    """It stops in pdb at a name that is bad."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        while True:
            connection, _ = listener.accept()
            with connection:
                name = connection.recv(100)
                if name == b"bad":
                    breakpoint()
                    raise ValueError("no such name")
                connection.sendall(b"hello " + name)


def ask(client: Client, name: str) -> None:
    """Its greeting."""
    with client.invoke("ask"), client.connect(SOCKET) as connection:
        connection.sendall(name.encode())
        client.expect(connection.recv(100), b"hello " + name.encode())
