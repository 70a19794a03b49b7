"""The sweep: one trial for each thing that can go wrong at each call of the golden run.

What it finds does not depend on how many runners there are, nor on which of them was faster:
everything is put into the order of the points before it is compared.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace

from ..errors import UsageError
from ..handlers import Handlers
from ..oracle import Oracle
from ..points import KINDS, PHASES, Point, check_kinds, points
from ..subject import TrialPlan
from ..trace import Trace
from .golden import golden_in, handlers_of, seen_whole
from .pool import Pool
from .prune import Pruning, classes
from .recovery import Golden, NewPoint, Step, role_pattern
from .store import DIRECTORY
from .sweep_cases import Case, cases_of, that_lasts
from .sweep_result import Progress, SweepResult
from .sweep_tally import Tally
from .sweep_trials import Trials
from .trial import TrialResult
from .variants import with_contents

#: Gets the number of each trial that tells something, and what it gave.
_Note = Callable[[int, TrialResult], None]


def sweep(
    plan: TrialPlan,
    *,
    kinds: Sequence[str] = KINDS,
    roles: str | None = None,
    calls: str = "*",
    phases: Sequence[str] = PHASES,
    lasting: bool = False,
    pairs: bool = False,
    prune: bool = False,
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
    on. *pairs*: a second thing goes wrong at each call that is there only after the first; what is
    found by two faults is shrunk. *prune*:
    of calls after which the program goes on alike not all are tried. *exitfirst*: the first finding
    ends it. *jobs* trials run at once, on *cpus* in turn (all that we may use, unless given), or in
    *pool*, which is of no use any more when an error is raised or the sweep was interrupted.
    *budget_s* bounds the time by *clock* in seconds: what runs then is given up. What is found is
    recorded in the directory *store*; None: nowhere. A KeyboardInterrupt ends it early, and is part
    of the result.

    Raises `HarnessError` when the golden run does not pass, does not repeat, or has not ended
    within the budget, `UsageError` when there is no fault point, `MachineError` where no trial can
    be held.
    """
    began = clock()
    words = check_kinds(kinds)
    pattern = f"{plan.roots[0]}**" if roles is None else roles
    with contextlib.nullcontext(pool) if pool else Pool(jobs, cpus) as pool:
        until = None if budget_s is None else began + budget_s
        golden = golden_in(pool, seen_whole(plan, pattern, calls), oracles, until, clock)
        plan = with_contents(plan, golden.outcome)
        handlers = handlers_of(plan)
        there = points(golden.trace, pattern, calls, phases, handlers)
        cases = cases_of(there, words)
        if not cases:
            raise UsageError(_no_point(golden.trace, there, pattern, calls, words))
        tally = Tally(plan, golden.outcome, oracles)

        def show() -> None:
            if on_progress is not None:
                on_progress(_progress(tally, clock() - began))

        trials = Trials(
            plan, pool, tally, until=until, exitfirst=exitfirst, clock=clock, ended=show
        )
        search = _Search(trials, golden.trace, there, handlers)
        notes: list[_Note] = [search.note_what_lasts] if lasting else []
        notes += [search.note_what_is_new(pattern, calls, phases)] if pairs else []

        def learn(number: int, result: TrialResult) -> None:
            for note in notes:
                note(number, result)

        interrupted = None
        try:
            search.once(cases, prune=prune, learn=learn)
            search.lasting()
            search.pairs(words)
            tally.shrink_pairs(pool, until=until, clock=clock)
        except KeyboardInterrupt as signal:
            interrupted = signal
    every = len(there) + tally.new_calls
    return SweepResult(
        golden=golden,
        calls=every,
        points=tally.points,
        covered=tally.covered,
        pruned=tally.pruned_points,
        new_points=tally.new_points,
        new_covered=tally.new_covered,
        kinds=tuple(tally.of_kind(word, every) for word in words),
        trials=len(tally.ended),
        fired=tally.fired,
        did_not_fire=len(tally.ended) - tally.fired,
        findings=tally.found(store),
        inconclusive=tally.unclear(),
        shrinking_trials=tally.shrinking_trials,
        seconds=clock() - began,
        interrupted=interrupted,
    )


