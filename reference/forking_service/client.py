"""A client that waits: ask the service for things, and have a child that is like a Popen.

No call here blocks for ever because the service or the child has died: whoever waits for a FIFO
also watches the connection, on which the service tells of the child's end, or is itself at an end.
"""

from __future__ import annotations

import io
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeAlias

from reference.forking_service import protocol
from reference.forking_service.log import close_descriptor
from reference.forking_service.protocol import Exited, Failed, ReplyReader, Started

_PIECE = 64 * 1024
#: Between two attempts to open a FIFO that the child has not come to yet, in seconds.
_STEP_S = 0.001
#: How long a stream that is closed waits at most for the child to open it, in seconds.
_OPENED_S = 5.0


class ForkingServiceError(Exception):
    """The service cannot be asked, or has refused; its text is one line that says why."""


class ServiceNotThere(ForkingServiceError):
    """Nobody listens on the socket."""


class ForkingServiceClient:
    """The service at the socket *path*. *timeout* is for each reply of the service, in seconds.

    Every method raises ServiceNotThere, or another ForkingServiceError. With *fallback*, `spawn`
    starts an ordinary process where the service is not there: `fallback(argv, env)`.
    """

    def __init__(
        self,
        path: str,
        *,
        timeout: float = 30.0,
        fallback: Callable[[Sequence[str], Mapping[str, str]], subprocess.Popen[bytes]]
        | None = None,
    ) -> None:
        self.path = path
        self.timeout = timeout
        self._fallback = fallback

    def hello(self) -> str:
        """What the service says when it is alive."""
        return self._ask(b"hello\n")

    def quit(self) -> str:
        """Stop the service in good order. It has heard it when this returns, not yet ended."""
        return self._ask(b"quit\n")

    def set_child_connect_timeout(self, seconds: int) -> None:
        """Children forked from now on wait *seconds* for their client."""
        self._ask(b"child_connect_timeout %d\n" % seconds)

    def spawn(
        self, argv: Sequence[str], env: Mapping[str, str] | None = None
    ) -> ForkedProcess | subprocess.Popen[bytes]:
        """Run *argv* in a child of the service, with *env* added to the service's environment.

        ValueError for what no request can say: an empty *argv*, a line's end in a word.
        """
        try:
            return self.fork(argv, env)
        except ServiceNotThere:
            if self._fallback is None:
                raise
            return self._fallback(argv, env or {})

    def fork(self, argv: Sequence[str], env: Mapping[str, str] | None = None) -> ForkedProcess:
        """As `spawn`, but never anything else than a child of the service."""
        request = protocol.fork_request(argv, env or {})
        return ForkedProcess(self._connect(), request, args=argv, timeout=self.timeout)

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(self.timeout)
            connection.connect(self.path)
        except OSError as error:
            connection.close()
            reason = f"no forking service at {self.path}: {error.strerror or error}"
            raise ServiceNotThere(reason) from None
        return connection

    def _ask(self, request: bytes) -> str:
        """Send *request*; the reply's text after its `ok`."""
        with self._connect() as connection:
            try:
                connection.sendall(request)
            except TimeoutError:
                raise ForkingServiceError("the service does not read") from None
            except OSError:
                pass  # it may have said why
            reply = bytearray()
            try:
                while data := connection.recv(_PIECE):
                    reply += data
            except OSError as error:
                if not reply:
                    raise ForkingServiceError(f"no reply from the service: {error}") from None
        head, _, rest = bytes(reply).decode("utf-8", "replace").partition("\n")
        if head != "ok":
            text = (rest if head == "FAILURE" else head.removeprefix("FAILURE: ")).strip()
            raise ForkingServiceError(text or "the service closed the connection without a reply")
        return rest.rstrip("\n")


