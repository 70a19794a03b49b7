"""What may go wrong at a system call without anybody's fault: a table of errnos and their causes.

Data: failures.tsv beside this file, from section 2 of the manual pages. It has what a correct
program must be ready for at any time, and nothing else. So never what says that the program is
wrong (EBADF, EFAULT, EINVAL), nor that it is used in a place that it is not for (ENOENT, EROFS).

The columns of the table; a call has a row for each errno and cause:

    errno    its name; `-` where the calls have none, so that no call is forgotten
    cause    what has gone wrong in the world
                 space        a disk, a quota or a table in the kernel is full
                 device       a device fails
                 descriptors  no descriptor, or no open file, is left
                 processes    no process, or no request, is left
                 memory       the kernel has no memory, or no buffer
                 peer         the other end of a connection is gone, or never was there
                 interrupted  a signal was handled; who handles none is spared it, see handlers.py
                 permission   it is not allowed
    when     for which uses of the call; `-` is each
                 creates      a file is made, where there is none
                 dup          F_DUPFD
                 file         it is a file, or may be
                 lock         F_SETLKW
                 threads      the process has more than one thread
                 socket       it is one, or may be: what it is is not known, and there are sockets
                 waits        it may wait for another task: it is no file on a disk, and is not
                              asked with MSG_DONTWAIT
    reason   in words
    calls    with a space between

A cause is left out where it cannot be. EAGAIN says "not now" to who asked not to wait, and to
nobody else. EINTR is not for open(2) and close(2), which wait for odd files only, nor for
connect(2), which goes on in the kernel. poll(2) needs memory only for more descriptors than a
program under test has. dup2(2) closes and opens at once: it can fail only beside another thread.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal, get_args

Cause = Literal[
    "space", "device", "descriptors", "processes", "memory", "peer", "interrupted", "permission"
]
When = Literal["-", "creates", "dup", "file", "lock", "threads", "socket", "waits"]

CAUSES: tuple[Cause, ...] = get_args(Cause)
#: What is so, and stays so until somebody does something about it. The others are of an instant: a
#: connection is reset once, and a program that is right tries again after each signal.
_STAYS: frozenset[Cause] = frozenset(
    {"space", "device", "descriptors", "processes", "memory", "permission"}
)
WHENS: tuple[When, ...] = get_args(When)


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """One errno that a call may meet; the columns are told at the head of this module."""

    errno: str
    cause: Cause
    when: When
    reason: str

    def describe(self) -> str:
        return f"{self.errno}: {self.reason}"


def _table() -> tuple[dict[str, tuple[Failure, ...]], dict[str, str]]:
    """The failures of each call, and why a call has none. A wrong row is a bug of ours, and tests
    find it."""
    path = os.path.join(os.path.dirname(__file__), "failures.tsv")
    with open(path, encoding="ascii") as file:
        lines = file.read().splitlines()
    found: dict[str, tuple[Failure, ...]] = {}
    never: dict[str, str] = {}
    for line in lines[1:]:
        errno, cause, when, reason, calls = line.split("\t")
        if errno == "-":
            never.update(dict.fromkeys(calls.split(), reason))
            continue
        failure = Failure(
            errno=errno,
            cause=cause,  # type: ignore[arg-type] # a word of the file
            when=when,  # type: ignore[arg-type] # a word of the file
            reason=reason,
        )
        for call in calls.split():
            found[call] = (*found.get(call, ()), failure)
    return found, never


#: call -> what it may meet; call -> why it is given nothing. Each trapped call is in one of them.
FAILURES, NEVER = _table()


def lasts(call: str, errno: str) -> bool:
    """Whether what makes *call* fail with *errno* may last, so that the next calls fail too."""
    return any(
        failure.errno == errno and failure.cause in _STAYS and failure.when != "threads"
        for failure in FAILURES.get(call, ())
    )
