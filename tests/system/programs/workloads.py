"""What the tests of function subjects run: a service of a dozen lines, and its clients."""

from __future__ import annotations

import atexit
import os
import random
import secrets
import signal
import socket
import sys
import tempfile
import threading
import time
import uuid
from types import FrameType

from harness import Client

SOCKET = "{dir}/socket"


def echo(path: str) -> None:
    """One child for each connection; SIGTERM ends it, and its socket."""
    with socket.socket(socket.AF_UNIX) as listener:
        if os.path.exists(path):
            os.unlink(path)
        listener.bind(path)
        listener.listen()
        signal.signal(signal.SIGTERM, _stop)
        try:
            while True:
                connection, _ = listener.accept()
                with connection:
                    if os.fork() == 0:
                        connection.sendall(connection.recv(100))
                        os._exit(0)
                os.wait()
        finally:
            os.unlink(path)


def _stop(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def ask(client: Client, text: str = "hello") -> None:
    with client.invoke("ask"), client.connect(SOCKET) as connection:
        connection.sendall(text.encode())
        client.expect(connection.recv(100), text.encode())


def ask_for_another(client: Client) -> None:
    with client.connect(SOCKET) as connection:
        connection.sendall(b"hello")
        client.expect(connection.recv(100), b"good-bye")


def returns(what: object) -> object:
    return what


def leaves(code: object) -> None:
    sys.exit(code)  # type: ignore[arg-type]


def raises() -> None:
    raise ValueError("this and no more")


def dies(name: str) -> None:
    os.kill(os.getpid(), getattr(signal, name))


def interrupts_itself() -> None:
    signal.raise_signal(signal.SIGINT)


def tells_its_world() -> None:
    """One line for each thing that a new process finds."""
    print(sorted(os.environ))
    print(os.getcwd(), os.listdir())
    print(sys.stdin.read())
    print(sorted(os.listdir("/proc/self/fd")))
    print(signal.getsignal(signal.SIGPIPE).name, signal.getsignal(signal.SIGTERM).name)  # type: ignore[union-attr]
    print(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
    print(os.getpgid(0) == os.getpid())
    print("told", file=sys.stderr)


def tells_where_it_lies() -> None:
    print(id(object()), hash("a string"), os.getpid())


def ends_like_a_program() -> None:
    atexit.register(print, "at the end")
    threading.Thread(target=print, args=("thread",)).start()
    print("main")


def closes_its_output() -> None:
    print("lost")
    os.close(1)


def waits_a_day() -> None:
    began = time.monotonic(), time.time()
    time.sleep(86400)
    print(round(time.monotonic() - began[0]), round(time.time() - began[1]))


def draws() -> None:
    """Everything by which a Python program usually gets something random."""
    rng = random.Random()
    print(os.urandom(8).hex(), secrets.token_hex(4), uuid.uuid4())
    print(random.random(), rng.random(), random.SystemRandom().random())
    with tempfile.NamedTemporaryFile() as file:
        print(file.name)
    print(id(object()), os.getpid(), time.time_ns())
