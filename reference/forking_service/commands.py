"""The commands that a child can run: callables by name, the shipped ones and those of others.

A command is called with its words (its own name first) and three text streams, and returns its exit
status, 0 to 255. Text streams have the bytes underneath as `.buffer`.
"""

from __future__ import annotations

import importlib
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO, TypeAlias

Command: TypeAlias = Callable[[Sequence[str], TextIO, TextIO, TextIO], int]

#: Where installed packages offer commands: a name, and the callable that it stands for.
ENTRY_POINTS = "reference.forking_service.commands"
#: The variable that holds who asked.
WHO = "BZR_EMAIL"

USAGE = 2
NOT_FOUND = 127


def rocks(argv: Sequence[str], stdin: TextIO, stdout: TextIO, stderr: TextIO) -> int:
    """`rocks`: say so."""
    stdout.write("It sure does!\n")
    return 0


def whoami(argv: Sequence[str], stdin: TextIO, stdout: TextIO, stderr: TextIO) -> int:
    """`whoami`: print $BZR_EMAIL; 1 when there is none."""
    who = os.environ.get(WHO)
    if who is None:
        stderr.write(f"whoami: {WHO} is not set\n")
        return 1
    stdout.write(f"{who}\n")
    return 0


def replay(argv: Sequence[str], stdin: TextIO, stdout: TextIO, stderr: TextIO) -> int:
    """`replay`: for each line `CHANNEL text` of stdin, write `text` to stdout (1) or stderr (2)."""
    channels = {b"1": stdout.buffer, b"2": stderr.buffer}
    for line in stdin.buffer:
        channel, blank, text = line.partition(b" ")
        if not blank or channel not in channels:
            stderr.write(f"replay: neither `1 text` nor `2 text`: {line!r}\n")
            return 1
        channels[channel].write(text)
        channels[channel].flush()
    return 0


def lp_serve(argv: Sequence[str], stdin: TextIO, stdout: TextIO, stderr: TextIO) -> int:
    """`lp-serve --inet ID`: answer each `hello` as the smallest smart server does."""
    if len(argv) != 3 or argv[1] != "--inet":
        stderr.write("lp-serve: usage: lp-serve --inet ID\n")
        return USAGE
    for line in stdin.buffer:
        if line.rstrip(b"\r\n") != b"hello":
            stderr.write(f"lp-serve: unknown request: {line!r}\n")
            return 1
        stdout.buffer.write(b"ok\x012\n")
        stdout.buffer.flush()
    return 0


def sleep(argv: Sequence[str], stdin: TextIO, stdout: TextIO, stderr: TextIO) -> int:
    """`sleep SECONDS`: return after that."""
    try:
        (seconds,) = map(float, argv[1:])
        time.sleep(seconds)
    except (ValueError, OverflowError):
        stderr.write("sleep: usage: sleep SECONDS\n")
        return USAGE
    return 0


def crash(argv: Sequence[str], stdin: TextIO, stdout: TextIO, stderr: TextIO) -> int:
    """`crash SIGNAL`: end by it (a number, or a name as `TERM` or `SIGTERM`)."""
    number = signal_number(argv[1]) if len(argv) == 2 else None
    if number is None:
        stderr.write("crash: usage: crash SIGNAL\n")
        return USAGE
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    stderr.write(f"crash: still here after signal {number}\n")
    return 1


def signal_number(word: str) -> int | None:
    """The signal that *word* names, by number or name."""
    if word.isdecimal():
        return int(word) if int(word) in signal.valid_signals() else None
    named = signal.Signals.__members__.get("SIG" + word.upper().removeprefix("SIG"))
    return None if named is None else int(named)


def leave(argv: Sequence[str], stdin: TextIO, stdout: TextIO, stderr: TextIO) -> int:
    """`exit N`: end with exit status N."""
    if len(argv) != 2 or not argv[1].isdecimal() or int(argv[1]) > 255:
        stderr.write("exit: usage: exit N, with N from 0 to 255\n")
        return USAGE
    return int(argv[1])


SHIPPED: Mapping[str, Command] = {
    "crash": crash,
    "exit": leave,
    "lp-serve": lp_serve,
    "replay": replay,
    "rocks": rocks,
    "sleep": sleep,
    "whoami": whoami,
}


def load(module: str) -> Mapping[str, Command]:
    """The commands of *module*: its COMMANDS, a mapping of names. ImportError when it has none."""
    found = getattr(importlib.import_module(module), "COMMANDS", None)
    if not isinstance(found, Mapping):
        raise ImportError(f"{module} has no mapping COMMANDS of names to commands")
    return found


def installed(log: Callable[[str], None]) -> Mapping[str, Command]:
    """The commands that installed packages offer; one that cannot be loaded is logged."""
    # Here, not above: it takes longer to import than all the rest, and only this needs it.
    import importlib.metadata

    found = {}
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        try:
            found[entry.name] = entry.load()
        except Exception as error:
            log(f"cannot load the command {entry.name!r} ({entry.value}): {error}")
    return found


def run(
    commands: Mapping[str, Command],
    argv: Sequence[str],
    stdin: TextIO,
    stdout: TextIO,
    stderr: TextIO,
) -> int:
    """Run *argv* and return its exit status; whatever it raises comes through."""
    command = commands.get(argv[0])
    if command is None:
        stderr.write(f"unknown command: {argv[0]!r}\n")
        return NOT_FOUND
    return exit_status(command(argv, stdin, stdout, stderr), stderr)


def exit_status(code: object, stderr: TextIO) -> int:
    """The exit status that *code*, from a command or a SystemExit, means; never 0 by overflow."""
    match code:
        case None:
            return 0
        case int() if 0 <= code <= 255:
            return int(code)
        case int():
            stderr.write(f"exit status {code} is not one: 255\n")
            return 255
        case _:
            stderr.write(f"{code}\n")
            return 1
