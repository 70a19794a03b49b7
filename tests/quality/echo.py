"""A service of a few lines that keeps every promise of the oracles, and variants that break one.

A child answers each connection and gives back the line that it is sent. While it runs there is a
work file; while the service runs there is a pid file. All of it survives any one fault.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from typing import NoReturn

from harness import Client

SOCKET = "{dir}/socket"
_TRIES = 3
#: How long a child may take.
_PATIENCE_MS = 10_000


def serve(path: str, bug: str = "") -> int:
    return BUGS[bug](path).run()


def ask(client: Client, text: str = "one\n", timeout_s: float | None = None) -> None:
    with client.invoke("ask"), client.connect(SOCKET, timeout_s) as connection:
        connection.sendall(text.encode())
        client.expect(_line_of(connection), text.encode())


def _line_of(connection: socket.socket) -> bytes:
    got = b""
    while not got.endswith(b"\n") and (data := connection.recv(100)):
        got += data
    return got


def _removed(path: str) -> bool:
    """Whether there was one, and it is gone."""
    for _ in range(_TRIES):
        with contextlib.suppress(OSError):
            os.unlink(path)
            return True
    return False


class Echo:
    """The service. Each variant below overrides what it does wrong."""

    def __init__(self, path: str) -> None:
        self.path, self.pid_file = path, f"{path}.pid"
        self.count = 0
        self.is_told = self.has_failed = False

    def run(self) -> int:
        try:
            self.start()
        except OSError as error:
            self.say(f"cannot start: {error}")
            self.remove_files()
            return 1
        while not self.is_told and not self.has_failed:
            try:
                self.turn()
            except OSError as error:
                self.say(str(error))
        self.remove_files()
        return int(self.has_failed)

    def say(self, what: str) -> None:
        with contextlib.suppress(OSError):
            os.write(2, f"{what}\n".encode())

    def start(self) -> None:
        self.remove_stale()
        self.wake = socket.socketpair()
        for one in self.wake:
            one.setblocking(False)
        signal.signal(signal.SIGTERM, self.told)
        os.close(os.open(self.pid_file, os.O_CREAT | os.O_WRONLY))
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.setblocking(False)
        self.listener.bind(self.path)
        self.listener.listen()

    def told(self, number: int, frame: object) -> None:
        for _ in range(_TRIES):
            with contextlib.suppress(OSError):
                self.wake[1].send(b"t")
                return

    @property
    def work(self) -> str:
        """The work file of the connection that is being answered."""
        return f"{self.path}.work{self.count}"

    def remove_stale(self) -> None:
        """Remove what one that was killed has left."""
        self.remove_files()
        folder, name = os.path.split(self.path)
        for one in sorted(os.listdir(folder)):
            if one.startswith(f"{name}.work"):
                _removed(f"{folder}/{one}")

    def remove_files(self) -> None:
        for path in (self.path, self.pid_file):
            _removed(path)

    def turn(self) -> None:
        poll = select.poll()
        poll.register(self.listener, select.POLLIN)
        poll.register(self.wake[0], select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll()}
        self.is_told = self.wake[0].fileno() in ready
        if self.listener.fileno() in ready:
            connection, _ = self.listener.accept()
            with connection:
                self.answer(connection)

    def answer(self, connection: socket.socket) -> None:
        """Have a child answer; when that fails, the end of the connection says so."""
        pid = 0
        self.count += 1
        try:
            pid = os.fork()
            if pid == 0:
                self.live_as_child(connection)
            status = self.status_of(pid)
        except OSError as error:
            self.say(str(error))
            status = self.end(pid) if pid else -1
        if status == 0:
            _removed(self.work)
        else:
            self.failed(connection)

    def failed(self, connection: socket.socket) -> None:
        """A connection was not answered."""
        _removed(self.work)

    def status_of(self, pid: int) -> int:
        """The wait status of a child, which is killed when it takes too long."""
        descriptor = os.pidfd_open(pid)
        try:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            if not poll.poll(_PATIENCE_MS):
                return self.end(pid)
            return os.waitpid(pid, 0)[1]
        finally:
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def end(self, pid: int) -> int:
        """Kill and reap it."""
        status = -1
        for _ in range(_TRIES):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
                status = os.waitpid(pid, 0)[1]
        return status or -1

    def live_as_child(self, connection: socket.socket) -> NoReturn:
        status = 1
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self.let_go()
            os.close(os.open(self.work, os.O_CREAT | os.O_WRONLY))
            self.reply(connection, _line_of(connection))
            os.unlink(self.work)
            status = 0
        except OSError as error:
            self.say(str(error))
        finally:
            os._exit(status)

    def let_go(self) -> None:
        with contextlib.suppress(OSError):
            self.listener.close()

    def reply(self, connection: socket.socket, text: bytes) -> None:
        connection.sendall(text)


# ---- Variants ------------------------------------------------------------------------------------


class WaitsForTheClient(Echo):
    """Who was not answered is waited for until it goes; but it waits for the end itself."""

    def failed(self, connection: socket.socket) -> None:
        super().failed(connection)
        while connection.recv(100):
            pass


class DropsTheNext(Echo):
    """When one client fails, the next one is sent away."""

    def failed(self, connection: socket.socket) -> None:
        super().failed(connection)
        self.listener.accept()[0].close()


class GivesUp(Echo):
    """When one client fails, the service ends."""

    def failed(self, connection: socket.socket) -> None:
        super().failed(connection)
        self.has_failed = True


class LeavesWork(Echo):
    """When one client fails, its work file stays."""

    def failed(self, connection: socket.socket) -> None:
        pass


class SaysItIsDone(Echo):
    """When one client fails, it is told that all went well."""

    def failed(self, connection: socket.socket) -> None:
        super().failed(connection)
        connection.sendall(b"ok\n")


class SendsOnce(Echo):
    """What does not go out at once never does."""

    def reply(self, connection: socket.socket, text: bytes) -> None:
        connection.send(text)


class MindsSignals(Echo):
    """A signal that everybody else ignores is too much for it."""

    def start(self) -> None:
        super().start()
        signal.signal(signal.SIGWINCH, lambda number, frame: sys.exit("what is that?"))


class HasAHelper(Echo):
    """A helper has the listening socket too, and does not notice that the service is gone."""

    def start(self) -> None:
        super().start()
        self.helper = os.fork()
        if self.helper == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            for one in self.wake:
                one.close()
            signal.pause()

    def remove_files(self) -> None:
        super().remove_files()
        if getattr(self, "helper", 0):
            self.end(self.helper)


class _MindsThePidFile(Echo):
    """Sees at its start that the one before it was killed, and is another one then."""

    def start(self) -> None:
        self.was_killed = os.path.exists(self.pid_file)
        self.start_after_a_crash() if self.was_killed else super().start()

    def start_after_a_crash(self) -> None:
        super().start()


class DoesNotStartAgain(_MindsThePidFile):
    """It takes the pid file for that of a service that runs."""

    def start_after_a_crash(self) -> None:
        raise FileExistsError("another one is running")


class DoesNotServeAgain(_MindsThePidFile):
    """It listens, and sends everybody away."""

    def answer(self, connection: socket.socket) -> None:
        if not self.was_killed:
            super().answer(connection)


class DoesNotStopAgain(_MindsThePidFile):
    """It says at its end that something went wrong."""

    def run(self) -> int:
        return super().run() or 3 * self.was_killed


class LeavesThePidFile(_MindsThePidFile):
    """It has a pid file of its own, and leaves the other one."""

    def start_after_a_crash(self) -> None:
        self.pid_file += "2"
        super().start_after_a_crash()


BUGS: dict[str, Callable[[str], Echo]] = {
    "": Echo,
    **{
        one.__name__: one
        for one in (
            *(WaitsForTheClient, DropsTheNext, GivesUp, LeavesWork, SaysItIsDone, SendsOnce),
            *(MindsSignals, HasAHelper, DoesNotStartAgain, DoesNotServeAgain, DoesNotStopAgain),
            LeavesThePidFile,
        )
    },
}
