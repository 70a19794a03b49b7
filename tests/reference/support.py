"""What the tests of the forking service share: a service in a process of its own, and a client that
is written from the wire protocol alone."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType

from reference.forking_service.client import ForkedProcess, ForkingServiceClient

PROJECT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0
PREFIX = "lp-forking-service-child-"


def command(*words: str) -> list[str]:
    """The command line of a service."""
    return [sys.executable, "-m", "reference.forking_service", *words]


def environment() -> dict[str, str]:
    """This process's, with the project's modules first."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("COV_", "PYTEST"))}
    path = os.pathsep.join([str(PROJECT), kept.get("PYTHONPATH", "")])
    return kept | {"PYTHONPATH": path, "LANG": "C.UTF-8"}


class Service:
    """A running service with a directory of its own; ready when this returns."""

    def __init__(self, *words: str, place: str | None = None) -> None:
        self.is_own_place = place is None
        # Not pytest's: the path of a socket has at most 107 bytes.
        self.place = place or tempfile.mkdtemp(prefix="fs-")
        self.path = os.path.join(self.place, "s")
        self.read = ""
        self.process = subprocess.Popen(
            command("--path", self.path, "--directory", self.place, *words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=environment(),
        )
        try:
            self.until(r"^Listening on socket: ")
        except BaseException:
            self.clear()
            raise

    @property
    def client(self) -> ForkingServiceClient:
        """A client for it."""
        return ForkingServiceClient(self.path, timeout=PATIENCE_S)

    def spawn(self, *argv: str, **env: str) -> ForkedProcess:
        """A child of it."""
        child = self.client.spawn(argv, env)
        assert isinstance(child, ForkedProcess)
        return child

    def until(self, pattern: str) -> re.Match[str]:
        """Wait for a line on its standard error; the match."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.read += line
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"it has ended without {pattern!r}:\n{self.read}")

    def send_signal(self, number: int) -> None:
        """Send it to the service."""
        self.process.send_signal(number)

    def directories(self) -> list[str]:
        """The children's directories that there are."""
        return sorted(name for name in os.listdir(self.place) if name.startswith(PREFIX))

    def end(self) -> int:
        """Wait for its end; its exit status. Everything that it has logged is in `read` then."""
        assert self.process.stderr is not None
        self.read += self.process.stderr.read()
        return self.process.wait(PATIENCE_S)

    def stop(self) -> int:
        """Stop it in good order; its exit status. It must have left nothing."""
        self.send_signal(signal.SIGTERM)
        status = self.end()
        assert os.listdir(self.place) == [], self.read
        return status

    def die(self) -> None:
        """Kill it; it is gone then."""
        self.process.kill()
        self.process.wait()

    def clear(self) -> None:
        """End it whatever it does, and remove what it has left."""
        self.die()
        if self.process.stderr is not None:
            self.process.stderr.close()
        if self.is_own_place:
            shutil.rmtree(self.place)

    def __enter__(self) -> Service:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        try:
            if kind is None and self.process.poll() is None:
                assert self.stop() == 0, self.read
        finally:
            self.clear()


class Raw:
    """A connection as the wire protocol has it, and nothing more."""

    def __init__(self, service: Service | str, timeout_s: float = PATIENCE_S) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.socket.settimeout(timeout_s)
            self.socket.connect(service if isinstance(service, str) else service.path)
        except OSError:
            self.socket.close()
            raise
        self.socket.settimeout(PATIENCE_S)
        self._unread = b""

    def send(self, data: bytes) -> Raw:
        """Send all of *data*."""
        self.socket.sendall(data)
        return self

    def line(self) -> bytes:
        """The next line, with its end; what there is of it at the end."""
        while b"\n" not in self._unread:
            if not (data := self.socket.recv(4096)):
                break
            self._unread += data
        head, end, self._unread = self._unread.partition(b"\n")
        return head + end

    def rest(self) -> bytes:
        """All up to the end."""
        while data := self.socket.recv(65536):
            self._unread += data
        rest, self._unread = self._unread, b""
        return rest

    def started(self) -> tuple[int, str]:
        """The pid and the directory of a reply to fork."""
        assert self.line() == b"ok\n"
        return int(self.line()), self.line().decode().rstrip("\n")

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *why: object) -> None:
        self.socket.close()


def ask(service: Service | str, request: bytes) -> bytes:
    """The whole reply to one request."""
    with Raw(service) as raw:
        return raw.send(request).rest()


def is_gone(pid: int) -> bool:
    """Whether there is no such process, not even a zombie."""
    return not os.path.exists(f"/proc/{pid}")
