"""Commands that behave badly, for `--commands`: children of the service run them."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from typing import TextIO

#: More than a pipe holds.
FLOOD = "x" * 99 + "\n"
FLOOD_LINES = 3000


def floods(argv: Sequence[str], stdin: TextIO, stdout: TextIO, stderr: TextIO) -> int:
    """Write much more than anyone reads at once, to both streams."""
    for stream in (stderr, stdout):
        stream.write(FLOOD * FLOOD_LINES)
    return 0


def closes(argv: Sequence[str], stdin: TextIO, stdout: TextIO, stderr: TextIO) -> int:
    """Close all streams at once, and go on for a minute."""
    stdout.write("all\n")
    for stream in (stdin, stdout, stderr):
        stream.close()
    time.sleep(60)
    return 5


def deaf(argv: Sequence[str], stdin: TextIO, stdout: TextIO, stderr: TextIO) -> int:
    """Mind no signal that can be not minded, for a week."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    stdout.write("ready\n")
    stdout.flush()
    time.sleep(7 * 86400)
    return 0


COMMANDS = {one.__name__: one for one in (floods, closes, deaf)}
