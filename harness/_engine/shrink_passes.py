"""Shrinking, without a trial: from a schedule that has a finding to a simpler one that has it too.

A search asks, in lists, which of some simpler schedules still has the finding, and takes the first
that does. Whoever runs the trials answers with its place in the list; how many are tried at once,
and in which order they end, changes nothing. At the end no single entry can be left out. Source of
`fewer`: ddmin (Zeller and Hildebrandt, Simplifying and Isolating Failure-Inducing Input, IEEE
Transactions on Software Engineering 28, 2002); of the order and of passes that are repeated until
none helps: Hypothesis (MacIver and Donaldson, Test-Case Reduction via Test-Case Generation, ECOOP
2020).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from .._supervisor.decisions import Decision
from ..calls import CALLS, matching
from ..errors import ScheduleError
from ..failures import FAILURES
from ..fault import (
    CrashAfterFault,
    CrashFault,
    DelayFault,
    EofFault,
    ErrnoFault,
    Fault,
    HoldFault,
    PauseFault,
    ResetFault,
    ShortFault,
    SignalFault,
)
from ..schedule import Entries, FaultAt, Schedule, Switch, Trigger
from ..strict import sha256_of

#: From the gentlest to the harshest: what asks least of a program comes first.
GENTLE: tuple[type[Fault], ...] = (
    ShortFault,
    DelayFault,
    PauseFault,
    ErrnoFault,
    EofFault,
    ResetFault,
    SignalFault,
    CrashAfterFault,
    CrashFault,
    HoldFault,
)
#: How many schedules of a single switch are tried in place of one that has several.
_SINGLES_MAX = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """What a trial that has the finding showed of its schedule.

    *events* is the length of its trace, *met* the calls at which each fault fired. *unused* are the
    indexes of its switches that did not apply. *decisions* are the steps at which more than one
    task could go."""

    events: int
    met: tuple[tuple[Trigger, ...], ...] = ()
    unused: tuple[int, ...] = ()
    decisions: tuple[Decision, ...] = ()


#: Which of the schedules that were asked about is the first that has the finding, and what its
#: trial showed; None: none of them has it.
Reply = tuple[int, Shown] | None
Search = Generator[Sequence[Schedule], Reply, None]


def digest_of(schedule: Schedule) -> str:
    """By what a schedule is known again."""
    return sha256_of(schedule.dumps().encode())


def complexity(schedule: Schedule) -> tuple[int, ...]:
    """The order of schedules: fewer faults, fewer switches, fewer limits, gentler kinds, fewer
    calls meant, smaller numbers of calls."""
    return (
        len(schedule.faults),
        len(schedule.switches),
        len(schedule.limits),
        sum(harshness(at.fault) for at in schedule.faults),
        sum(_breadth(at.at) for at in schedule.faults)
        + sum(switch.at.call == "*" for switch in schedule.switches),
        sum(at.at.first for at in schedule.faults)
        + sum(switch.at.first for switch in schedule.switches),
    )


def harshness(fault: Fault) -> int:
    """Its place among the kinds, the gentlest the least: an EINTR says that nothing is wrong, only
    that the call is to be made again."""
    is_interrupted = isinstance(fault, ErrnoFault) and fault.errno == "EINTR"
    return 0 if is_interrupted else 1 + GENTLE.index(type(fault))


def _breadth(at: Trigger) -> int:
    return (at.last is None) + ("*" in at.role) + (at.call not in CALLS)


class Shrinker:
    """A search that starts at *schedule*, which has the finding, as its trial *shown* tells.

    *best* is the simplest schedule known so far; at the end it is one-minimal in faults, switches
    and, when *limits* may go, limits. Only what *may_be* there takes the place of a harsher fault.
    `passed` counts by pass how often it helped, `asked` how many schedules were asked about."""

    def __init__(
        self,
        schedule: Schedule,
        shown: Shown,
        *,
        limits: bool = False,
        may_be: Callable[[FaultAt], bool] = lambda at: True,
    ) -> None:
        self.best = schedule
        self.shown = shown
        self.asked = 0
        self.passed: dict[str, int] = {}
        self._limits = limits
        self._may_be = may_be
        self._without: set[str] = set()

    def search(self) -> Search:
        """Each pass in turn, until none of them helps any more."""
        before = None
        while before != self.best:
            before = self.best
            for name, one in self._passes():
                simpler = self.best
                yield from one()
                if simpler != self.best:
                    self.passed[name] = self.passed.get(name, 0) + 1

    def _passes(self) -> Iterable[tuple[str, Callable[[], Search]]]:
        yield "no faults", lambda: self._without_all("faults")
        yield "no switches", lambda: self._without_all("switches")
        yield "what was met", self._only_what_was_met
        yield "fewer faults", lambda: self._fewer("faults")
        yield "fewer switches", lambda: self._fewer("switches")
        if self._limits:
            yield "fewer limits", lambda: self._fewer("limits")
        yield "one switch", self._one_switch
        yield "one call", self._one_call
        yield "gentler", self._gentler
        yield "earlier", self._earlier

    # Asking

    def _first_of(
        self, candidates: Iterable[Schedule]
    ) -> Generator[Sequence[Schedule], Reply, int]:
        """Take the first of *candidates* that is simpler and has the finding; its place, or -1."""
        bound = complexity(self.best)
        places, asked, digests = [], [], list[str]()
        for place, candidate in enumerate(candidates):
            digest = digest_of(candidate)
            if complexity(candidate) < bound and digest not in self._without | {*digests}:
                places.append(place)
                asked.append(candidate)
                digests.append(digest)
        if not asked:
            return -1
        reply = yield asked
        index = len(asked) if reply is None else reply[0]
        self.asked += min(index + 1, len(asked))
        self._without.update(digests[:index])
        if reply is None:
            return -1
        self.best, self.shown = asked[index], reply[1]
        return places[index]

    def _while_it_helps(self, candidates: Callable[[], Iterable[Schedule]]) -> Search:
        while (yield from self._first_of(candidates())) >= 0:
            pass

    # The passes

    def _without_all(self, entries: Entries) -> Search:
        yield from self._first_of([self._with(entries, ())])

    def _only_what_was_met(self) -> Search:
        """Without what has not come to pass in the trial, all at once."""
        faults = [
            at
            for at, met in zip(self.best.faults, self.shown.met, strict=False)
            if met or not self.shown.met
        ]
        unused = set(self.shown.unused)
        switches = [s for index, s in enumerate(self.best.switches) if index not in unused]
        applied = self._with("switches", tuple(switches))
        yield from self._first_of([replace(applied, faults=tuple(faults)), applied])

    def _fewer(self, entries: Entries) -> Search:
        """ddmin: parts of the list, then all but a part, in ever smaller parts."""
        parts, after = 2, 0
        while all_ := getattr(self.best, entries):
            parts = min(parts, len(all_))
            pieces = _split(all_, parts)
            order = [*range(after, parts), *range(after)]
            kept = [pieces[i] for i in order] if parts > 2 else []
            kept += [_joined(p for j, p in enumerate(pieces) if j != i) for i in order]
            place = yield from self._first_of(self._with(entries, one) for one in kept)
            if place < 0:
                if parts == len(all_):
                    return
                parts, after = parts * 2, 0
            elif len(kept) > parts and place < parts:
                parts, after = 2, 0
            else:  # go on behind the part that could go
                after = order[place - (len(kept) - parts)]
                parts = max(parts - 1, 2)
                after = after if after < parts else 0

    def _one_switch(self) -> Search:
        """Several switches may do what one at another place does."""
        if len(self.best.switches) < 2:
            return
        # Nearest to where the trial left the default policy first.
        decisions = self.shown.decisions
        left = [i for i, one in enumerate(decisions) if one.chosen != one.role]
        near = sorted(
            range(len(decisions)), key=lambda i: min((abs(i - j) for j in left), default=i)
        )
        places = [
            Switch(at=_event(decisions[i]), run=run) for i in near for run in decisions[i].others
        ]
        singles = (self._with("switches", (one,)) for one in places[:_SINGLES_MAX])
        yield from self._first_of(singles)

    def _one_call(self) -> Search:
        """A pattern becomes one call that it met, a number of an event the name of its call."""
        for index, at in enumerate(self.best.faults):
            if _breadth(at.at) and index < len(self.shown.met):
                exact = [
                    self._at("faults", index, replace(at, at=met)) for met in self.shown.met[index]
                ]
                yield from self._first_of(exact)
        decisions = {(one.role, one.total): one for one in self.shown.decisions}
        for index, switch in enumerate(self.best.switches):
            decision = decisions.get((switch.at.role, switch.at.first))
            if switch.at.call == "*" and decision is not None and decision.call in CALLS:
                named = replace(switch, at=_call(decision))
                yield from self._first_of([self._at("switches", index, named)])

    def _gentler(self) -> Search:
        for index, at in enumerate(self.best.faults):
            others = [replace(at, fault=fault) for fault in _gentler_than(at)]
            gentler = [self._at("faults", index, other) for other in others if self._may_be(other)]
            yield from self._first_of(gentler)

    def _earlier(self) -> Search:
        """At an earlier call of the same name, and switches to the same task at an earlier step."""
        for index in range(len(self.best.faults)):
            yield from self._while_it_helps(partial(self._earlier_faults, index))
        for index in range(len(self.best.switches)):
            yield from self._while_it_helps(partial(self._earlier_switches, index))

    def _earlier_faults(self, index: int) -> Iterable[Schedule]:
        at = self.best.faults[index]
        for first in _below(range(1, at.at.first)):
            last = None if at.at.last is None else first
            earlier = replace(at, at=replace(at.at, first=first, last=last))
            yield self._at("faults", index, earlier)

    def _earlier_switches(self, index: int) -> Iterable[Schedule]:
        switch = self.best.switches[index]
        by_name = switch.at.call != "*"
        places = [
            _call(one) if by_name else _event(one)
            for one in self.shown.decisions
            if one.role == switch.at.role
            and switch.run in one.others
            and (one.call == switch.at.call or not by_name)
        ]
        earlier = sorted({at.first: at for at in places if at.first < switch.at.first}.items())
        for place in _below(range(len(earlier))):
            yield self._at("switches", index, replace(switch, at=earlier[place][1]))

    # Variants of the best

    def _with(self, entries: Entries, kept: Sequence[object]) -> Schedule:
        changed: dict[str, Any] = {entries: tuple(kept)}
        return replace(self.best, **changed)

    def _at(self, entries: Literal["faults", "switches"], index: int, entry: object) -> Schedule:
        changed = list[object](getattr(self.best, entries))
        changed[index] = entry
        return self._with(entries, changed)


def _split(entries: Sequence[object], parts: int) -> list[Sequence[object]]:
    size = len(entries)
    return [entries[size * i // parts : size * (i + 1) // parts] for i in range(parts)]


def _joined(pieces: Iterable[Sequence[object]]) -> Sequence[object]:
    return [entry for piece in pieces for entry in piece]


def _below(numbers: range) -> list[int]:
    """Some of *numbers*, in order: the first, then ever nearer to the last, and the last."""
    found, low = list[int](), 0
    while low < len(numbers):
        found.append(numbers[low])
        low += max(1, (len(numbers) - low) // 2)
    return found


def _event(decision: Decision) -> Trigger:
    return Trigger(role=decision.role, call="*", first=decision.total, last=decision.total)


def _call(decision: Decision) -> Trigger:
    return Trigger(role=decision.role, call=decision.call, first=decision.nth, last=decision.nth)


def _gentler_than(at: FaultAt) -> list[Fault]:
    """The faults that are of a gentler kind and can be at all the calls that *at* means. Not EINTR:
    whether the caller handles any signal is not known here."""
    errnos = {failure.errno for name in at.calls() for failure in FAILURES.get(name, ())}
    errnos -= {"EINTR"}
    gentler: list[Fault] = [ShortFault(count=1), *(ErrnoFault(errno=e) for e in sorted(errnos))]
    gentler += [CrashAfterFault(), CrashFault()]
    return [
        fault
        for fault in gentler
        if harshness(fault) < harshness(at.fault) and _can_be_at(fault, at.at.call)
    ]


def _can_be_at(fault: Fault, pattern: str) -> bool:
    try:
        for name in matching(pattern):
            fault.check_call(CALLS[name])
    except ScheduleError:
        return False
    return True
