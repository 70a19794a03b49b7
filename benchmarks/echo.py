"""What the benchmark of trials runs: a forking echo service of the usual kind, and one client."""

from __future__ import annotations

import os
import signal
import socket
import sys
from types import FrameType
from typing import Any


def serve(path: str) -> None:
    """One child for each connection, until SIGTERM."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        signal.signal(signal.SIGTERM, _stop)
        print("ready", flush=True)
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


def ask(client: Any, path: str) -> None:
    """One round trip, as a workload."""
    with client.invoke("ask"), client.connect(path) as connection:
        connection.sendall(b"hello")
        client.expect(connection.recv(100), b"hello")


if __name__ == "__main__":
    serve(sys.argv[1])
