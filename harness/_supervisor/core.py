"""The supervisor's decisions about faults, with no I/O in them.

Counts the calls of each role, arms the schedule's faults where their triggers match, and says for
each call which fault fires at it. This file opens no descriptor, reads no clock, draws no random
number.
"""

from __future__ import annotations

from ..calls import BY_NR
from ..schedule import FaultAt, Schedule, role_matches


class Armed:
    """One fault of the schedule as it watches one role: how many matching calls it counted."""

    __slots__ = ("at", "counted", "index")

    def __init__(self, index: int, at: FaultAt) -> None:
        self.index = index
        self.at = at
        self.counted = 0


class Role:
    """A task's stable name, with its counts: calls in all, each call by number, children and
    threads born."""

    __slots__ = ("armed", "births", "counts", "name", "order", "threads", "total")

    def __init__(self, name: str, order: int, armed: dict[int, list[Armed]]) -> None:
        self.name = name
        self.order = order
        self.armed = armed
        self.total = 0
        self.counts: dict[int, int] = {}
        self.births = 0
        self.threads = 0

    def __repr__(self) -> str:
        return f"<Role {self.name}>"


#: A trigger's `*` and a switch's address count only these: a fault on any other call must not move
#: them.
COUNTED = tuple(BY_NR[nr].trapped if nr in BY_NR else False for nr in range(max(BY_NR) + 1))


class Core:
    """What the schedule asks for, and how much of it has happened so far.

    `fired[i]` counts how often fault *i* fired, `seen[i]` how many calls its trigger counted.
    """

    def __init__(self, schedule: Schedule) -> None:
        self.phase = "start"
        self.roles: dict[str, Role] = {}
        self.fired = [0] * len(schedule.faults)
        self.seen = [0] * len(schedule.faults)
        self._watches = [
            (index, at, frozenset(nr for nr, call in BY_NR.items() if call.name in at.calls()))
            for index, at in enumerate(schedule.faults)
        ]

    def root(self, name: str) -> Role:
        """A role that no task of the trial gave birth to: the service or a client."""
        armed: dict[int, list[Armed]] = {}
        for index, at, numbers in self._watches:
            if role_matches(at.at.role, name):
                watch = Armed(index, at)
                for nr in numbers:
                    armed.setdefault(nr, []).append(watch)
        role = self.roles[name] = Role(name, len(self.roles), armed)
        return role

    def born(self, parent: Role, *, thread: bool) -> Role:
        """The next child, or thread, of *parent*."""
        if thread:
            parent.threads += 1
            return self.root(f"{parent.name}#{parent.threads}")
        parent.births += 1
        return self.root(f"{parent.name}/{parent.births - 1}")

    def count(self, role: Role, nr: int) -> Armed | None:
        """Count one call of *role*; the fault whose turn it is, if one's is. The first of several
        in the schedule wins."""
        if nr < len(COUNTED) and COUNTED[nr]:
            role.total += 1
        role.counts[nr] = role.counts.get(nr, 0) + 1
        watches = role.armed.get(nr)
        return self._due(watches) if watches else None

    def _due(self, watches: list[Armed]) -> Armed | None:
        due: Armed | None = None
        for watch in watches:
            watch.counted += 1
            self.seen[watch.index] += 1
            trigger = watch.at.at
            last = watch.counted if trigger.last is None else trigger.last
            if (
                due is None
                and trigger.phase == self.phase
                and trigger.first <= watch.counted <= last
            ):
                due = watch
        return due

    def fire(self, watch: Armed) -> None:
        """The fault has happened: not when it was due, for the call may have died or could not be
        faulted."""
        self.fired[watch.index] += 1
