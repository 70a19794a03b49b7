"""The sweep: one trial for each thing that can go wrong at each call of the golden run.

What it finds does not depend on how many runners there are, nor on which of them was faster:
everything is put into the order of the points before it is compared.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from ..calls import CALLS, matching
from ..errors import HarnessError, UsageError
from ..fault import Fault, HoldFault
from ..oracle import Oracle, judged_by
from ..points import KINDS, PHASES, Point, check_kinds, faults_at, points
from ..schedule import NTH_MAX, FaultAt, Trigger
from ..subject import TrialPlan
from ..trace import Trace
from ..verdict import Finding, Outcome, Verdict
from .golden import golden_in
from .pool import Answer, Pool
from .record import record
from .store import DIRECTORY, save
from .trial import TrialResult

#: Says of no call that it fails: what it names is seen, that is all.
_NEVER = HoldFault()


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """One thing that was found, at the trial with the fewest events that shows it.

    *others* are the faults at which it was found too. *ident* is the id of its recording, or None
    and *not_recorded* says why."""

    finding: Finding
    verdict: Verdict
    fault: FaultAt
    result: TrialResult
    others: tuple[FaultAt, ...] = ()
    ident: str | None = None
    not_recorded: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unclear:
    """A trial that says nothing, and why."""

    fault: FaultAt
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class KindTally:
    """What became of one kind of fault: *calls* = *tried* + *not_applicable* + *left_out*.

    A call is *tried* when all *trials* of it have been run, *left_out* when the time was over
    before."""

    kind: str
    calls: int
    tried: int
    not_applicable: int
    left_out: int
    trials: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepResult:
    """What a sweep did and found.

    Of *calls* that were asked for, at *points* something can go wrong, and *covered* of these were
    tried in each way. Of *trials* in *fired* the fault was met; in *did_not_fire* not, as when a
    short transfer has nothing to shorten. *interrupted* is what ended it early."""

    golden: TrialResult
    calls: int
    points: int
    covered: int
    kinds: tuple[KindTally, ...]
    trials: int
    fired: int
    did_not_fire: int
    findings: tuple[Found, ...]
    inconclusive: tuple[Unclear, ...]
    seconds: float
    pruned: int = 0
    interrupted: KeyboardInterrupt | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a sweep is: trials that have ended of those there are, points likewise."""

    trials: int
    trials_all: int
    points: int
    points_all: int
    findings: int
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class _Case:
    """One trial that is to be run."""

    point: int
    kind: str
    at: FaultAt


@dataclass(frozen=True, kw_only=True, slots=True)
class _Failed:
    case: int
    verdict: Verdict
    result: TrialResult

    @property
    def size(self) -> tuple[int, int]:
        """The smallest of those that fail alike is shown; of equal ones, the first."""
        return len(self.result.trace.events), self.case


class _Group:
    """The trials that fail alike. Of all but the smallest only their numbers are kept: there may be
    thousands."""

    def __init__(self, first: _Failed) -> None:
        self.smallest = first
        self.cases = [first.case]

    def add(self, other: _Failed) -> None:
        self.smallest = min(self.smallest, other, key=lambda failed: failed.size)
        self.cases.append(other.case)


class _Tally:
    """What has been run so far, by the number of the case."""

    def __init__(self, cases: Sequence[_Case]) -> None:
        self.cases = cases
        self.ended: set[int] = set()
        self.fired = 0
        self.failed: dict[tuple[str, str, str], _Group] = {}
        self.unclear: dict[int, str] = {}
        self._open = Counter(case.point for case in cases)

    def end(self, case: int) -> None:
        self.ended.add(case)
        self._open[self.cases[case].point] -= 1

    @property
    def points(self) -> int:
        return len(self._open)

    @property
    def covered(self) -> int:
        return sum(not count for count in self._open.values())


