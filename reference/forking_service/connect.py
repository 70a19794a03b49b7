"""`connect`: be a child of the service, for whoever can only run programs (inetd, sshd, a shell).

Forwards its own standard streams, signals and exit status. Never reads more than the other side
takes, so that a slow reader is felt by the writer and nothing piles up here.
"""

from __future__ import annotations

import argparse
import io
import os
import select
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from reference.forking_service import plain
from reference.forking_service.client import (
    FifoReader,
    ForkedProcess,
    ForkingServiceClient,
    ForkingServiceError,
    ServiceNotThere,
)
from reference.forking_service.log import write_all

PROGRAM = "python -m reference.forking_service.connect"
#: The variable that holds the socket's path when no option does.
PATH = "FORKING_SERVICE_PATH"
#: Exit status when the service cannot be asked; timeout(1) and env(1) have the same.
FAILED = 125
#: Added to the number of the signal that ended the child, as a shell does.
SIGNALLED = 128
#: Passed on to the child.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)

#: No more than that is written at once: so much a pipe takes, when poll(2) says that it takes any.
_PIECE = select.PIPE_BUF

EPILOG = f"""\
exit status
  the command's own; {SIGNALLED} + N when signal N has ended it; 255 when the service has died;
  {FAILED} when it could not be asked, 2 for a command line that cannot be.

example, in sshd's configuration
  ForceCommand python -m reference.forking_service.connect --path /run/my.socket lp-serve --inet 7
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, for a log as well as for a person."""
        write_all(2, f"{self.prog}: {message} (--help says more)\n")
        raise SystemExit(2)


def parser() -> argparse.ArgumentParser:
    """The command line, as argparse sees it."""
    made = _Parser(
        prog=PROGRAM,
        description="Run COMMAND in a child of the forking service, as if it were this process.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = made.add_argument
    add("--path", default=os.environ.get(PATH), metavar="P", help=f"the socket (default: ${PATH})")
    add(
        "--env",
        action="append",
        default=[],
        metavar="K[=V]",
        help="a variable for the command, with its value here if none is given; repeatable",
    )
    add("--timeout", default=30.0, metavar="S", type=float, help="for the service to reply (30 s)")
    add("--or-plain", action="store_true", help="without a service, run COMMAND in this process")
    add("command", metavar="COMMAND", help="and its words, passed on as they are")
    add("words", metavar="WORD", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return made


def variables(wanted: Sequence[str]) -> dict[str, str]:
    """The variables of *wanted*, `K=V` or `K`; one that is not set is left out."""
    found = {}
    for one in wanted:
        key, equals, value = one.partition("=")
        if equals:
            found[key] = value
        elif key in os.environ:
            found[key] = os.environ[key]
    return found


class Flow:
    """Bytes from one descriptor to another, one piece at a time."""

    def __init__(self, writing: int) -> None:
        self.writing = writing
        self.is_read = False
        self.piece = b""
        self.is_refused = False

    def is_over(self) -> bool:
        """Whether nothing will move any more."""
        return self.is_refused or (self.is_read and not self.piece)

    def took(self, data: bytes) -> None:
        """*data* was read; b"" is the end."""
        self.piece = data
        self.is_read = not data

    def write(self) -> None:
        """Write what was read, as far as it goes."""
        try:
            self.piece = self.piece[os.write(self.writing, self.piece[:_PIECE]) :]
        except BlockingIOError:
            pass
        except OSError:
            self.piece = b""
            self.is_refused = True


class Relay:
    """Between the three descriptors 0, 1, 2 of this process and the streams of *child*."""

    def __init__(self, child: ForkedProcess) -> None:
        self._child = child
        self._in = Flow(child.stdin.fileno())
        os.set_blocking(child.stdin.fileno(), False)
        self._out = [(child.stdout, Flow(1)), (child.stderr, Flow(2))]

    def run(self) -> int:
        """Until the child has ended and all that it wrote is written. Its returncode."""
        while not all(flow.is_over() for _, flow in self._out):
            happened = self._child.wait_for(self._wanted(), None)
            self._child.poll()
            self._move_in(happened)
            for stream, flow in self._out:
                self._move_out(stream, flow, happened)
        self._close_stdin()
        return self._child.wait()

    def _wanted(self) -> dict[int, int]:
        wanted = {}
        if not self._in.is_over():
            if self._in.piece:
                wanted[self._in.writing] = select.POLLOUT
            else:
                wanted[0] = select.POLLIN
        for stream, flow in self._out:
            if flow.piece:
                wanted[flow.writing] = select.POLLOUT
            elif not flow.is_over():
                wanted[stream.fileno()] = select.POLLIN
        return wanted

    def _move_in(self, happened: set[int]) -> None:
        if self._in.is_over():
            return
        if self._in.piece:
            if self._in.writing in happened:
                self._in.write()
        elif 0 in happened:
            try:
                self._in.took(os.read(0, _PIECE))
            except BlockingIOError:
                return
            except OSError:
                self._in.took(b"")
        if self._in.is_over():
            self._close_stdin()

    def _close_stdin(self) -> None:
        try:
            self._child.stdin.close()
        except OSError:
            pass

    def _move_out(
        self, stream: io.BufferedReader[FifoReader], flow: Flow, happened: set[int]
    ) -> None:
        if flow.is_over():
            return
        if flow.piece:
            if flow.writing in happened:
                flow.write()
        elif (data := stream.raw.read_now(_PIECE)) is not None:
            flow.took(data)
        if flow.is_over():
            # Nobody reads it any more: the child is to feel that, as in a pipeline.
            stream.close()


def relay(child: ForkedProcess) -> int:
    """Be *child*, to whoever started this process; the exit status."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, _: child.send_signal(number))
    code = Relay(child).run()
    return code if code >= 0 else SIGNALLED - code


def main(argv: Sequence[str] | None = None) -> int:
    """Run what *argv* (default: the process's) asks for; the exit status."""
    made = parser()
    given = made.parse_args(argv)
    words, env = [given.command, *given.words], variables(given.env)
    if not given.path and not given.or_plain:
        made.error(f"no socket: give --path, or set {PATH}")
    try:
        client = ForkingServiceClient(given.path or "", timeout=given.timeout)
        return relay(client.fork(words, env))
    except ValueError as error:
        made.error(str(error))
    except ForkingServiceError as error:
        if given.or_plain and isinstance(error, ServiceNotThere):
            return plain.run(words, env)
        write_all(2, f"{PROGRAM}: {error}\n")
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
