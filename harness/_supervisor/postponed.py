"""Calls that are put off: delayed, held until something happens, or at which the process is stopped
for a while. Pure.

A call that is put off has not been made. A signal that comes then is handled at once, and so the
caller leaves the call and comes back to it: to the kernel that is a new call, to us it is the same
one, known again by its number, place and arguments. Source: ERESTARTNOINTR in <linux/errno.h>.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .._kernel.seccomp import Notification
from .core import Armed, Core

_NR, _REST = 3, 5  # of a notification: the number, then the place and the arguments


@dataclass(slots=True)
class PutOff:
    """A call that is not to be made before *until* (nanoseconds of the trial's time), or before the
    trigger that ends hold *index* has been met more than *met* times."""

    what: str
    until: int | None = None
    index: int = -1
    met: int = 0

    def is_over(self, now: int, core: Core) -> bool:
        if self.until is not None:
            return self.until <= now
        return core.met[self.index] > self.met

    @property
    def minds_signals(self) -> bool:
        """Whether a signal is handled meanwhile; who is held is stuck."""
        return self.until is not None


@dataclass(slots=True)
class Interrupted:
    """A call that its caller has left and comes back to: the *nth* of its name, with the faults
    that are still *due* at it, and *put_off* for some time yet, if it is."""

    memo: tuple[int, ...]
    nth: int
    due: Sequence[Armed]
    put_off: PutOff | None

    def is_at(self, notif: Notification) -> bool:
        """Whether *notif* is that call again."""
        return memo_of(notif) == self.memo


def memo_of(notif: Notification) -> tuple[int, ...]:
    """What a call is known again by."""
    return (notif[_NR], *notif[_REST:])
