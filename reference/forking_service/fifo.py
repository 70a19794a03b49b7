"""A FIFO seen from the client that reads it."""

from __future__ import annotations

import os
import select

_PIECE = 64 * 1024


def read_if_alone(descriptor: int) -> bytes | None:
    """b"" when nobody has ever opened the other end; None when somebody has it open, or had, so
    that poll(2) tells of it; otherwise what has come in this moment.

    read(2) alone does not tell a FIFO without a writer from one whose writer has gone.
    """
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    if poll.poll(0):
        return None
    try:
        return os.read(descriptor, _PIECE)
    except BlockingIOError:
        return None