# ---- The golden run ------------------------------------------------------------------------------


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


# ---- The rounds ----------------------------------------------------------------------------------


class _Search:
    """All rounds of a sweep: what goes wrong once at each of *there*; then what lasts; then a
    second thing at what is new after the first.

    A case that is known of is in the tally, whether or not it is run in the end."""

    def __init__(
        self, trials: Trials, golden: Trace, there: Sequence[Point], handlers: Handlers
    ) -> None:
        self._trials, self._tally = trials, trials.tally
        self._golden, self._there = golden, there
        self._held_against = Golden(golden, handlers)
        self._longer = dict[int, Case]()
        self._new = dict[tuple[str, tuple[Step, ...]], tuple[int, NewPoint]]()

    def once(self, cases: Sequence[Case], *, prune: bool, learn: _Note) -> None:
        """Run *cases*, or with *prune* those of them that it takes. *learn* gets each that tells
        something."""
        numbers = self._tally.add(cases)
        pruning = Pruning(self._series(numbers) if prune else [])
        known = dict[int, Hashable]()
        todo: Iterable[int] = pruning.wanted(known) if prune else numbers
        while todo:
            for number, result in self._trials.run(todo):
                if result is not None:
                    learn(number, result)
                if prune:
                    known[number] = self._tally.judged(number), self._went_on(number, result)
            todo = pruning.wanted(known) if prune and not self._trials.is_at_its_end else ()
            self._tally.prune(pruning.pruned)

    def note_what_lasts(self, number: int, result: TrialResult) -> None:
        """The case of that number may be another trial if it lasts."""
        if longer := that_lasts(self._tally.cases[number], result.trace):
            self._longer[number] = longer

    def lasting(self) -> None:
        """Run what lasts."""
        more = self._tally.add([case for _, case in sorted(self._longer.items())])
        for _ in self._trials.run(more):
            pass

    def note_what_is_new(self, roles: str, calls: str, phases: Sequence[str]) -> _Note:
        """Notes the points of these roles, calls and phases that are there only after a fault. Each
        way of going on counts once, with the first fault that it is met after. What fails already
        needs no second fault."""

        def note(number: int, result: TrialResult) -> None:
            if not self._tally.has_passed(number):
                return
            at = self._tally.cases[number].at.at
            for new in self._held_against.new_points(result.trace, at, roles, calls, phases):
                key = new.point.at.phase, new.way
                if key not in self._new or number < self._new[key][0]:
                    self._new[key] = number, new

        return note

    def pairs(self, kinds: Sequence[str]) -> None:
        """Run a second fault at each point that is new."""
        new = sorted(
            self._new.values(),
            key=lambda each: (each[0], each[1].point.event.nth, len(each[1].way)),
        )
        cases = [
            replace(case, point=len(self._there) + place, after=self._tally.cases[number].at)
            for place, (number, one) in enumerate(new)
            for case in cases_of([one.point], kinds)
        ]
        self._tally.new_calls = len(new)
        for _ in self._trials.run(self._tally.add(cases)):
            pass

    def _series(self, numbers: Iterable[int]) -> list[list[int]]:
        """The cases of one class of points, with the same fault."""
        of = [*classes(self._golden, self._there)]
        series = dict[Hashable, list[int]]()
        for number in numbers:
            case = self._tally.cases[number]
            series.setdefault((of[case.point], case.at.fault), []).append(number)
        return [*series.values()]

    def _went_on(self, number: int, result: TrialResult | None) -> Hashable:
        """How the program went on after the fault; None when that is not known."""
        if result is None:
            return None
        ends = [(role_pattern(client.role), client.status) for client in result.outcome.clients]
        at = self._tally.cases[number].at.at
        return (
            result.outcome.status,
            tuple(ends),
            self._held_against.recovery(result.trace, at),
        )


def _progress(tally: Tally, seconds: float) -> Progress:
    return Progress(
        trials=len(tally.ended),
        trials_all=len(tally.cases) - len(tally.pruned),
        points=tally.covered,
        points_all=tally.points,
        findings=tally.findings,
        seconds=seconds,
    )
