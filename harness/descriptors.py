"""What each descriptor of a trace leads to, as far as the trace tells. Pure.

A trace has no results: which number an open or an accept gave is not in it. But the kernel gives
the lowest that is free, and a program uses what it has just got. So a number that is used for the
first time since it was closed belongs to the last call before that made a descriptor; and what has
a peer's name, or an address, is a socket whatever came before. A child starts with what its parent
had. Standard input, output and error are what the command was given. What is not known is
said to be unknown, which promises nothing.

A file that is opened only to be read, by an absolute path, is said to be a library: the files of
the loader and of interpreters are, and what is configured for the whole machine.
"""

from __future__ import annotations

from typing import Literal

from .calls import CALLS
from .trace import Event

Kind = Literal["file", "pipe", "socket", "other", "standard", "unknown"]

_MAKES: dict[str, Kind] = {
    **dict.fromkeys(("open", "openat", "openat2", "creat", "memfd_create"), "file"),
    **dict.fromkeys(("pipe", "pipe2"), "pipe"),
    **dict.fromkeys(("socket", "socketpair", "accept", "accept4"), "socket"),
    **dict.fromkeys(
        ("epoll_create", "epoll_create1", "eventfd", "eventfd2", "signalfd", "signalfd4"), "other"
    ),
    **dict.fromkeys(("timerfd_create", "inotify_init", "inotify_init1", "pidfd_open"), "other"),
}
#: What a number leads to, and whether that is a library.
_End = tuple[Kind, bool]
_UNKNOWN: _End = ("unknown", False)
_STANDARD: dict[int, _End] = dict.fromkeys((0, 1, 2), ("standard", False))
_O_ACCMODE, _O_CREAT = 0x3, 0x40
_DUPLICATES = frozenset({"dup", "fcntl"})
#: Whatever made the number, only a file that has a place in it can be asked this.
_OF_A_FILE = frozenset({"pread64", "pwrite64", "getdents", "getdents64", "ftruncate", "fallocate"})


class Descriptors:
    """Told each event of a trace in turn, says to what the descriptors in it lead.

    *library* says whether the last event was about one."""

    def __init__(self) -> None:
        self.library = False
        self._of: dict[str, dict[int, _End]] = {}
        self._made: dict[str, _End] = {}

    def see(self, event: Event) -> Kind:
        """To what the first descriptor among the arguments of *event* leads."""
        role, call = event.role, event.call
        numbers = [
            int(argument)
            for letter, argument in zip(_shown(call), event.args, strict=False)
            if letter == "f" and argument.lstrip("-").isdecimal()
        ]
        if role not in self._of:
            self._of[role] = self._of.get(_parent_of(role), _STANDARD).copy()
        known = self._of[role]
        for number in numbers:
            if number not in known:
                known[number] = self._made.get(role, _UNKNOWN)
        if numbers and "net" in CALLS[call].families:
            known[numbers[0]] = ("socket", False)
        elif numbers and call in _OF_A_FILE:
            known[numbers[0]] = ("file", known[numbers[0]][1])
        first = known.get(numbers[0], _UNKNOWN) if numbers else _UNKNOWN
        self.library = first[1] or _opens_library(event)
        if call == "close" and numbers:
            known.pop(numbers[0], None)
        elif call in ("dup2", "dup3") and len(numbers) > 1:
            known[numbers[1]] = first
        elif call in _DUPLICATES and numbers:
            self._made[role] = first
        elif call in _MAKES:
            self._made[role] = (_MAKES[call], self.library)
        return first[0]


def _opens_library(event: Event) -> bool:
    if event.call not in ("open", "openat"):
        return False
    path, flags = event.args[-3], int(event.args[-2], 16)
    return path.startswith('"/') and not flags & (_O_ACCMODE | _O_CREAT)


def _shown(call: str) -> str:
    """A letter for each argument that a trace holds of *call*."""
    return CALLS[call].args.replace("-", "")


def _parent_of(role: str) -> str:
    cut = max(role.rfind("/"), role.rfind("#"))
    return role[:cut] if cut > 0 else ""
