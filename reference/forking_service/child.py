"""A child's life, from the fork to os._exit: it never returns into the service.

It says over its channel (a socket to the service) how far it has come: READY, when its client may
open the FIFOs, and CONNECTED, when that has happened; then the channel is closed. The service, not
the child, tells the client: so what the client has been told is what the service knows, wherever
the child dies.
"""

from __future__ import annotations

import fcntl
import io
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn, TextIO

from reference.forking_service import commands, directory
from reference.forking_service.listener import close_socket
from reference.forking_service.log import STANDARD_ERROR, Log, close_descriptor
from reference.forking_service.protocol import Fork

READY = b"r"
CONNECTED = b"c"

#: The exit status of a child that could not do what it was made for.
FAILED = 1
#: As a shell gives it: 128 + SIGINT.
INTERRUPTED = 130

#: Sent by the service to a child whose client has not come in time.
NOBODY_CAME = signal.SIGALRM


class NobodyCame(Exception):
    """The client did not open the FIFOs in time."""


@dataclass(kw_only=True)
class ChildLife:
    """What a child needs for its life. Each step is a method of its own.

    *path* is its directory, *channel* its end of the socket to the service, *let_go* closes all
    that it has inherited and that is not its own.
    """

    request: Fork
    path: str
    channel: socket.socket
    let_go: Callable[[], None]
    commands: Mapping[str, commands.Command]
    log: Log
    streams_of_the_service: tuple[TextIO, TextIO, TextIO] | None = None

    def live(self) -> NoReturn:
        """All of it. Never returns and never raises, whatever happens."""
        status = FAILED
        try:
            status = self.status_of_life()
        except BaseException as error:
            status = status_of(error)
            self.trapped(error)
        finally:
            self.leave(status)

    def leave(self, status: int) -> NoReturn:
        """The only way out: no exit handler and no `finally` of the service is run."""
        os._exit(status)

    def trapped(self, error: BaseException) -> None:
        """Something went wrong outside of the command."""
        self.log.line(f"child {os.getpid()}: {type(error).__name__}: {error}")

    def status_of_life(self) -> int:
        """Each step in order; the exit status."""
        self.let_go()
        self.restore_signals()
        self.set_variables()
        self.end_with_the_service()
        self.say(READY)
        try:
            descriptors = self.open_streams()
        except NobodyCame:
            self.log.line(f"child {os.getpid()}: nobody opened {self.path} in time")
            return FAILED
        self.bind_streams(descriptors)
        self.remove_directory()
        self.say(CONNECTED)
        close_socket(self.channel)
        signal.signal(NOBODY_CAME, signal.SIG_DFL)
        return self.run_command()

    def restore_signals(self) -> None:
        """No handler of the service's, or of its application's, is left; none is blocked."""
        for number in signal.valid_signals():
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGIO, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(NOBODY_CAME, self.nobody_came)
        signal.set_wakeup_fd(-1)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def nobody_came(self, number: int, frame: object) -> None:
        """The handler of NOBODY_CAME."""
        raise NobodyCame

    def set_variables(self) -> None:
        """Add the request's variables to the environment."""
        os.environb.update(self.request.environment)

    def end_with_the_service(self) -> None:
        """Until the client has come, be killed by the kernel (SIGIO) when the service is.

        Nothing that a child blocked in open(2) does by itself could notice that.
        """
        fcntl.fcntl(self.channel, fcntl.F_SETOWN, os.getpid())
        flags = fcntl.fcntl(self.channel, fcntl.F_GETFL)
        fcntl.fcntl(self.channel, fcntl.F_SETFL, flags | os.O_ASYNC)
        # It may have died before that was set.
        poll = select.poll()
        poll.register(self.channel, select.POLLIN)
        if poll.poll(0):
            directory.remove(self.path)
            raise ConnectionError("the service is gone")

    def say(self, what: bytes) -> None:
        """Tell the service how far this child has come."""
        self.channel.sendall(what, socket.MSG_NOSIGNAL)

    def open_streams(self) -> list[int]:
        """Open the FIFOs in their order; each blocks until the client has opened its end."""
        modes = (os.O_RDONLY, os.O_WRONLY, os.O_WRONLY)
        return [
            os.open(os.path.join(self.path, name), mode | os.O_CLOEXEC)
            for name, mode in zip(directory.STREAMS, modes, strict=True)
        ]

    def bind_streams(self, descriptors: list[int]) -> None:
        """Make 0, 1 and 2, and sys.stdin, sys.stdout and sys.stderr, of them."""
        for number, descriptor in enumerate(descriptors):
            if number == STANDARD_ERROR:
                self.log.leave_standard_error()
            os.dup2(descriptor, number)
        for descriptor in descriptors:
            close_descriptor(descriptor)
        # Kept: one that goes would write what it still holds, which is not this client's.
        self.streams_of_the_service = (sys.stdin, sys.stdout, sys.stderr)
        sys.stdin = text_stream(0, "r", errors="surrogateescape")
        sys.stdout = text_stream(1, "w", errors="surrogateescape")
        sys.stderr = text_stream(2, "w", errors="backslashreplace")

    def remove_directory(self) -> None:
        """Nobody else opens the FIFOs. The service tries again when this child has ended."""
        if (error := directory.remove(self.path, lets_go=False)) is not None:
            self.log.line(f"child {os.getpid()}: cannot remove {self.path}: {error}")

    def run_command(self) -> int:
        """Run the command, flush its streams, and return its exit status."""
        streams = (sys.stdin, sys.stdout, sys.stderr)
        status = self.status_of_command(*streams)
        return self.flush(status, streams[1:])

    def status_of_command(self, stdin: TextIO, stdout: TextIO, stderr: TextIO) -> int:
        """The exit status of the command, whatever becomes of it. Never raises."""
        try:
            try:
                return commands.run(self.commands, self.request.argv, stdin, stdout, stderr)
            except SystemExit as end:
                return commands.exit_status(end.code, stderr)
        except BaseException as error:
            self.print_traceback(error, stderr)
            return status_of(error)

    def print_traceback(self, error: BaseException, stderr: TextIO) -> None:
        """Write it as Python does; the exit status tells of it in any case."""
        try:
            traceback.print_exception(error, file=stderr)
        except BaseException as lost:
            self.log.line(f"child {os.getpid()}: its traceback is lost: {lost}")

    def flush(self, status: int, streams: tuple[TextIO, ...]) -> int:
        """Write what the streams still hold; the exit status then, which is not 0 if that fails."""
        for stream in streams:
            try:
                # One that the command has closed has been flushed, or has told the command.
                if not stream.closed:
                    stream.flush()
            except BaseException as error:
                self.log.line(f"child {os.getpid()}: output is lost: {error}")
                status = status or FAILED
        return status


def status_of(error: BaseException) -> int:
    """The exit status of a child that *error* ends."""
    return INTERRUPTED if isinstance(error, KeyboardInterrupt) else FAILED


def text_stream(descriptor: int, mode: str, *, errors: str) -> TextIO:
    """Text over bytes over *descriptor*, as Python makes its own: 2 is flushed at each line."""
    raw = io.FileIO(descriptor, mode, closefd=False)
    buffer = io.BufferedReader(raw) if mode == "r" else io.BufferedWriter(raw)
    return io.TextIOWrapper(
        buffer, encoding="utf-8", errors=errors, newline=None, line_buffering=descriptor == 2
    )
