"""What is said to who called us: lines of our own on standard error, results on standard output."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence

from .errors import HarnessError, printable

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
