"""What a trial did that the golden run did not: how a program goes on after a fault. Pure.

Two runs of the same program are equal up to the fault. From there on its calls are held against
those that the golden run still had to make, each role's for itself: what is left over is new. A
call is known again by its shape, in which there is no number of a descriptor and no length: after
an open that failed, the later ones have other numbers, and after a short write, other lengths.

It stands for the call stack that others compare (Marinescu and Candea, "LFI", 2009; Gunawi et al.,
"FATE and DESTINI", 2011). A supervisor sees the address of the instruction that made the call, but
that is the C library's, the same for every write of a program; who called the library is not told.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from ..calls import CALLS
from ..descriptors import Descriptors, Kind
from ..excuses import is_within
from ..handlers import Handlers
from ..points import PHASES, Point, points
from ..schedule import FRESH, RESTARTED, Trigger
from ..trace import NO_ROLE, Event, Trace

#: A call without what may differ between two that do the same.
Shape = tuple[str, ...]
#: A new call: the pattern of its role, and its shape.
Step = tuple[str, Shape]

#: Descriptors that mean the same in every program.
_STANDARD = frozenset({"0", "1", "2", "AT_FDCWD"})


def shape(event: Event, descriptor: Kind) -> Shape:
    """The call, what its first descriptor leads to, and those arguments that say what it does."""
    letters = CALLS[event.call].args.replace("-", "")
    kept = [
        argument
        for letter, argument in zip(letters, event.args, strict=False)
        if letter != "n" and (letter != "f" or argument in _STANDARD)
    ]
    return event.call, descriptor, *kept


def role_pattern(role: str) -> str:
    """*role*, with `*` for each number: children that are born to do the same have one pattern."""
    return re.sub(r"(?<=[/#])[0-9]+", "*", role)


@dataclass(frozen=True, kw_only=True, slots=True)
class NewPoint:
    """A point that is there only after a fault.

    *way* are the new calls up to it, its own the last."""

    point: Point
    way: tuple[Step, ...]


class Golden:
    """The golden run, as trials are held against it; *handlers* is what it has shown of them, all
    of it."""

    def __init__(self, trace: Trace, handlers: Handlers | None = None) -> None:
        self._handlers = handlers
        self._shapes = _shapes(trace)
        self._at = _addresses(trace)

    def new_in(self, trace: Trace, at: Trigger) -> list[tuple[int, Shape]]:
        """The events of *trace* that are new after the one call that *at* means: their indexes and
        shapes. Nothing when that call was not made."""
        met = _addresses(trace).get((at.role, at.call, at.first))
        if met is None:
            return []
        there = self._shapes[self._at[at.role, at.call, at.first] + 1 :]
        left = Counter(one for one in there if one is not None)
        new = []
        for index, one in enumerate(_shapes(trace)):
            if one is None or index <= met:
                continue
            if left[one]:
                left[one] -= 1
            else:
                new.append((index, one[1]))
        return new

    def recovery(self, trace: Trace, at: Trigger) -> tuple[Step, ...]:
        """All that is new, in its order."""
        events = trace.events
        return tuple(
            (role_pattern(events[index].role), one) for index, one in self.new_in(trace, at)
        )

    def new_points(
        self,
        trace: Trace,
        at: Trigger,
        roles: str = "**",
        calls: str = "*",
        phases: Collection[str] = PHASES,
    ) -> list[NewPoint]:
        """The points of *trace* that are new after *at*, of the roles, calls and phases that are
        asked for. Of calls that are alike only the first: who tries again and again makes them. Not
        those of who is there to see whether the service recovers, for which nothing goes wrong."""
        handlers = self._handlers.copy() if self._handlers else None
        all_ = points(trace, roles, calls, phases, handlers)
        there = {id(point.event): point for point in all_}
        found, way = [], dict[Step, None]()
        for index, one in self.new_in(trace, at):
            event = trace.events[index]
            step = role_pattern(event.role), one
            if step in way or any(is_within(event.role, root) for root in (FRESH, RESTARTED)):
                continue
            way[step] = None
            if id(event) in there:
                found.append(NewPoint(point=there[id(event)], way=tuple(way)))
        return found


def _addresses(trace: Trace) -> dict[tuple[str, str, int], int]:
    return {(event.role, event.call, event.nth): index for index, event in enumerate(trace.events)}


def _shapes(trace: Trace) -> list[tuple[str, Shape] | None]:
    """Role and shape of each event; None for what is no call, or is seen only where a fault names
    it."""
    descriptors = Descriptors()
    return [
        (event.role, shape(event, descriptors.see(event)))
        if event.role != NO_ROLE and event.call in CALLS and CALLS[event.call].trapped
        else None
        for event in trace.events
    ]
