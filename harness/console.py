"""What is said to who called us: lines of our own on standard error, results on standard output."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from .errors import HarnessError, printable

T = TypeVar("T")
_EVERY_S, _EVERY_ON_TERMINAL_S = 5.0, 0.1
_STARTTIME = 19  # of the fields that follow the command's name
_TO_LINE_START, _CLEAR = "\r", "\x1b[K"
OUTPUTS = {1: "standard output", 2: "standard error"}


def say(text: str) -> None:
    """One line of our own on standard error."""
    tell(f"harness: {text}")


def tell(text: str) -> None:
    """Text on standard error; nobody is left to be told that it cannot be said."""
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        give_up(2)


@contextlib.contextmanager
def on_standard_output() -> Iterator[None]:
    """What is printed in the block is written, or it is said why not."""
    try:
        yield
    except BrokenPipeError:
        raise  # its reader knows
    except OSError as error:
        raise HarnessError(f"{OUTPUTS[1]}: {error.strerror}") from None


def print_lines(lines: Sequence[str]) -> None:
    """Lines on standard output, at once, with nothing in them that a terminal would act on."""
    with on_standard_output():
        print(*map(printable, lines), sep="\n", flush=True)


def give_up(fd: int) -> None:
    """What is still to be written there goes nowhere; else the interpreter tries again at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, fd)
    os.close(null)


def left_of(budget_s: float | None) -> float | None:
    """What is left of a budget that began when this process did, in seconds. Source:
    proc_pid_stat(5), the field `starttime`."""
    if budget_s is None:
        return None
    with open("/proc/self/stat", "rb") as file:
        ticks = int(file.read().rpartition(b") ")[2].split()[_STARTTIME])
    began = ticks / os.sysconf("SC_CLK_TCK")
    return max(0.0, budget_s - (time.clock_gettime(time.CLOCK_BOOTTIME) - began))


class Teller(Generic[T]):
    """Says how far something is, in the words of *words*: on a terminal on one line that changes,
    else now and then."""

    def __init__(
        self,
        words: Callable[[T], str],
        *,
        on_terminal: bool,
        quiet: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._words = words
        self._on_terminal = on_terminal and not quiet
        self._quiet = quiet
        self._every_s = _EVERY_ON_TERMINAL_S if on_terminal else _EVERY_S
        self._clock = clock
        self._last_s = clock()

    def __call__(self, now: T) -> None:
        time_s = self._clock()
        if self._quiet or time_s - self._last_s < self._every_s:
            return
        self._last_s = time_s
        if self._on_terminal:
            self._write(_TO_LINE_START + self._words(now) + _CLEAR)
        else:
            tell(self._words(now))

    def clear(self) -> None:
        """Nothing of the line stays."""
        if self._on_terminal:
            self._write(_TO_LINE_START + _CLEAR)

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except OSError:
            pass  # nobody looks any more