class ForkedProcess:
    """A child of the service, as subprocess.Popen would show it.

    *returncode* is None while it runs, then its exit status, or -N for signal N; 255 when the
    service has died and nobody knows. Streams carry bytes; *stdin* is not buffered.
    """

    reader_type: type[ReplyReader] = ReplyReader

    def __init__(
        self, connection: socket.socket, request: bytes, *, args: Sequence[str], timeout: float
    ) -> None:
        self.args = args
        self.pid = 0
        self.returncode: int | None = None
        self._status: int | None = None
        self._connection = connection
        self._replies = self.reader_type()
        self._pidfd = -1
        self._talk: _Talk | None = None
        self._opened: list[int] = []
        try:
            started = self._start(request, time.monotonic() + timeout)
            self.pid = started.pid
            self._open_pidfd()
            self._open_streams(started.directory, time.monotonic() + timeout)
        except BaseException:
            for descriptor in self._opened:
                close_descriptor(descriptor)
            self._close()
            raise
        stdin, stdout, stderr = self._opened
        self.stdin = io.FileIO(stdin, "w")
        self.stdout = io.BufferedReader(FifoReader(stdout, self))
        self.stderr = io.BufferedReader(FifoReader(stderr, self))

    def __enter__(self) -> ForkedProcess:
        """As of Popen: leaving closes the streams and waits."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        """Close the streams and wait for the end."""
        for stream in (self.stdout, self.stderr, self.stdin):
            try:
                stream.close()
            except BrokenPipeError:
                pass
        self.wait()

    def __repr__(self) -> str:
        """For a person."""
        return f"<ForkedProcess: pid {self.pid} returncode {self.returncode} args {self.args!r}>"

    # Start

    def _start(self, request: bytes, deadline: float) -> Started:
        self._connection.settimeout(max(deadline - time.monotonic(), _STEP_S))
        try:
            self._connection.sendall(request)
        except TimeoutError:
            raise ForkingServiceError("the service does not read") from None
        except OSError:
            pass  # it may have said why
        while True:
            try:
                self._connection.settimeout(max(deadline - time.monotonic(), _STEP_S))
                data = self._connection.recv(_PIECE)
            except OSError as error:
                raise ForkingServiceError(f"no reply from the service: {error}") from None
            started = None
            for reply in self._replies.receive(data):
                match reply:
                    case Started():
                        started = reply
                    case Failed(message=message):
                        raise ForkingServiceError(message)
                    case Exited(status=status):
                        self._status = status
            if started is not None:
                self._connection.setblocking(False)
                return started

    def _open_pidfd(self) -> None:
        # While it waits for its FIFOs to be opened the pid is its own; later it may be another's.
        try:
            self._pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            pass  # it has died already, which the service will tell
        except OSError as error:
            raise ForkingServiceError(f"cannot watch the child {self.pid}: {error}") from None

    def _open_streams(self, directory: str, deadline: float) -> None:
        stdin, stdout, stderr = (os.path.join(directory, n) for n in ("stdin", "stdout", "stderr"))
        # None of these waits in open(2), where nothing would tell of the child's death.
        try:
            flags = os.O_NONBLOCK | os.O_CLOEXEC
            self._opened.append(self._open_stdin(stdin, flags, deadline))
            self._opened.append(os.open(stdout, os.O_RDONLY | flags))
            self._opened.append(os.open(stderr, os.O_RDONLY | flags))
            os.set_blocking(self._opened[0], True)
        except OSError as error:
            self.poll()
            ended = "" if self.returncode is None else f"; it ended with {self.returncode}"
            raise ForkingServiceError(f"cannot talk to child {self.pid}: {error}{ended}") from None

    def _open_stdin(self, path: str, flags: int, deadline: float) -> int:
        while True:
            try:
                return os.open(path, os.O_WRONLY | flags)
            except OSError as error:
                # The child is not there yet, unless it has ended meanwhile.
                if self.poll() is not None or time.monotonic() >= deadline:
                    raise error
                self._wait_for_reply(_STEP_S)

    # End

    def poll(self) -> int | None:
        """The returncode, or None while it runs. Does not wait."""
        while self._status is None:
            try:
                data = self._connection.recv(_PIECE)
            except BlockingIOError:
                return None
            except OSError:
                data = b""
            for reply in self._replies.receive(data):
                if isinstance(reply, Exited):
                    self._status = reply.status
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(self._status)
            self._close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; the returncode. subprocess.TimeoutExpired after *timeout* seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                assert timeout is not None
                raise subprocess.TimeoutExpired(list(self.args), timeout)
            self._wait_for_reply(left)
        return code

    def communicate(
        self, input: bytes | None = None, timeout: float | None = None
    ) -> tuple[bytes, bytes]:
        """Write *input*, read all that it writes, wait: what it wrote to stdout and to stderr.

        subprocess.TimeoutExpired after *timeout* seconds; what was read until then is in it.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        # Kept, so that it can be called again after a TimeoutExpired.
        talk = self._talk = self._talk or _Talk(self.stdin, self.stdout, self.stderr, input or b"")
        while talk.is_going_on:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                assert timeout is not None
                raise subprocess.TimeoutExpired(list(self.args), timeout, *talk.output())
            talk.go_on(self.wait_for(talk.waits_for(), left))
        self.wait(None if deadline is None else max(deadline - time.monotonic(), 0.0))
        return talk.output()

    def send_signal(self, number: int) -> None:
        """Send it, unless the child is known to have ended."""
        if self.poll() is None and self._pidfd >= 0:
            try:
                signal.pidfd_send_signal(self._pidfd, number)
            except ProcessLookupError:
                pass

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    # Waiting

    def _wait_for_reply(self, timeout: float | None) -> None:
        self.wait_for({}, timeout)

    def wait_for(self, wanted: Mapping[int, int], timeout: float | None) -> set[int]:
        """The descriptors of *wanted* (descriptor: poll's events) at which something happened.

        Returns also when the service has said something, or after *timeout* seconds.
        """
        poll = select.poll()
        for descriptor, events in wanted.items():
            poll.register(descriptor, events)
        if self._status is None:
            poll.register(self._connection, select.POLLIN)
        happened = poll.poll(None if timeout is None else int(timeout * 1000) + 1)
        return {descriptor for descriptor, _ in happened}

    def _close(self) -> None:
        self._connection.close()
        descriptor, self._pidfd = self._pidfd, -1
        if descriptor >= 0:
            close_descriptor(descriptor)


