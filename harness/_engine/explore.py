"""Exploring: many trials that differ in who goes when, and in what goes wrong; then the smallest
cause of each finding.

What it finds in a number of trials does not depend on how many runners there are, nor on which of
them was faster: what a trial showed counts from the LAG-th after it on, in the order in which they
were proposed.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from ..errors import HarnessError, UsageError
from ..oracle import Oracle, judged_by
from ..points import check_kinds, failing, points
from ..schedule import FaultAt, Schedule
from ..subject import TrialPlan
from ..verdict import Finding, Outcome, Verdict
from .coverage import Coverage, grams
from .golden import golden_in, handlers_of, seen_whole
from .pool import Answer, Pool
from .record import record
from .shrink import Aim, Identity, Shrunk, identity_of, shrink
from .shrink_passes import complexity
from .store import DIRECTORY, save
from .strategies import BOUND, CLAIMS, First, Lesson, Proposal, Strategy, strategy_named
from .trial import TrialResult
from .variants import with_contents

TRIALS = 1000
LAG = 16
#: Of a budget, the part that is left for shrinking once something was found.
_FOR_SHRINKING = 0.25
_SHRINK_TRIALS_MAX = 2000  # for each finding


@dataclass(frozen=True, kw_only=True, slots=True)
class Discovery:
    """One thing that was found: in trial *first*, counted from 1, and in *trials* of all.

    *before* is the simplest schedule by which a trial met it, *shrunk* what that came to. *flaky*:
    the same schedule has not shown it again. *result* and *verdict* are of the simplest trial that
    has it. *ident* is the id of its recording, or None and *not_recorded* says why."""

    finding: Finding
    first: int
    trials: int
    before: Schedule
    result: TrialResult
    verdict: Verdict
    shrunk: Shrunk | None = None
    flaky: bool = False
    ident: str | None = None
    not_recorded: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExploreResult:
    """What an exploration did and found.

    *trials* is without those of shrinking. *interleavings* is the number of different traces,
    *grams* that of different short runs of events and hand-overs. *claim* is what was proved, or
    nothing. *unfired* are the given faults that no trial met. *inconclusive* counts the trials that
    said nothing, by the reason. *interrupted* is what ended it early."""

    golden: TrialResult
    strategy: str
    trials: int
    interleavings: int
    grams: int
    claim: str
    findings: tuple[Discovery, ...]
    unfired: tuple[FaultAt, ...]
    inconclusive: tuple[tuple[str, int], ...]
    shrinking_trials: int
    seconds: float
    interrupted: KeyboardInterrupt | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ExploreProgress:
    """How far it is; *trials_max* and *seconds_max* are None when there is no such end."""

    trials: int
    trials_max: int | None
    interleavings: int
    findings: int
    seconds: float
    seconds_max: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Failed:
    number: int
    result: TrialResult
    verdict: Verdict

    @property
    def size(self) -> tuple[object, ...]:
        """The simplest is shrunk; of equal ones that with the shortest trace, the first."""
        return complexity(self.result.schedule), len(self.result.trace.events), self.number


class _Group:
    """The trials that fail alike; all but the simplest are only counted."""

    def __init__(self, one: _Failed) -> None:
        self.first = one.number
        self.count = 1
        self.simplest = one

    def add(self, other: _Failed) -> None:
        self.count += 1
        self.simplest = min(self.simplest, other, key=lambda failed: failed.size)

    @property
    def size(self) -> tuple[object, ...]:
        """That of its simplest trial."""
        return self.simplest.size


class _Tally:
    """What the trials have shown, taken in in their order."""

    def __init__(self, faults: int) -> None:
        self.trials = 0
        self.digests = set[str]()
        self.coverage = Coverage()
        self.groups: dict[Identity, _Group] = {}
        self.reasons = Counter[str]()
        self.fired = [0] * faults

    def take(
        self, number: int, answer: Answer, judge: Callable[[TrialResult], Verdict]
    ) -> Lesson | None:
        """Note trial *number*; what is to be learned of it."""
        self.trials += 1
        if isinstance(answer, HarnessError):
            self.reasons[str(answer)] += 1
            return None
        self.digests.add(answer.trace.digest)
        news = self.coverage.add(grams(answer.trace))
        for index in range(len(self.fired)):
            self.fired[index] += answer.outcome.fired[index]
        verdict = judge(answer)
        if verdict.status == "INCONCLUSIVE":
            self.reasons[verdict.reason] += 1
        elif verdict.status == "FAIL":
            failed = _Failed(number=number, result=answer, verdict=verdict)
            key = identity_of(verdict.findings[0])
            if key in self.groups:
                self.groups[key].add(failed)
            else:
                self.groups[key] = _Group(failed)
        return Lesson(
            schedule=answer.schedule,
            decisions=answer.decisions,
            news=news,
            as_told=not (answer.outcome.not_applied or answer.outcome.weakened),
        )


def explore(
    plan: TrialPlan,
    *,
    strategy: str = "mixed",
    bound: int = BOUND,
    kinds: Sequence[str] = (),
    faults: Sequence[FaultAt] = (),
    seed: int = 0,
    trials_max: int | None = None,
    budget_s: float | None = None,
    jobs: int = 1,
    cpus: Sequence[int] = (),
    pool: Pool | None = None,
    oracles: Sequence[Oracle] = (),
    on_progress: Callable[[ExploreProgress], None] | None = None,
    store: str | None = DIRECTORY,
    clock: Callable[[], float] = time.monotonic,
) -> ExploreResult:
    """Try orders of events, and judge each trial by the golden run.

    *plan* is the trial without faults; it must pass in the ordinary order, or else in some other,
    and go the same way twice. *strategy* is one of `strategies.NAMES`; *bound* is for `bounded`,
    `delay` and `mixed`. Each trial has *faults*, and up to two drawn from all that *kinds* (words
    of `points.faults_at`) mean in the golden run. It ends after *trials_max* trials, TRIALS unless
    a budget is given, or when *budget_s* seconds have passed by *clock*, shrinking included, or
    when there is no other order. *jobs*, *cpus*, *pool* and *store* as in sweep(). A
    KeyboardInterrupt ends it early, and is part of the result.

    Raises `HarnessError` when the golden run does not pass, does not repeat, or has not ended
    within the budget, `UsageError` when *kinds* mean nothing in it, `MachineError` where no trial
    can be held.
    """
    began = clock()
    if plan.schedule.mode == "free":
        raise UsageError("mode free holds no order, so there is none to explore")
    if trials_max is None and budget_s is None:
        trials_max = TRIALS
    until = None if budget_s is None else began + budget_s
    words = check_kinds(kinds) if kinds else ()
    with contextlib.nullcontext(pool) if pool else Pool(jobs, cpus) as pool:
        asking = replace(seen_whole(plan) if words else plan, decisions=True)
        golden = golden_in(pool, asking, oracles, until, clock, any_order=True)
        plan = with_contents(plan, golden.outcome)
        drawn = _drawn(plan, golden, words)
        base = replace(plan.schedule, faults=(*plan.schedule.faults, *faults))
        chosen = strategy_named(
            strategy,
            base,
            seed=seed,
            length=len(golden.decisions),
            bound=bound,
            faults=drawn,
        )
        if golden.schedule.switches != plan.schedule.switches and strategy not in CLAIMS:
            chosen = First(base, chosen)  # the ordinary order breaks something, as was seen
        tally = _Tally(len(faults))
        ends = _Ends(trials_max, until, clock, began)
        exploration = _Exploration(
            plan, golden.outcome, chosen, oracles, pool, ends, tally, on_progress
        )
        interrupted: KeyboardInterrupt | None = None
        try:
            exploration.run()
        except KeyboardInterrupt as signal:
            interrupted = signal
    shrunk = exploration.shrunk
    found = [
        _discovery(plan, group, shrunk.get(key), golden.outcome, store)
        for key, group in tally.groups.items()
    ]
    return ExploreResult(
        golden=golden,
        strategy=strategy,
        trials=tally.trials,
        interleavings=len(tally.digests),
        grams=len(tally.coverage),
        claim=chosen.claim(),
        findings=tuple(sorted(found, key=_size)),
        unfired=tuple(
            at for at, fired in zip(faults, tally.fired, strict=True) if tally.trials and not fired
        ),
        inconclusive=tuple(tally.reasons.items()),
        shrinking_trials=sum(one.shrunk.trials for one in shrunk.values() if one.shrunk),
        seconds=clock() - began,
        interrupted=interrupted,
    )


def _drawn(plan: TrialPlan, golden: TrialResult, kinds: Sequence[str]) -> list[FaultAt]:
    """All faults that *kinds* mean at the calls of the subject's own tasks."""
    if not kinds:
        return []
    there = points(golden.trace, f"{plan.roots[0]}**", handlers=handlers_of(plan))
    found = [at for kind in kinds for at in failing(there, kind)]
    if not found:
        raise UsageError(f"there is nothing that {', '.join(kinds)} could do at any call")
    return found


