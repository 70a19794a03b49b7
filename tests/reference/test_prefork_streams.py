"""A caller's standard streams, of every kind, under each launcher: what is there is read to its
end, and all that is written is there when the call is over."""

from __future__ import annotations

import itertools
import os
import socket
import tempfile
import termios
import tty

import pytest

from conftest import Effort
from tests.reference.prefork import Place, run

DATA = b"one\ntwo\n"
KINDS = ("file", "pipe", "socket", "terminal", "null")
_END_OF_TERMINAL = b"\x04"


class Stream:
    """A stream of one kind: *ours* is for the call, *given* all that a script reads there."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.given = b"" if kind == "null" else DATA
        if kind == "pipe":
            self._theirs, self.ours = os.pipe()
        elif kind == "socket":
            theirs, ours = socket.socketpair()
            self._theirs, self.ours = theirs.detach(), ours.detach()
        elif kind == "terminal":
            self._theirs, self.ours = os.openpty()
            # As a file has it: no echo, and a line's end is one byte.
            tty.setraw(self.ours)
            how = termios.tcgetattr(self.ours)
            how[3] |= termios.ICANON
            termios.tcsetattr(self.ours, termios.TCSANOW, how)
        elif kind == "file":
            self.ours, path = tempfile.mkstemp(prefix="pi-")
            self._theirs = os.open(path, os.O_RDWR)
            os.unlink(path)
        else:
            self.ours = os.open(os.devnull, os.O_RDWR)
            self._theirs = os.dup(self.ours)

    def fill(self) -> None:
        """Have *given* there, and the end after it."""
        if self.kind == "pipe":
            self._theirs, self.ours = self.ours, self._theirs
        os.write(self._theirs, DATA)
        if self.kind == "terminal":
            os.write(self._theirs, _END_OF_TERMINAL)
        elif self.kind in ("pipe", "socket"):
            os.close(self._theirs)
            self._theirs = os.open(os.devnull, os.O_RDONLY)

    def read(self) -> bytes:
        """All that is there now."""
        os.set_blocking(self._theirs, False)
        try:
            return os.read(self._theirs, 4096)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        os.close(self.ours)
        os.close(self._theirs)


def combinations(effort: Effort) -> list[tuple[str, ...]]:
    """All; or so many that each kind is once each stream."""
    if effort == "full":
        return list(itertools.product(KINDS, repeat=3))
    return [tuple(KINDS[(first + at) % len(KINDS)] for at in range(3)) for first in range(5)]


def test_each_stream_is_the_callers_own(shared_place: Place, effort: Effort) -> None:
    tells = shared_place.script("tells.py")
    for kinds in combinations(effort):
        given, out, err = streams = [Stream(kind) for kind in kinds]
        given.fill()
        try:
            with shared_place.start(
                tells, "copy", stdin=given.ours, stdout=out.ours, stderr=err.ours
            ) as process:
                pass
            assert process.returncode == 0, kinds
            assert out.read() == (b"" if out.kind == "null" else given.given), kinds
            assert err.read() == (b"" if err.kind == "null" else given.given.upper()), kinds
        finally:
            for stream in streams:
                stream.close()


def test_one_stream_may_be_all_three(shared_place: Place) -> None:
    tells = shared_place.script("tells.py")
    terminal = Stream("terminal")
    terminal.fill()
    with shared_place.start(
        tells, "copy", stdin=terminal.ours, stdout=terminal.ours, stderr=terminal.ours
    ) as process:
        pass
    assert process.returncode == 0
    assert sorted(terminal.read().splitlines()) == [b"ONE", b"TWO", b"one", b"two"]
    terminal.close()


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_closed_stream_is_no_reason_to_hang_or_to_lie(shared_place: Place, number: int) -> None:
    tells = shared_place.script("tells.py")
    assert shared_place.call(tells).returncode == 0
    words = ["sh", "-c", f'exec "$@" {number}<&-', "sh", *shared_place.words(tells, "exit", "5")]
    assert run(words).returncode == 5
