"""From raw notifications to the canonical arguments of a trace: only what is equal between equal
runs.

The call table says for each argument how it enters; pointers, pids, contents and times are left
out.
"""

from __future__ import annotations

import struct

from .._kernel.memory import Memory
from .._kernel.seccomp import ARGS, Notification
from ..calls import BY_NR, signal_name
from ..trace import Event, path_arg

#: call number -> indexes of the arguments that point to a path
PATHS = {
    nr: tuple(i for i, letter in enumerate(call.args) if letter == "p")
    for nr, call in BY_NR.items()
}
PATHS = {nr: indexes for nr, indexes in PATHS.items() if indexes}

#: call number -> indexes of the arguments that point to what enters the trace
POINTED = {
    nr: tuple(i for i, letter in enumerate(call.args) if letter in "ph")
    for nr, call in BY_NR.items()
}
POINTED = {nr: indexes for nr, indexes in POINTED.items() if indexes}

#: The beginning of the kernel's struct sigaction: handler and flags. Source: <asm/signal.h>.
_SIGACTION = struct.Struct("=QQ")
_SIG_DFL, _SIG_IGN, _SA_RESTART = 0, 1, 0x10000000

#: call number -> its name
NAMES = {nr: call.name for nr, call in BY_NR.items()}


def read_pointed(notif: Notification, memory: Memory) -> tuple[bytes | None, ...]:
    """The paths that the call names, and what it wants done with a signal; None for what is not
    there (the kernel will answer EFAULT, or nothing is wanted)."""
    nr = notif[3]
    letters = BY_NR[nr].args
    found: list[bytes | None] = []
    for index in POINTED[nr]:
        address = notif[ARGS + index]
        try:
            if letters[index] == "p":
                found.append(memory.string(address))
            else:
                found.append(memory.read(address, _SIGACTION.size) if address else None)
        except OSError:
            found.append(None)
    return tuple(found)


def arguments(notif: Notification, paths: tuple[bytes | None, ...]) -> tuple[str, ...]:
    """The canonical arguments of one call; *paths* is what read_pointed() gave."""
    call = BY_NR.get(notif[3])
    shown: list[str] = []
    waiting = iter(paths)
    for index, letter in enumerate(call.args if call else ""):
        value = notif[ARGS + index]
        if letter == "p":
            path = next(waiting, None)
            shown.append("?" if path is None else path_arg(path))
        elif letter == "h":
            shown.append(_handling(next(waiting, None)))
        elif letter == "f":
            shown.append("AT_FDCWD" if _signed(value) == -100 else str(_signed(value)))
        elif letter == "i":
            shown.append(str(_signed(value)))
        elif letter == "n":
            shown.append(str(value))
        elif letter == "x":
            shown.append(hex(value & 0xFFFFFFFF))
        elif letter == "o":
            shown.append(f"0{value & 0o177777:o}")
        elif letter == "s":
            shown.append(_signal(_signed(value)))
    return tuple(shown)


def _signed(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value & 0x80000000 else value


def _signal(number: int) -> str:
    if number == 0:
        return "0"
    try:
        return signal_name(number)
    except ValueError:
        return str(number)


def _handling(action: bytes | None) -> str:
    if action is None:
        return "-"
    handler, flags = _SIGACTION.unpack(action)
    if handler in (_SIG_DFL, _SIG_IGN):
        return "default" if handler == _SIG_DFL else "ignored"
    return "restarts" if flags & _SA_RESTART else "handled"


def call_name(nr: int) -> str:
    """The kernel's name of call *nr*, or `call_NR` when the table does not have it."""
    return NAMES.get(nr) or f"call_{nr}"


def event(
    role: str, nth: int, action: str, notif: Notification, paths: tuple[bytes | None, ...]
) -> Event:
    """One event of the trace."""
    return Event(
        role=role, call=call_name(notif[3]), nth=nth, action=action, args=arguments(notif, paths)
    )
