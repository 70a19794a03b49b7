"""The trials of a sweep: which there are, and in which order they are worth running. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ..failures import lasts
from ..fault import DelayFault, ErrnoFault, Fault, ShortFault
from ..points import Point, faults_at, phase_from
from ..schedule import FaultAt, Trigger
from ..trace import Trace


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One trial that is to be run: a fault of *kind*, at the point of that number, which is there
    only *after* another fault unless that is None."""

    point: int
    kind: str
    at: FaultAt
    after: FaultAt | None = None

    @property
    def faults(self) -> tuple[FaultAt, ...]:
        """In the order in which they are met."""
        return (self.at,) if self.after is None else (self.after, self.at)


def cases_of(there: Sequence[Point], kinds: Sequence[str]) -> list[Case]:
    """A case for each thing that can go wrong once, in the order of the points."""
    return [
        Case(point=number, kind=kind, at=point.faulted(fault))
        for number, point in enumerate(there)
        for kind in kinds
        for fault in faults_at(point, kind)
    ]


def in_turn(cases: Sequence[Case], these: Iterable[int]) -> list[int]:
    """The numbers *these*, in the order in which to run them: the first call of each name and role
    comes first, with each fault, then the second: most of what there is to find is found early,
    should the time be short."""
    met = Counter[tuple[str, str, Fault]]()
    turn = {}
    for number in sorted(these):
        at = cases[number].at
        key = (at.at.role, at.at.call, at.fault)
        turn[number] = met[key]
        met[key] += 1
    return sorted(turn, key=turn.__getitem__)


# ---- Faults that last ----------------------------------------------------------------------------


def that_lasts(case: Case, trace: Trace) -> Case | None:
    """The same fault from its call on, where that is another trial: where it can last, and its role
    has made the call again in *trace*, the trial with the fault once. Else None.

    Who is dead or held makes no other call."""
    at = case.at
    if not _can_last(at) or not _is_met_again(trace, at.at):
        return None
    return replace(case, at=replace(at, at=replace(at.at, last=None)))


def _can_last(at: FaultAt) -> bool:
    if isinstance(at.fault, ErrnoFault):
        return lasts(at.at.call, at.fault.errno)
    return isinstance(at.fault, ShortFault | DelayFault)


def _is_met_again(trace: Trace, at: Trigger) -> bool:
    phase = ""
    for event in trace.events:
        phase = phase_from(event, phase)
        if (
            (event.role, event.call, phase) == (at.role, at.call, at.phase)
            and event.nth > at.first
        ):  # fmt: skip
            return True
    return False