class _Ends:
    """When no more trials are begun: after *trials_max*, or when it is *until* by *clock*; but a
    part of the time is kept for what is to be shrunk."""

    def __init__(
        self, trials_max: int | None, until: float | None, clock: Callable[[], float], began: float
    ) -> None:
        self.trials_max = trials_max
        self.until = until
        self.clock = clock
        self.began = began
        self._round_began = began

    def begin_round(self) -> None:
        """What shrinking has left of the time is for more trials."""
        self._round_began = self.clock()

    def are_here(self, trials: int, *, to_shrink: bool) -> bool:
        """Whether there are no more after *trials*."""
        if self.trials_max is not None and trials >= self.trials_max:
            return True
        if self.until is None:
            return False
        part = 1 - _FOR_SHRINKING if to_shrink else 1
        return self.clock() >= self._round_began + (self.until - self._round_began) * part

    def is_late(self) -> bool:
        """Whether what runs now is given up."""
        return self.until is not None and self.clock() >= self.until


@dataclass(frozen=True, slots=True)
class _Attempt:
    """To shrink a finding; *flaky*: it did not show again."""

    shrunk: Shrunk | None
    flaky: bool


class _Exploration:
    """Runs what a strategy proposes, teaches it what came of it, and shrinks what is found."""

    def __init__(
        self,
        plan: TrialPlan,
        golden: Outcome,
        strategy: Strategy,
        oracles: Sequence[Oracle],
        pool: Pool,
        ends: _Ends,
        tally: _Tally,
        on_progress: Callable[[ExploreProgress], None] | None,
    ) -> None:
        self.tally = tally
        self.shrunk: dict[Identity, _Attempt] = {}
        self._plan = plan
        self._golden = golden
        self._strategy = strategy
        self._oracles = oracles
        self._pool = pool
        self._ends = ends
        self._on_progress = on_progress
        self._proposed = 0
        self._waiting: dict[int, Proposal] = {}
        self._ended: dict[int, Answer] = {}

    def run(self) -> None:
        """Try and shrink, until there is no time, no trial, or no order left."""
        before = -1
        while self._proposed != before:
            before = self._proposed
            self._try_all()
            for key in sorted(self._to_shrink(), key=lambda key: self.tally.groups[key].size):
                self._shrink(key)
            if self._ends.until is None:
                return
            self._ends.begin_round()

    def _to_shrink(self) -> set[Identity]:
        return self.tally.groups.keys() - self.shrunk

    def _shrink(self, key: Identity) -> None:
        simplest = self.tally.groups[key].simplest
        if self._ends.is_late():
            return
        aim = Aim(plan=self._plan, identity=key, golden=self._golden, oracles=self._oracles)
        shrunk = shrink(
            aim,
            simplest.result.schedule,
            self._pool,
            until=self._ends.until,
            trials_max=_SHRINK_TRIALS_MAX,
            clock=self._ends.clock,
        )
        self.shrunk[key] = _Attempt(shrunk, shrunk is None and not self._ends.is_late())
        if shrunk is not None and shrunk.interrupted is not None:
            raise shrunk.interrupted

    def _try_all(self) -> None:
        before = -1
        try:
            while self._proposed != before:
                before = self._proposed
                running = self._pool.run(self._plans(), self._ends.until, self._ends.clock)
                for number, answer in running:
                    if isinstance(answer, TrialResult) or not self._ends.is_late():
                        self._ended[number] = answer
                    self._tell()
            while self._learn_one():
                pass
        finally:  # what came after one that was given up, or after an interruption, counts too
            for number in sorted(self._ended):
                self.tally.take(number, self._ended.pop(number), self._judge)

    def _tell(self) -> None:
        if self._on_progress is not None:
            ends = self._ends
            self._on_progress(
                ExploreProgress(
                    trials=self.tally.trials,
                    trials_max=ends.trials_max,
                    interleavings=len(self.tally.digests),
                    findings=len(self.tally.groups),
                    seconds=ends.clock() - ends.began,
                    seconds_max=None if ends.until is None else ends.until - ends.began,
                )
            )

    def _plans(self) -> Iterator[tuple[int, TrialPlan]]:
        while not self._ends.are_here(self._proposed, to_shrink=bool(self._to_shrink())):
            proposal = self._propose()
            if proposal is None:
                return  # once those that run have ended there may be more
            number, self._proposed = self._proposed, self._proposed + 1
            self._waiting[number] = proposal
            yield number, self._plan_of(proposal)

    def _propose(self) -> Proposal | None:
        """The next proposal: of the trials before it all but the last LAG have been learned of, and
        more only when there is none without."""
        while self.tally.trials <= self._proposed - LAG:
            if not self._learn_one():
                return None
        while True:
            proposal = self._strategy.propose()
            if proposal is not None or not self._learn_one():
                return proposal

    def _learn_one(self) -> bool:
        """Learn of the next trial in order; False when it has not ended."""
        number = self.tally.trials
        if number not in self._ended:
            return False
        lesson = self.tally.take(number, self._ended.pop(number), self._judge)
        self._strategy.learn(self._waiting.pop(number), lesson)
        return True

    def _judge(self, result: TrialResult) -> Verdict:
        root = self._plan.roots[0]
        return judged_by(self._oracles, root, result.outcome, self._golden, result.schedule)

    def _plan_of(self, proposal: Proposal) -> TrialPlan:
        return replace(
            self._plan,
            schedule=proposal.schedule,
            policy=proposal.policy,
            policy_seed=proposal.seed,
            depth=proposal.depth,
            length=proposal.length,
            decisions=True,
            conflicts=proposal.conflicts,
        )


# ---- What came of it -----------------------------------------------------------------------------


def _discovery(
    plan: TrialPlan, group: _Group, attempt: _Attempt | None, golden: Outcome, store: str | None
) -> Discovery:
    shrunk = attempt.shrunk if attempt else None
    simplest = group.simplest
    result = shrunk.result if shrunk else simplest.result
    verdict = shrunk.verdict if shrunk else simplest.verdict
    ident, why = None, ""
    if store is None:
        why = "nobody asked for recordings"
    else:
        try:
            ident = save(record(plan, result, verdict, golden), store)
        except OSError as error:
            why = f"{store}: {error.strerror}"
        except HarnessError as error:
            why = str(error)
    return Discovery(
        finding=verdict.findings[0],
        first=group.first + 1,
        trials=group.count,
        before=simplest.result.schedule,
        result=result,
        verdict=verdict,
        shrunk=shrunk,
        flaky=attempt is not None and attempt.flaky,
        ident=ident,
        not_recorded=why,
    )


def _size(found: Discovery) -> tuple[object, ...]:
    return complexity(found.result.schedule), len(found.result.trace.events), found.first
