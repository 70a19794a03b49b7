"""Which parked task goes next: the default policy, the schedule's switches, or another policy,
whose choices are written down as switches.

Pure: it sees names and counts, never a process. Source of the idea that a schedule lists only
deviations from a default: delay-bounded scheduling (Emmi, Qadeer, Rakamaric, POPL 2011).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Protocol, TypeVar

from ..schedule import Switch, Trigger


class Parked(Protocol):
    """A task that waits for its answer: its role, and the call it is about to make."""

    @property
    def name(self) -> str:
        """The role."""

    @property
    def call_name(self) -> str:
        """The kernel's name of the call."""

    @property
    def nth(self) -> int:
        """How many times the role has made this call, this one included."""

    @property
    def total(self) -> int:
        """How many counted calls the role has made, this one included."""

    @property
    def doing(self) -> Hashable:
        """The call with what it is about: equal for two calls that ask for the same."""


Choice = TypeVar("Choice", bound=Parked)


class Policy(Protocol):
    """Another way than the default policy to say who goes next; policies.py has those there are."""

    def choose(self, parked: Sequence[Choice]) -> Choice:
        """One of *parked*, which are at least two, in order of birth."""

    def went(self, chosen: Parked, parked: Sequence[Parked]) -> None:
        """*chosen* of *parked* goes: by choice, or because there is no other."""


class Witness(Protocol):
    """Who is told of each step; decisions.py has one."""

    def step(self, default: Parked, chosen: Parked, parked: Sequence[Parked], running: str) -> None:
        """*chosen* of *parked* goes; *default* would by the default policy, *running* went last."""


#: How many steps in a row a task may make while others wait for their turn, and how many more
#: without doing anything new. A loop that polls never blocks, and what it polls for is somebody
#: else's work; but a program that starts may make thousands of calls, each about something else.
QUANTUM = 200
TURN_MAX = 5000  # a loop may also have a number in it that grows


class Turn:
    """How long a task has gone on while others wait."""

    def __init__(self) -> None:
        self.role = ""
        self._steps = 0
        self._stale = 0
        self._done = set[Hashable]()

    @property
    def is_used_up(self) -> bool:
        """Whether it is time for somebody else."""
        return self._stale >= QUANTUM or self._steps >= TURN_MAX

    def step(self, task: Parked, *, contended: bool) -> None:
        """*task* goes; *contended*: others could."""
        if task.name != self.role or not contended:
            self.role, self._steps, self._stale = task.name, 0, 0
            self._done.clear()
        self._steps += 1
        if self._steps > QUANTUM:
            doing = task.doing
            self._stale = self._stale + 1 if doing in self._done else 0
            self._done.add(doing)


class Scheduler:
    """Chooses, and keeps what it decided.

    Default policy: the task that ran last goes on until it blocks or has used up its turn (then the
    next in order of birth goes); else the first in order of birth. A switch makes another task
    go at one event. Where there are no switches *policy*, when given, chooses instead. `decided`
    has every deviation from the default policy, so that the default policy with these switches
    repeats the trial. *witness* is told of each step.
    """

    def __init__(
        self,
        switches: Sequence[Switch],
        policy: Policy | None = None,
        witness: Witness | None = None,
    ) -> None:
        self.decided: list[Switch] = []
        self._witness = witness
        self._not_applied: list[int] = []
        self._policy = policy
        self._turn = Turn()
        self._switches: dict[tuple[str, str, int], list[tuple[int, Switch]]] = {}
        for index, switch in enumerate(switches):
            address = (switch.at.role, switch.at.call, switch.at.first)
            self._switches.setdefault(address, []).append((index, switch))

    def not_applied(self) -> list[int]:
        """Indexes of the switches whose event has not come, or came when their target could not
        run."""
        waiting = [index for queue in self._switches.values() for index, _ in queue]
        return sorted(self._not_applied + waiting)

    def choose(self, parked: Sequence[Choice]) -> Choice:
        """The one of *parked* (at least one, in order of birth) that goes next."""
        default = chosen = self._default(parked)
        if self._switches:
            chosen = self._switched(default, parked)
        elif self._policy is not None:
            if len(parked) > 1:
                chosen = self._policy.choose(parked)
            self._policy.went(chosen, parked)
        if self._witness is not None:
            self._witness.step(default, chosen, parked, self._turn.role)
        if chosen is not default:
            at = Trigger(role=default.name, call="*", first=default.total, last=default.total)
            self.decided.append(Switch(at=at, run=chosen.name))
        self._turn.step(chosen, contended=len(parked) > 1)
        return chosen

    def _default(self, parked: Sequence[Choice]) -> Choice:
        for index, task in enumerate(parked):
            if task.name == self._turn.role:
                if self._turn.is_used_up:
                    return parked[(index + 1) % len(parked)]
                return task
        return parked[0]

    def _switched(self, default: Choice, parked: Sequence[Choice]) -> Choice:
        for address in (
            (default.name, "*", default.total),
            (default.name, default.call_name, default.nth),
        ):
            queue = self._switches.get(address)
            if not queue:
                continue
            index, switch = queue.pop(0)
            if not queue:
                del self._switches[address]
            for task in parked:
                if task.name == switch.run:
                    return task
            self._not_applied.append(index)
        return default
