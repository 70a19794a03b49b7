"""Two small services, each with a bug that no client can see by itself: what each is told may be.
Only who looks at all of them together finds it."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from harness import Client

SOCKET = "{dir}/socket"


# ---- Tickets -------------------------------------------------------------------------------------


def gives_tickets(path: str, is_sound: bool) -> None:
    """A ticket for whoever asks, with the name that was asked with. Of several who ask at once each
    gets one with the name of the last, unless *is_sound*."""
    with _listener(path) as listener:
        tickets = 0
        connections: list[socket.socket] = []
        while True:
            ready, _, _ = select.select([listener, *connections], [], [])
            if listener in ready:
                connections.append(listener.accept()[0])
                continue
            names = {one: one.recv(100).decode() for one in ready}
            for one in ready:
                connections.remove(one)
                tickets += 1
                name = names[one] if is_sound else names[ready[-1]]
                with one:
                    one.sendall(json.dumps({"key": name, "ticket": tickets}).encode())


def takes_a_ticket(client: Client) -> None:
    with (
        client.invoke("ticket", key=client.role) as asked,
        client.connect(SOCKET) as connection,
    ):
        connection.sendall(client.role.encode())
        asked.reply(json.loads(connection.recv(100)))


# ---- A register ----------------------------------------------------------------------------------


def keeps_a_value(path: str, is_sound: bool) -> None:
    """A value that is written by a child for each write, and read from what the service was told
    last. The child replies before it has told, unless *is_sound*."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    told, tells = os.pipe()
    value = b"null"
    with _listener(path) as listener:
        while True:
            ready, _, _ = select.select([told, listener], [], [])
            if told in ready:
                value = os.read(told, 100)[-1:]  # of several writes the last
            if listener in ready:
                with listener.accept()[0] as connection:
                    verb, _, written = connection.recv(100).partition(b" ")
                    if verb == b"read":
                        connection.sendall(value)
                    elif os.fork() == 0:
                        if is_sound:
                            os.write(tells, written)
                        connection.sendall(b"ok")
                        if not is_sound:
                            os.write(tells, written)
                        os._exit(0)


def writes_and_reads(client: Client, value: int = 1) -> None:
    with client.invoke("write", value=value), client.connect(SOCKET) as connection:
        connection.sendall(b"write %d" % value)
        client.expect(connection.recv(100), b"ok")
    with client.invoke("read") as asked, client.connect(SOCKET) as connection:
        connection.sendall(b"read")
        asked.reply(json.loads(connection.recv(100)))


@contextmanager
def _listener(path: str) -> Iterator[socket.socket]:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        try:
            yield listener
        finally:
            os.unlink(path)
