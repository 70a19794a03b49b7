"""What the tests of thread subjects run: a service with a thread for each connection, and its
clients."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading
from types import FrameType
from typing import NoReturn

from harness import Client

SOCKET = "{dir}/socket"
served: list[str] = []


def serve(path: str) -> None:
    """Answers each line in upper case; SIGTERM ends it, and its socket. A signal may come just
    before it waits, or to another thread: so it is written to a pipe, too."""
    if os.path.exists(path):
        os.unlink(path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        woken, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake)
        signal.signal(signal.SIGTERM, _stop)
        try:
            while True:
                if listener not in select.select([listener, woken], [], [])[0]:
                    continue
                try:
                    connection, _ = listener.accept()
                except OSError as error:
                    print(f"serve: {error}", file=sys.stderr)
                    continue
                threading.Thread(target=_answer, args=(connection,)).start()
        finally:
            os.unlink(path)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


def _answer(connection: socket.socket) -> None:
    try:
        with connection, connection.makefile("rb") as lines:
            for line in lines:
                served.append(line.decode().strip())
                connection.sendall(line.upper())
    except OSError as error:
        print(f"serve: {error}", file=sys.stderr)


def ask(client: Client, text: str = "hello") -> None:
    """Two requests on one connection."""
    with (
        client.invoke("ask"),
        client.connect(SOCKET) as connection,
        connection.makefile("rb") as lines,
    ):
        for _ in range(2):
            connection.sendall(f"{text}\n".encode())
            client.expect(lines.readline(), f"{text.upper()}\n".encode())


def shares_memory(client: Client) -> None:
    """Sees what the service keeps."""
    ask(client, "mine")
    assert "mine" in served
    client.note(thread=threading.current_thread().name, process=os.getpid())


def forks(client: Client) -> int:
    """Its child has this thread alone."""
    if os.fork() == 0:
        os.write(1, f"{len(os.listdir('/proc/self/task'))} thread\n".encode())
        return 5
    return os.waitstatus_to_exitcode(os.wait()[1])


def fails(client: Client, how: str) -> None:
    """Ends in one of the ways in which a function can."""
    if how == "raise":
        raise ValueError("no such luck")
    if how == "exit":
        sys.exit(3)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)


def returns(what: int = 0) -> int:
    """Its exit status."""
    return what
