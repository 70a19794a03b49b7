"""The sweep: one trial for each thing that can go wrong at each call of the golden run.

What it finds does not depend on how many runners there are, nor on which of them was faster:
everything is put into the order of the points before it is compared.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from ..calls import CALLS, matching
from ..errors import RunnerError, UsageError
from ..fault import HoldFault
from ..oracle import Oracle
from ..points import KINDS, PHASES, Point, check_kinds, points
from ..schedule import NTH_MAX, FaultAt, Trigger
from ..subject import TrialPlan
from ..trace import Trace
from .golden import golden_in
from .pool import Answer, Pool
from .store import DIRECTORY
from .sweep_cases import Case, cases_of, in_turn, that_lasts
from .sweep_result import Progress, SweepResult
from .sweep_tally import Tally
from .trial import TrialResult

#: Says of no call that it fails: what it names is seen, that is all.
_NEVER = HoldFault()


def sweep(
    plan: TrialPlan,
    *,
    kinds: Sequence[str] = KINDS,
    roles: str | None = None,
    calls: str = "*",
    phases: Sequence[str] = PHASES,
    lasting: bool = False,
    exitfirst: bool = False,
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
    unless given; *calls* is as in a trigger. *lasting*: what can last is tried also from that call
    on. *exitfirst*: the first finding ends it. *jobs* trials run at once, on *cpus* in turn (all
    that we may use, unless given), or in *pool*, which is of no use any more when an error is
    raised or the sweep was interrupted. *budget_s* bounds the time by *clock* in seconds, but for
    the golden run: what runs then is given up. What is found is recorded in the directory *store*;
    None: nowhere. A KeyboardInterrupt ends it early, and is part of the result.

    Raises `HarnessError` when the golden run does not pass or does not repeat, `UsageError` when
    there is no fault point, `MachineError` where no trial can be held.
    """
    began = clock()
    words = check_kinds(kinds)
    pattern = f"{plan.roots[0]}**" if roles is None else roles
    with contextlib.nullcontext(pool) if pool else Pool(jobs, cpus) as pool:
        golden = golden_in(pool, _watching(plan, pattern, calls), oracles)
        there = points(golden.trace, pattern, calls, phases)
        cases = cases_of(there, words)
        if not cases:
            raise UsageError(_no_point(golden.trace, there, pattern, calls, words))
        tally = Tally(plan, golden.outcome, oracles)

        def show() -> None:
            if on_progress is not None:
                on_progress(_progress(tally, clock() - began))

        until = None if budget_s is None else began + budget_s
        trials = _Trials(plan, pool, tally, until=until, exitfirst=exitfirst, clock=clock)
        interrupted = None
        try:
            _search(trials, cases, show, lasting=lasting)
        except KeyboardInterrupt as signal:
            interrupted = signal
    return SweepResult(
        golden=golden,
        calls=len(there),
        points=tally.points,
        covered=tally.covered,
        kinds=tuple(tally.of_kind(word, len(there)) for word in words),
        trials=len(tally.ended),
        fired=tally.fired,
        did_not_fire=len(tally.ended) - tally.fired,
        findings=tally.found(store),
        inconclusive=tally.unclear(),
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


class _Trials:
    """Runs cases by their numbers, in rounds: what a round is, is decided by those before it."""

    def __init__(
        self,
        plan: TrialPlan,
        pool: Pool,
        tally: Tally,
        *,
        until: float | None,
        exitfirst: bool,
        clock: Callable[[], float],
    ) -> None:
        self.tally = tally
        self._plan, self._pool, self._clock = plan, pool, clock
        self._until, self._exitfirst = until, exitfirst

    def run(self, these: Iterable[int]) -> Iterator[tuple[int, TrialResult | None]]:
        """Run these cases. Each that has ended, with what it gave, or None when that tells nothing;
        none that there was no time for."""
        order = in_turn(self.tally.cases, these)
        answers = self._pool.run(self._plans(order), self._until, self._clock)
        if self._exitfirst:  # so that which is the first does not depend on the runners
            answers = _in_order(order, answers)
        for number, answer in answers:
            if self._is_over() and isinstance(answer, RunnerError):
                continue  # given up
            tells = self.tally.take(number, answer)
            yield number, answer if tells and isinstance(answer, TrialResult) else None
            if self._is_enough():
                break
        for _ in answers:
            pass  # those that had begun; whoever runs next must not get their answers

    def _plans(self, order: Sequence[int]) -> Iterator[tuple[int, TrialPlan]]:
        schedule = self._plan.schedule
        for number in order:
            if self._is_over() or self._is_enough():
                return
            faulted = replace(schedule, faults=(*schedule.faults, self.tally.cases[number].at))
            yield number, replace(self._plan, schedule=faulted)

    def _is_over(self) -> bool:
        return self._until is not None and self._clock() >= self._until

    def _is_enough(self) -> bool:
        return self._exitfirst and self.tally.findings > 0


def _in_order(
    order: Sequence[int], answers: Iterator[tuple[int, Answer]]
) -> Iterator[tuple[int, Answer]]:
    """*answers*, in that order in place of the one in which they come."""
    come = dict[int, Answer]()
    turn = iter(order)
    wanted = next(turn, None)
    for number, answer in answers:
        come[number] = answer
        while wanted in come:
            yield wanted, come.pop(wanted)
            wanted = next(turn, None)


def _search(
    trials: _Trials, cases: Sequence[Case], show: Callable[[], None], *, lasting: bool
) -> None:
    """All rounds. A case that is known of is in the tally, whether or not it is run in the end."""
    tally = trials.tally
    longer = list[Case]()
    try:
        for number, result in trials.run(tally.add(cases)):
            show()
            if lasting and result is not None:
                longer += that_lasts(tally.cases[number], result.trace)
    finally:
        more = tally.add(sorted(longer, key=lambda case: case.point))
    for _ in trials.run(more):
        show()


def _progress(tally: Tally, seconds: float) -> Progress:
    return Progress(
        trials=len(tally.ended),
        trials_all=len(tally.cases),
        points=tally.covered,
        points_all=tally.points,
        findings=tally.findings,
        seconds=seconds,
    )
