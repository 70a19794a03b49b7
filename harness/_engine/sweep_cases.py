"""The trials of a sweep: which there are, and in which order they are worth running. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from ..failures import lasts
from ..fault import CrashAfterFault, CrashFault, DelayFault, ErrnoFault, Fault, ShortFault
from ..points import Point, faults_at, phase_from
from ..schedule import FaultAt, Trigger
from ..subject import BARE
from ..trace import Trace
from .recovery import role_pattern
from .strategies import spread


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One trial that is to be run: a fault of *kind*, at the point of that number, which is there
    only *after* another fault unless that is None.

    It is so many *turns_later* than what is most likely to show something at such a call, and later
    than all others when it is about a *library* (see `points.Point`)."""

    point: int
    kind: str
    at: FaultAt
    after: FaultAt | None = None
    turns_later: int = 0
    library: bool = False

    @property
    def faults(self) -> tuple[FaultAt, ...]:
        """In the order in which they are met."""
        return (self.at,) if self.after is None else (self.after, self.at)


def cases_of(there: Sequence[Point], kinds: Sequence[str]) -> list[Case]:
    """A case for each thing that can go wrong once, in the order of the points."""
    return [
        Case(
            point=number,
            kind=kind,
            at=at,
            turns_later=later + (at.at.phase != "work") + 2 * _is_excused(at),
            library=point.library,
        )
        for number, point in enumerate(there)
        for kind, at, later in _at_point(point, kinds)
    ]


def _at_point(point: Point, kinds: Sequence[str]) -> Iterator[tuple[str, FaultAt, int]]:
    """Each fault there, of its kind, and how many before it ask the same of a program: most do the
    same whatever errno a call fails with. EINTR is another matter, for it is to be tried again."""
    errnos = 0
    for kind in kinds:
        for fault in faults_at(point, kind):
            fails = isinstance(fault, ErrnoFault) and fault.errno != "EINTR"
            yield kind, point.faulted(fault), errnos if fails else 0
            errnos += fails


def _is_excused(at: FaultAt) -> bool:
    """Whether it kills a bare command itself: that it did nothing more is seen by its status. A
    service is started again, and then must serve."""
    return at.at.role == BARE and isinstance(at.fault, CrashFault | CrashAfterFault)


def in_turn(cases: Sequence[Case], these: Iterable[int]) -> list[int]:
    """The numbers *these*, in the order in which to run them: most of what there is to find is
    found early, should the time be short. Of equal rank, each is far from those before it."""
    groups = dict[tuple[bool, int], list[int]]()
    for number, rank in ranks(cases, these).items():
        groups.setdefault(rank, []).append(number)
    return [alike[place] for _, alike in sorted(groups.items()) for place in spread(len(alike))]


def ranks(cases: Sequence[Case], these: Iterable[int]) -> dict[int, tuple[bool, int]]:
    """By the number of each of *these* cases, its place; the least is run first.

    Rare calls come before frequent ones: the first call of each name, by roles that differ in their
    numbers only, comes with each fault; then the second. What is about a program's own files comes
    before what is about libraries, work before start and stop."""
    met = Counter[tuple[str, str, Fault]]()
    rank = {}
    for number in sorted(these):
        case = cases[number]
        at = case.at.at
        key = (role_pattern(at.role), at.call, case.at.fault)
        rank[number] = case.library, met[key] + case.turns_later
        met[key] += 1
    return rank


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
