"""The supervisor's decisions about faults, with no I/O in them.

Counts the calls of each role, arms the schedule's faults where their triggers match, and says for
each call which fault fires at it. This file opens no descriptor, reads no clock, draws no random
number.
"""

from __future__ import annotations

from collections.abc import Sequence

from .._kernel.hypercall import NUMBER as HYPERCALL
from ..calls import BY_NR
from ..schedule import FaultAt, Schedule, role_matches


class Armed:
    """One fault of the schedule as it watches one role: how many matching calls it counted."""

    __slots__ = ("at", "counted", "index", "numbers")

    def __init__(self, index: int, at: FaultAt, numbers: frozenset[int]) -> None:
        self.index = index
        self.at = at
        self.numbers = numbers
        self.counted = 0


class Role:
    """A task's stable name, with its counts: calls in all, each call by number, children and
    threads born."""

    __slots__ = ("armed", "births", "counts", "earliest", "name", "order", "threads", "total")

    def __init__(self, name: str, order: int, watches: list[Armed]) -> None:
        self.name = name
        self.order = order
        self.armed: dict[int, list[Armed]] = {}
        #: call -> how often it must have been made before a fault can be due at it
        self.earliest: dict[int, int] = {}
        self.total = 0
        self.counts: dict[int, int] = {}
        self.births = 0
        self.threads = 0
        for watch in watches:
            # One that watches several calls must be told of each, as no single call's count is its.
            first = watch.at.at.first if len(watch.numbers) == 1 else 1
            for nr in watch.numbers:
                self.armed.setdefault(nr, []).append(watch)
                self.earliest[nr] = min(first, self.earliest.get(nr, first))

    def __repr__(self) -> str:
        return f"<Role {self.name}>"


#: A trigger's `*` and a switch's address count only these: a fault on any other call must not move
#: them.
COUNTED = frozenset(nr for nr, call in BY_NR.items() if call.trapped) | {HYPERCALL}


class Core:
    """What the schedule asks for, and how much of it has happened so far.

    `fired[i]` counts how often fault *i* fired.
    """

    def __init__(self, schedule: Schedule) -> None:
        self.phase = "start"
        self.roles: dict[str, Role] = {}
        self.fired = [0] * len(schedule.faults)
        self._watches = [
            (index, at, frozenset(nr for nr, call in BY_NR.items() if call.name in at.calls()))
            for index, at in enumerate(schedule.faults)
        ]

    def root(self, name: str) -> Role:
        """A role that no task of the trial gave birth to: the service or a client."""
        watches = [
            Armed(index, at, numbers)
            for index, at, numbers in self._watches
            if role_matches(at.at.role, name)
        ]
        role = self.roles[name] = Role(name, len(self.roles), watches)
        return role

    def born(self, parent: Role, *, thread: bool) -> Role:
        """The next child, or thread, of *parent*."""
        if thread:
            parent.threads += 1
            return self.root(f"{parent.name}#{parent.threads}")
        parent.births += 1
        return self.root(f"{parent.name}/{parent.births - 1}")

    def count(self, role: Role, nr: int) -> Sequence[Armed]:
        """Count one call of *role*; the faults whose turn it is, if the phase is theirs when the
        call is answered."""
        if nr in COUNTED:
            role.total += 1
        counts = role.counts
        nth = counts[nr] = counts.get(nr, 0) + 1
        if nr in role.armed and nth >= role.earliest[nr]:
            return self._due(role.armed[nr], nth)
        return ()

    def _due(self, watches: list[Armed], nth: int) -> list[Armed]:
        due = []
        for watch in watches:
            watch.counted = nth if len(watch.numbers) == 1 else watch.counted + 1
            trigger = watch.at.at
            last = watch.counted if trigger.last is None else trigger.last
            if trigger.first <= watch.counted <= last:
                due.append(watch)
        return due

    def chosen(self, due: Sequence[Armed]) -> Armed | None:
        """The one of *due* that fires in this phase: the first in the schedule."""
        return next((watch for watch in due if watch.at.at.phase == self.phase), None)

    def seen(self) -> list[int]:
        """How many calls the trigger of each fault counted, in all roles."""
        return [
            sum(
                count
                for role in self.roles.values()
                if role_matches(at.at.role, role.name)
                for nr, count in role.counts.items()
                if nr in numbers
            )
            for _, at, numbers in self._watches
        ]

    def fire(self, watch: Armed) -> None:
        """The fault has happened: not when it was due, for the call may have died or could not be
        faulted."""
        self.fired[watch.index] += 1

    def take_back(self, watch: Armed) -> None:
        """It has not happened after all: the call that it was to follow was never done."""
        self.fired[watch.index] -= 1
