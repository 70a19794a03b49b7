"""The supervisor's decisions about faults, with no I/O in them.

Counts the calls of each role, arms the schedule's faults where their triggers match, and says for
each call which fault fires at it. This file opens no descriptor, reads no clock, draws no random
number.
"""

from __future__ import annotations

from collections.abc import Sequence

from .._kernel.hypercall import NUMBER as HYPERCALL
from ..calls import BY_NR, NR, matching
from ..fault import HoldFault
from ..schedule import FaultAt, Schedule, Trigger, role_matches


class Armed:
    """One fault of the schedule as it watches one role for its trigger, or for the one that *ends*
    it: how many matching calls it counted."""

    __slots__ = ("at", "counted", "ends", "index", "numbers", "trigger")

    def __init__(
        self, index: int, at: FaultAt, trigger: Trigger, numbers: frozenset[int], *, ends: bool
    ) -> None:
        self.index = index
        self.at = at
        self.trigger = trigger
        self.numbers = numbers
        self.ends = ends
        self.counted = 0

    @property
    def puts_off(self) -> bool:
        """Whether it only puts the call off."""
        return not self.ends and self.at.fault.puts_off


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
            first = watch.trigger.first if len(watch.numbers) == 1 else 1
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

    `fired[i]` counts how often fault *i* fired, `met[i]` how often the trigger was met that ends
    it.
    """

    def __init__(self, schedule: Schedule) -> None:
        self.phase = "start"
        self.roles: dict[str, Role] = {}
        self.fired = [0] * len(schedule.faults)
        self.met = [0] * len(schedule.faults)
        self._watches = [
            (index, at, frozenset(NR[name] for name in at.calls()))
            for index, at in enumerate(schedule.faults)
        ]
        self._ends = [
            (
                index,
                at,
                at.fault.until,
                frozenset(NR[name] for name in matching(at.fault.until.call)),
            )
            for index, at in enumerate(schedule.faults)
            if isinstance(at.fault, HoldFault) and at.fault.until is not None
        ]

    def root(self, name: str) -> Role:
        """A role that no task of the trial gave birth to: the service or a client."""
        watches = [
            Armed(index, at, at.at, numbers, ends=False)
            for index, at, numbers in self._watches
            if role_matches(at.at.role, name)
        ]
        watches += [
            Armed(index, at, until, numbers, ends=True)
            for index, at, until, numbers in self._ends
            if role_matches(until.role, name)
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
            trigger = watch.trigger
            last = watch.counted if trigger.last is None else trigger.last
            if trigger.first <= watch.counted <= last:
                due.append(watch)
        return due

    def putting_off(self, due: Sequence[Armed]) -> Armed | None:
        """The first of *due* that puts the call off in this phase."""
        return next((watch for watch in due if watch.puts_off and self._is_its_phase(watch)), None)

    def chosen(self, due: Sequence[Armed]) -> Armed | None:
        """The one of *due* that says in this phase what becomes of the call: the first in the
        schedule."""
        return next(
            (
                watch
                for watch in due
                if self._is_its_phase(watch) and not watch.ends and not watch.puts_off
            ),
            None,
        )

    def meet(self, due: Sequence[Armed]) -> None:
        """The call is made, or faulted, now: what was held until then is held no more."""
        for watch in due:
            if watch.ends and self._is_its_phase(watch):
                self.met[watch.index] += 1

    def _is_its_phase(self, watch: Armed) -> bool:
        return watch.trigger.phase == self.phase

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