def sweep(
    plan: TrialPlan,
    *,
    kinds: Sequence[str] = KINDS,
    roles: str | None = None,
    calls: str = "*",
    phases: Sequence[str] = PHASES,
    jobs: int = 1,
    cpus: Sequence[int] = (),
    pool: Pool | None = None,
    budget_s: float | None = None,
    oracles: Sequence[Oracle] = (),
    on_progress: Callable[[Progress], None] | None = None,
    store: str | None = DIRECTORY,
    clock: Callable[[], float] = time.monotonic,
) -> SweepResult:
    """Let go wrong at each call what can, one thing a trial.

    *plan* is the trial without faults; it must pass, and go the same way twice. *kinds* are words
    of `points.faults_at`. *roles* is a pattern, the subject's first task and what descends from it
    unless given; *calls* is as in a trigger. *jobs* trials run at once, on *cpus* in turn (all that
    we may use, unless given), or in *pool*, which is of no use any more when an error is raised or
    the sweep was interrupted. *budget_s* bounds the time by *clock* in seconds: no trial begins
    after it. What is found is recorded in the directory *store*; None: nowhere. A KeyboardInterrupt
    ends it early, and is part of the result.

    Raises `HarnessError` when the golden run does not pass or does not repeat, `UsageError` when
    there is no fault point, `MachineError` where no trial can be held.
    """
    began = clock()
    words = check_kinds(kinds)
    pattern = f"{plan.roots[0]}**" if roles is None else roles
    with contextlib.nullcontext(pool) if pool else Pool(jobs, cpus) as pool:
        golden = golden_in(pool, _watching(plan, pattern, calls), oracles)
        there = points(golden.trace, pattern, calls, phases)
        cases = _cases(there, words)
        if not cases:
            raise UsageError(_no_point(golden.trace, there, pattern, calls, words))
        tally = _Tally(cases)
        interrupted = None
        until = None if budget_s is None else began + budget_s
        try:
            for case, answer in pool.run(_plans(plan, cases, until, clock)):
                _take(tally, case, answer, plan, golden.outcome, oracles)
                if on_progress is not None:
                    on_progress(_progress(tally, clock() - began))
        except KeyboardInterrupt as signal:
            interrupted = signal
    return SweepResult(
        golden=golden,
        calls=len(there),
        points=tally.points,
        covered=tally.covered,
        kinds=tuple(_of_kind(word, len(there), tally) for word in words),
        trials=len(tally.ended),
        fired=tally.fired,
        did_not_fire=len(tally.ended) - tally.fired,
        findings=_found(plan, tally, golden.outcome, store),
        inconclusive=tuple(
            Unclear(fault=cases[case].at, reason=reason)
            for case, reason in sorted(tally.unclear.items())
        ),
        seconds=clock() - began,
        interrupted=interrupted,
    )


# ---- The golden run ------------------------------------------------------------------------------


def _watching(plan: TrialPlan, roles: str, calls: str) -> TrialPlan:
    """*plan* in which those of *calls* are seen too that only the caller itself is concerned by, as
    mmap: a call is seen only where a fault names it."""
    if all(CALLS[name].trapped for name in matching(calls)):
        return plan
    watch = FaultAt(at=Trigger(role=roles, call=calls, first=NTH_MAX, last=NTH_MAX), fault=_NEVER)
    return replace(plan, schedule=replace(plan.schedule, faults=(watch,)))


def _no_point(
    trace: Trace, there: Sequence[Point], roles: str, calls: str, kinds: Sequence[str]
) -> str:
    if there:
        return (
            f"there is nothing that {', '.join(kinds)} could do at the {len(there)} calls"
            f" {calls} of {roles}"
        )
    names = sorted({event.role for event in trace.events if event.role != "-"})
    return f"no fault point: {roles} makes no call {calls}; there were {', '.join(names)}"


# ---- The trials ----------------------------------------------------------------------------------


def _cases(there: Sequence[Point], kinds: Sequence[str]) -> list[_Case]:
    """All trials, in the order of the points."""
    return [
        _Case(point=number, kind=kind, at=point.faulted(fault))
        for number, point in enumerate(there)
        for kind in kinds
        for fault in faults_at(point, kind)
    ]