class FifoReader(io.RawIOBase):
    """One end of a FIFO that the child may not have opened yet: then it is not at its end, but
    read(2) says so. poll(2) knows the difference; and when the child has ended, so do we."""

    def __init__(self, descriptor: int, process: ForkedProcess) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._process = process
        self._is_opened = False
        #: Whether a read waits. When not, one that would have to gives None.
        self.is_waiting = True

    def fileno(self) -> int:
        """Its descriptor."""
        if self._descriptor < 0:
            raise ValueError("I/O operation on closed file")
        return self._descriptor

    def readable(self) -> bool:
        """It is."""
        return True

    def close(self) -> None:
        """Close it, once."""
        if not self.closed:
            self._wait_until_opened()
            super().close()
            descriptor, self._descriptor = self._descriptor, -1
            close_descriptor(descriptor)

    def _wait_until_opened(self) -> None:
        """A reader that has gone before the child comes to the FIFO lets it wait for another."""
        deadline = time.monotonic() + _OPENED_S
        while not self._is_opened and time.monotonic() < deadline:
            if self._process.poll() is not None or self._has_something():
                return
            try:
                os.read(self._descriptor, 1)  # b"": nobody writes yet
            except BlockingIOError:
                return
            self._process.wait_for({self._descriptor: select.POLLIN}, _STEP_S)

    def _has_something(self) -> bool:
        """Whether there are bytes, or there was a writer and it has gone."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        has_something = bool(poll.poll(0))
        self._is_opened = self._is_opened or has_something
        return has_something

    def readinto(self, buffer: Any) -> int | None:
        """As of io.RawIOBase; 0 is the end."""
        while (data := self.read_now(len(buffer))) is None:
            if not self.is_waiting:
                return None
            self._process.wait_for({self.fileno(): select.POLLIN}, None)
        buffer[: len(data)] = data
        return len(data)

    def read_now(self, size: int = _PIECE) -> bytes | None:
        """What there is, at most *size* bytes; b"" at the end; None when it would have to wait."""
        has_ended = self._process.poll() is not None
        if not self._has_something() and not has_ended:
            return None
        try:
            return os.read(self.fileno(), size)
        except BlockingIOError:
            return None


_Buffered: TypeAlias = "io.BufferedReader[FifoReader]"


class _Talk:
    """The state of one communicate()."""

    def __init__(
        self, stdin: io.FileIO, stdout: _Buffered, stderr: _Buffered, input: bytes
    ) -> None:
        self._stdin = stdin
        self._unsent = memoryview(b"" if stdin.closed else input)
        self._streams = (stdout, stderr)
        self._written = (bytearray(), bytearray())
        for stream, written in zip(self._streams, self._written, strict=True):
            if not stream.closed:
                raw = _raw(stream)
                raw.is_waiting = False
                # What was read ahead for an earlier read.
                written += stream.read(len(stream.peek(1)))
                raw.is_waiting = True
        if self._unsent:
            os.set_blocking(stdin.fileno(), False)
        else:
            self._close_stdin()

    @property
    def is_going_on(self) -> bool:
        """Whether there is anything to write or read."""
        return bool(self._unsent) or not all(one.closed for one in self._streams)

    def output(self) -> tuple[bytes, bytes]:
        """What was read from stdout and stderr."""
        stdout, stderr = self._written
        return bytes(stdout), bytes(stderr)

    def waits_for(self) -> dict[int, int]:
        """What to wait for: descriptor and poll's events."""
        wanted = {one.fileno(): select.POLLIN for one in self._streams if not one.closed}
        return wanted | ({self._stdin.fileno(): select.POLLOUT} if self._unsent else {})

    def go_on(self, happened: set[int]) -> None:
        """Write and read as far as can be done without waiting."""
        if self._unsent and self._stdin.fileno() in happened:
            self._write()
        for stream, written in zip(self._streams, self._written, strict=True):
            if not stream.closed and (data := _raw(stream).read_now()) is not None:
                written += data
                if not data:
                    stream.close()

    def _write(self) -> None:
        try:
            self._unsent = self._unsent[os.write(self._stdin.fileno(), self._unsent) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._unsent = self._unsent[:0]
        if not self._unsent:
            self._close_stdin()

    def _close_stdin(self) -> None:
        try:
            self._stdin.close()
        except OSError:
            pass


def _raw(stream: _Buffered) -> FifoReader:
    return stream.raw
