"""Shrinking a finding by trials: from a schedule that has it to the simplest that still does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..duration import duration_text
from ..errors import HarnessError
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
from ..oracle import Oracle, judged_by
from ..schedule import FaultAt, Schedule, Trigger, role_matches
from ..subject import TrialPlan
from ..trace import CONTINUED, NO_ROLE, Event
from ..verdict import Finding, Outcome, Verdict
from .pool import Pool
from .shrink_passes import Reply, Shown, Shrinker
from .trial import TrialResult

Identity = tuple[str, str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shrunk:
    """The simplest trial that has the finding.

    *complete*: no entry of its schedule can be left out; else the time, or the *trials* that were
    allowed, did not suffice, or it was *interrupted*. *dropped* are the faults that do not matter.
    """

    result: TrialResult
    verdict: Verdict
    dropped: tuple[FaultAt, ...]
    trials: int
    seconds: float
    complete: bool
    interrupted: KeyboardInterrupt | None = None

    @property
    def schedule(self) -> Schedule:
        return self.result.schedule


@dataclass(frozen=True, kw_only=True, slots=True)
class ShrinkProgress:
    """How far it is: trials that have ended, and the entries of the simplest schedule so far."""

    trials: int
    faults: int
    switches: int
    seconds: float


#: One comparison with the golden run under two names, by whether a fault has fired that it might
#: blame: the same finding, or a fault could never be left out.
_ONE_COMPARISON = {"order-does-not-matter": "honest-result"}


def identity_of(finding: Finding) -> Identity:
    """Equal for the same finding in two trials, of which one may have no fault."""
    oracle, role, what = finding.identity()
    return _ONE_COMPARISON.get(oracle, oracle), role, what


@dataclass(frozen=True, kw_only=True, slots=True)
class Aim:
    """What is asked of a trial: whether its first finding has this *identity*.

    Judged against *golden*, by *oracles* too, as it was when it was found."""

    plan: TrialPlan
    identity: Identity
    golden: Outcome | None
    oracles: Sequence[Oracle] = ()

    def trial_of(self, schedule: Schedule) -> TrialPlan:
        """The plan that tries *schedule*."""
        return replace(self.plan, schedule=schedule, policy="default", decisions=True)

    def verdict_on(self, result: TrialResult) -> Verdict:
        """What is found in a trial of it."""
        return judged_by(
            self.oracles, self.plan.roots[0], result.outcome, self.golden, result.schedule
        )

    def is_met_by(self, verdict: Verdict) -> bool:
        """Whether it is the same finding."""
        return bool(verdict.findings) and identity_of(verdict.findings[0]) == self.identity


class _Trials:
    """Runs what a search asks for."""

    def __init__(
        self,
        aim: Aim,
        pool: Pool,
        *,
        until: float | None,
        trials_max: int | None,
        clock: Callable[[], float],
    ) -> None:
        self.aim = aim
        self.ended = 0
        self._cut_short = False
        self.smallest: tuple[TrialResult, Verdict] | None = None
        self._pool = pool
        self._until = until
        self._trials_max = trials_max
        self._clock = clock

    def first_of(self, schedules: Sequence[Schedule]) -> Reply:
        """The first of *schedules*, in their order, whose trial has the finding."""
        met: dict[int, tuple[TrialResult, Verdict]] = {}
        running = self._pool.run(self._plans(schedules, met), self._until, self._clock)
        for index, answer in running:
            if self._is_over():
                self._cut_short = True
            if isinstance(answer, HarnessError):
                continue
            self.ended += 1
            verdict = self.aim.verdict_on(answer)
            if self.aim.is_met_by(verdict):
                met[index] = answer, verdict
        if not met:
            return None
        # Those before it have been begun before it, so they have ended without the finding.
        first = min(met)
        self.smallest = met[first]
        return first, shown(met[first][0])

    def _plans(
        self, schedules: Sequence[Schedule], met: Mapping[int, object]
    ) -> Iterator[tuple[int, TrialPlan]]:
        for index, schedule in enumerate(schedules):
            if met or self._is_over():
                return
            yield index, self.aim.trial_of(schedule)

    def is_cut_short(self) -> bool:
        """Whether there was no time, or no trial left, for all that was asked for."""
        return self._cut_short

    def _is_over(self) -> bool:
        if self._trials_max is not None and self.ended >= self._trials_max:
            return True
        return self._until is not None and self._clock() >= self._until


def shrink(
    aim: Aim,
    schedule: Schedule,
    pool: Pool,
    *,
    limits: bool = False,
    may_be: Callable[[FaultAt], bool] = lambda at: True,
    until: float | None = None,
    trials_max: int | None = None,
    on_progress: Callable[[ShrinkProgress], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Shrunk | None:
    """The simplest schedule that *aim* is met by, from *schedule* on; None when that one is not.

    *limits*: they may go too. Only a fault that *may_be* there takes the place of one of a harsher
    kind. No trial begins when it is *until* by *clock*, in seconds, nor after
    *trials_max*; what runs then is given up. What it ends at does not depend on how many trials run
    at once, unless it ends for one of these. A KeyboardInterrupt ends it early, and is part of the
    result, unless it comes before the finding is seen again."""
    began = clock()
    trials = _Trials(aim, pool, until=until, trials_max=trials_max, clock=clock)
    reply = trials.first_of([schedule])
    if reply is None:
        return None
    shrinker = Shrinker(schedule, reply[1], limits=limits, may_be=may_be)
    interrupted: KeyboardInterrupt | None = None
    search = shrinker.search()
    try:
        candidates: Sequence[Schedule] | None = next(search, None)
        while candidates is not None and not trials.is_cut_short():
            reply = trials.first_of(candidates)
            if on_progress is not None:
                best = shrinker.best
                on_progress(
                    ShrinkProgress(
                        trials=trials.ended,
                        faults=len(best.faults),
                        switches=len(best.switches),
                        seconds=clock() - began,
                    )
                )
            if trials.is_cut_short() and reply is None:
                break  # not all were tried
            try:
                candidates = search.send(reply)
            except StopIteration:
                candidates = None
    except KeyboardInterrupt as signal:
        interrupted = signal
    assert trials.smallest is not None
    result, verdict = trials.smallest
    return Shrunk(
        result=result,
        verdict=verdict,
        dropped=_dropped(schedule, result.schedule),
        trials=trials.ended,
        seconds=clock() - began,
        complete=candidates is None and interrupted is None,
        interrupted=interrupted,
    )


def _dropped(before: Schedule, after: Schedule) -> tuple[FaultAt, ...]:
    """The faults of *before* of which nothing is left: one that was made smaller still matters."""
    left = list(after.faults)
    gone = []
    for at in before.faults:
        kin = [one for one in left if one == at] or [
            one
            for one in left
            if role_matches(at.at.role, one.at.role) and one.calls() & at.calls()
        ]
        if kin:
            left.remove(kin[0])
        else:
            gone.append(at)
    return tuple(gone)


# ---- What a trial shows --------------------------------------------------------------------------


def shown(result: TrialResult) -> Shown:
    """What the passes need to know of a trial."""
    outcome = result.outcome
    hit = [event for event in result.trace.events if event.action != CONTINUED]
    phases = _phases(result.trace.events)
    return Shown(
        events=len(result.trace.events),
        met=tuple(
            tuple(
                Trigger(
                    role=event.role,
                    call=event.call,
                    first=event.nth,
                    last=event.nth,
                    phase=phases[id(event)],
                )
                for event in hit
                if fired and _is_of(at, event) and phases[id(event)] == at.at.phase
            )
            for at, fired in zip(result.schedule.faults, outcome.fired, strict=True)
        ),
        unused=outcome.not_applied,
        decisions=result.decisions,
    )


def _phases(events: Sequence[Event]) -> dict[int, str]:
    """The phase of each event."""
    phase, found = "start", {}
    for event in events:
        if event.role == NO_ROLE and event.call == "phase":
            phase = event.args[0]
        found[id(event)] = phase
    return found


def _is_of(at: FaultAt, event: Event) -> bool:
    """Whether the fault *at* may be what was done at *event*."""
    return (
        event.action == _ACTIONS[type(at.fault)](at.fault)
        and event.call in at.calls()
        and role_matches(at.at.role, event.role)
    )


#: What a trace says was done, by the kind of fault.
_ACTIONS: dict[type[Fault], Callable[[Any], str]] = {
    ErrnoFault: lambda fault: f"fail:{fault.errno}",
    ShortFault: lambda fault: f"short:{fault.count}",
    EofFault: lambda fault: "eof",
    ResetFault: lambda fault: "reset",
    HoldFault: lambda fault: "hold",
    DelayFault: lambda fault: f"delay:{duration_text(fault.time_ns)}",
    PauseFault: lambda fault: f"pause:{duration_text(fault.time_ns)}",
    CrashFault: lambda fault: f"crash:{fault.signal}",
    CrashAfterFault: lambda fault: "crash-after",
    SignalFault: lambda fault: f"signal:{fault.signal}",
}