def _plans(
    plan: TrialPlan, cases: Sequence[_Case], until: float | None, clock: Callable[[], float]
) -> Iterator[tuple[int, TrialPlan]]:
    """A plan for each case. The first call of each name and role comes first, with each fault, then
    the second: most of what there is to find is found early, should the time be short."""
    met = Counter[tuple[str, str, Fault]]()
    turn = []
    for case in cases:
        key = (case.at.at.role, case.at.at.call, case.at.fault)
        turn.append(met[key])
        met[key] += 1
    for number in sorted(range(len(cases)), key=turn.__getitem__):
        if until is not None and clock() >= until:
            return
        schedule = plan.schedule
        faulted = replace(schedule, faults=(*schedule.faults, cases[number].at))
        yield number, replace(plan, schedule=faulted)


def _take(
    tally: _Tally,
    case: int,
    answer: Answer,
    plan: TrialPlan,
    golden: Outcome,
    oracles: Sequence[Oracle],
) -> None:
    """Judge one trial and note what came of it."""
    tally.end(case)
    if isinstance(answer, HarnessError):
        tally.unclear[case] = str(answer)
        return
    fired = bool(answer.outcome.fired[-1])
    tally.fired += fired
    verdict = judged_by(oracles, plan.roots[0], answer.outcome, golden, answer.schedule)
    if verdict.status == "INCONCLUSIVE":
        tally.unclear[case] = verdict.reason
    elif verdict.status == "FAIL" and not fired:
        tally.unclear[case] = (
            f"it did not fire, and yet {verdict.findings[0].describe()}: it does not run the same"
        )
    elif verdict.status == "FAIL":
        key = verdict.findings[0].identity()
        failed = _Failed(case=case, verdict=verdict, result=answer)
        if key in tally.failed:
            tally.failed[key].add(failed)
        else:
            tally.failed[key] = _Group(failed)


def _progress(tally: _Tally, seconds: float) -> Progress:
    return Progress(
        trials=len(tally.ended),
        trials_all=len(tally.cases),
        points=tally.covered,
        points_all=tally.points,
        findings=len(tally.failed),
        seconds=seconds,
    )


# ---- What came of it -----------------------------------------------------------------------------


def _of_kind(kind: str, calls: int, tally: _Tally) -> KindTally:
    mine = [number for number, case in enumerate(tally.cases) if case.kind == kind]
    there = {tally.cases[number].point for number in mine}
    left = {tally.cases[number].point for number in mine if number not in tally.ended}
    return KindTally(
        kind=kind,
        calls=calls,
        tried=len(there - left),
        not_applicable=calls - len(there),
        left_out=len(left),
        trials=sum(number in tally.ended for number in mine),
    )


def _found(plan: TrialPlan, tally: _Tally, golden: Outcome, store: str | None) -> tuple[Found, ...]:
    """A group for each different finding, the smallest first; recorded."""
    found = []
    for group in sorted(tally.failed.values(), key=lambda group: group.smallest.size):
        first = group.smallest
        others = sorted(case for case in group.cases if case != first.case)
        ident, why = _recorded(plan, first, golden, store)
        found.append(
            Found(
                finding=first.verdict.findings[0],
                verdict=first.verdict,
                fault=tally.cases[first.case].at,
                result=first.result,
                others=tuple(tally.cases[case].at for case in others),
                ident=ident,
                not_recorded=why,
            )
        )
    return tuple(found)


def _recorded(
    plan: TrialPlan, failed: _Failed, golden: Outcome, store: str | None
) -> tuple[str | None, str]:
    """The id of the recording, or why there is none."""
    if store is None:
        return None, "nobody asked for recordings"
    try:
        recording = record(plan, failed.result, failed.verdict, golden)
        return save(recording, store), ""
    except OSError as error:
        return None, f"{store}: {error.strerror}"
    except HarnessError as error:
        return None, str(error)
