"""The fixtures: `trial` runs one trial and judges it, `sweep` many. Each fails its test with a
report that ends in the line that repeats what was found."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn, TypeVar

import pytest

from .._engine.record import record
from .._engine.store import drop, find, identify, load, save
from .._engine.sweep import sweep as sweep_
from .._engine.sweep_result import SweepResult
from .._engine.trial import TrialResult
from ..errors import HarnessError, MachineError, UsageError
from ..history import Operation
from ..invariant import Invariant
from ..oracle import Oracle, judged_by
from ..points import KINDS, PHASES
from ..report.sweep import (
    block,
    bug_report,
    cause,
    may_differ,
    repeat,
    summary,
    unclear,
    weakened,
)
from ..report.text import show
from ..report.unfired import why_not
from ..schedule import FaultAt, Schedule, parse_faults_at
from ..subject import DEADLINE_S, STEP_LIMIT, ClientLike, Subject, TrialPlan, workload_of
from ..trace import Trace
from ..verdict import Outcome, Verdict
from ..weakness import in_few
from .abilities import end_without_trials
from .sections import SHOWN
from .session import Session, without_faults

T = TypeVar("T")
_OF_A_FINDING = ("harness-finding", "harness-replay")


@dataclass(frozen=True, kw_only=True, slots=True)
class Tried:
    """What one trial gave, and how it is judged.

    *schedule* is what was decided: with it the trial can be run again. *golden* is the outcome of
    the run without faults."""

    outcome: Outcome
    trace: Trace
    schedule: Schedule
    verdict: Verdict
    golden: Outcome

    @property
    def history(self) -> tuple[Operation, ...]:
        """What the clients saw, in the order in which they began."""
        return self.outcome.history


class Fixture:
    """What all fixtures are: a function with the test that it is for."""

    def __init__(self, session: Session, item: pytest.Item) -> None:
        self._session = session
        self._item = item
        self._own: set[str] = set()  # recordings that were not there before this test

    def _plan(self, subject: Subject, clients: Sequence[ClientLike], **more: object) -> TrialPlan:
        if not isinstance(subject, Subject):
            raise UsageError(
                f"{type(self).__name__.lower()}({subject!r}): the first argument is the Subject, "
                "from Subject.command([...]) or Subject.process(function)"
            )
        plan = subject.plan(*clients, **more)  # type: ignore[arg-type]
        return replace(plan, coverage=self._session.coverage)

    def _or_end(self, act: Callable[[], T]) -> T:
        """What *act* gives; what is wrong with it ends the test, at the line of the test."""
        __tracebackhide__ = True
        try:
            return act()
        except HarnessError as error:
            problem = error
        # Not in the handler: a test's report would have our own error too, as what it came of.
        if isinstance(problem, MachineError):
            end_without_trials(problem, self._session.demanded)
        pytest.fail(str(problem))

    def _show(self, ident: str) -> None:
        """Attach the smallest of what was found: what happened around its fault."""
        (file,) = find(ident, self._session.store)
        text = show(load(file))
        self._item.stash[SHOWN] = (f"harness show {self._session.name_of(ident)}", text)

    def _supersede(self) -> None:
        """A property test tries on after a failure, and only its last one counts: forget those
        before it."""
        for ident in self._own:
            drop(ident, self._session.store)
        self._session.tally.add(findings=-len(self._own))
        self._own.clear()
        properties = self._item.user_properties
        properties[:] = [one for one in properties if one[0] not in _OF_A_FINDING]

    def _end_with(
        self,
        found: Sequence[tuple[str, str | None]],
        block_of: Callable[[int, str | None], Iterable[str]],
        rest: Iterable[str],
        interrupted: BaseException | None,
    ) -> NoReturn:
        """End the test with all that was *found*, the smallest first: what it is, and the id of its
        recording. *block_of* reports one, by its index and the name under which it is replayed."""
        __tracebackhide__ = True
        lines: list[str] = []
        for index, (what, ident) in enumerate(found):
            name = ident and self._session.name_of(ident)
            lines += block_of(index, name)
            self._note("finding", what)
            if name:
                self._note("replay", f"harness replay {name}")
        lines += rest
        if interrupted is not None:
            self._session.tally.kept += [f"interrupted: {self._item.nodeid}", *lines]
            raise interrupted
        if found and (smallest := found[0][1]):
            self._show(smallest)
        pytest.fail("\n".join(lines), pytrace=False)

    def _note(self, name: str, value: object) -> None:
        """A property of the test in the JUnit report."""
        self._item.user_properties.append((f"harness-{name}", str(value)))

    def _note_weakened(self, result: TrialResult) -> None:
        for one in result.outcome.weakened:
            self._note("weakened", one.describe())


class Trial(Fixture):
    """The fixture `trial`."""

    def __call__(
        self,
        subject: Subject,
        *clients: ClientLike,
        faults: str | FaultAt | Iterable[str | FaultAt] = (),
        schedule: Schedule | None = None,
        seed: int | None = None,
        oracles: Sequence[Oracle] = (),
        invariants: str | Invariant | Sequence[str | Invariant] = (),
        may_differ: Sequence[str] = (),
        recovers: bool = True,
        deadline_s: float = DEADLINE_S,
        step_limit: int = STEP_LIMIT,
        check: bool = True,
        must_fire: bool = True,
        **named: ClientLike,
    ) -> Tried:
        """Run one trial of *subject* with *clients* beside it, and judge it against a run without
        faults. The test fails when there is a finding, when the verdict is INCONCLUSIVE, and when a
        fault did not fire; not with *check* false. Without *must_fire* a fault whose call does not
        come is no failure.

        *faults* are as on the command line, `service/0:write#2=ENOSPC`, or values; they come after
        those of *schedule*. From a *seed* is drawn who goes next, and what is random. *oracles* of
        yours judge too; *invariants* must hold at every moment. What matches one of *may_differ*,
        regular expressions, is not compared with that run. When the clients are done, one more is
        served, unless *recovers* is false."""
        __tracebackhide__ = True
        plan, golden = self._or_end(
            lambda: self._prepared(
                subject,
                clients,
                _Asked(faults, schedule or Schedule(), seed),
                oracles,
                dict(
                    named,
                    invariants=invariants,
                    may_differ=may_differ,
                    recovers=recovers,
                    deadline_s=deadline_s,
                    step_limit=step_limit,
                ),
            )
        )
        names = self._or_end(lambda: names_of(oracles))
        result = self._or_end(lambda: self._session.run(plan))
        self._session.tally.add(trials=1)
        self._note_weakened(result)
        verdict = self._judged(plan, result, golden.outcome, oracles)
        if verdict.status == "FAIL" or result.outcome.stderr != golden.outcome.stderr:
            golden = self._or_end(lambda: self._session.norm(without_faults(plan)))
            verdict = self._judged(plan, result, golden.outcome, oracles)
        tried = Tried(
            outcome=result.outcome,
            trace=result.trace,
            schedule=result.schedule,
            verdict=verdict,
            golden=golden.outcome,
        )
        if check and verdict.status == "FAIL":
            self._failed(tried, plan, result, names)
        if check:
            self._not_failed(tried, plan, result, must_fire)
        return tried

    def _prepared(
        self,
        subject: Subject,
        clients: Sequence[ClientLike],
        asked: _Asked,
        oracles: Sequence[Oracle],
        more: dict[str, object],
    ) -> tuple[TrialPlan, TrialResult]:
        plan = self._plan(subject, clients, **more)
        given = asked.of(plan)
        golden = self._session.golden(without_faults(given), oracles)
        return replace(given, contents=True), golden

    def _judged(
        self, plan: TrialPlan, result: TrialResult, golden: Outcome, oracles: Sequence[Oracle]
    ) -> Verdict:
        return judged_by(oracles, plan.roots[0], result.outcome, golden, result.schedule)

    def _failed(
        self, tried: Tried, plan: TrialPlan, result: TrialResult, oracles: Sequence[str]
    ) -> NoReturn:
        __tracebackhide__ = True
        self._supersede()
        self._session.tally.add(findings=1)
        ident: str | None = None
        more = []
        try:
            recording = record(plan, result, tried.verdict, tried.golden)
            is_new = not Path(self._session.store, identify(recording)).exists()
            ident = save(recording, self._session.store)
            if is_new:
                self._own.add(ident)
            more.append(repeat(self._session.name_of(ident), oracles))
        except (OSError, HarnessError) as error:
            more.append(f"not recorded: {error}")
        causes = [cause(at) for at in tried.schedule.faults]
        causes += [limit.describe() for limit in tried.schedule.limits]
        if tried.schedule.switches:
            causes.append(f"{len(tried.schedule.switches)} switches of tasks")
        report = bug_report(tried.verdict, causes or ["nothing goes wrong"], more)
        report += filter(None, [in_few(tried.outcome.weakened)])
        self._note("finding", tried.verdict.findings[0].describe())
        if ident:
            self._note("replay", f"harness replay {self._session.name_of(ident)}")
            self._show(ident)
        pytest.fail("\n".join(report), pytrace=False)

    def _not_failed(
        self, tried: Tried, plan: TrialPlan, result: TrialResult, must_fire: bool
    ) -> None:
        __tracebackhide__ = True
        if tried.verdict.status == "INCONCLUSIVE":
            pytest.fail(f"INCONCLUSIVE {tried.verdict.reason}", pytrace=False)
        unfired = [
            why_not(plan, result, index)
            for index, times in enumerate(tried.outcome.fired)
            if must_fire and not times
        ]
        if unfired:
            pytest.fail("\n".join(unfired))


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to go wrong, as the test says it."""

    faults: str | FaultAt | Iterable[str | FaultAt]
    schedule: Schedule
    seed: int | None

    def of(self, plan: TrialPlan) -> TrialPlan:
        """*plan*, with that."""
        given = [self.faults] if isinstance(self.faults, str | FaultAt) else [*self.faults]
        root = plan.roots[0]
        added = [
            fault
            for one in given
            for fault in ((one,) if isinstance(one, FaultAt) else parse_faults_at(one, root))
        ]
        schedule = replace(self.schedule, faults=(*self.schedule.faults, *added))
        if self.seed is None:
            return replace(plan, schedule=schedule)
        return replace(plan, schedule=replace(schedule, seed=self.seed), policy="random")


class Sweep(Fixture):
    """The fixture `sweep`."""

    def __call__(
        self,
        subject: Subject,
        *clients: ClientLike,
        faults: str | Iterable[str] = KINDS,
        roles: str | None = None,
        calls: str = "*",
        phases: Sequence[str] = PHASES,
        lasting: bool = False,
        pairs: bool = False,
        prune: bool = False,
        exitfirst: bool = False,
        budget_s: float | None = None,
        jobs: int | None = None,
        oracles: Sequence[Oracle] = (),
        invariants: str | Invariant | Sequence[str | Invariant] = (),
        may_differ: Sequence[str] = (),
        recovers: bool = True,
        deadline_s: float = DEADLINE_S,
        step_limit: int = STEP_LIMIT,
        check: bool = True,
        **named: ClientLike,
    ) -> SweepResult:
        """Let each call that *subject* makes go wrong in turn, with *clients* beside it, and judge
        each trial against a run without faults. The test fails when there is a finding, or when a
        trial is INCONCLUSIVE; not with *check* false.

        *faults*, *roles*, *calls* are as those of `harness sweep`; *phases* are those of `start`,
        `work` and `stop` in which calls go wrong. *lasting*: what can last is tried also from that
        call on. *pairs*: a second thing goes wrong at each call that is there only after the first.
        *prune*: of calls after which the subject goes on alike not all are tried. *exitfirst*: the
        first finding ends it, and so do *budget_s* seconds. *jobs* trials run at once. *oracles* of
        yours judge too; *invariants* must hold at every moment. What matches one of *may_differ*,
        regular expressions, is not compared with that run."""
        __tracebackhide__ = True
        more = dict(
            named,
            invariants=invariants,
            may_differ=may_differ,
            recovers=recovers,
            deadline_s=deadline_s,
            step_limit=step_limit,
        )
        plan = self._or_end(lambda: self._plan(subject, clients, **more))
        names = self._or_end(lambda: names_of(oracles))
        words = faults.split(",") if isinstance(faults, str) else faults

        def swept() -> SweepResult:
            with self._session.pool(jobs or self._session.jobs) as pool:
                return sweep_(
                    plan,
                    kinds=[word.strip() for word in words],
                    roles=roles,
                    calls=calls,
                    phases=phases,
                    lasting=lasting,
                    pairs=pairs,
                    prune=prune,
                    exitfirst=exitfirst,
                    pool=pool,
                    budget_s=budget_s,
                    oracles=oracles,
                    store=self._session.store,
                )

        result = self._or_end(swept)
        if result.interrupted is not None:
            self._session.close()
        self._count(result)
        if check and (result.findings or result.inconclusive or result.interrupted):
            self._failed(result, plan, names)
        return result

    def _count(self, result: SweepResult) -> None:
        self._session.tally.add(
            covered=result.covered,
            points=result.points,
            trials=result.trials,
            findings=len(result.findings),
            seconds=result.seconds,
        )
        self._note_weakened(result.golden)
        self._note("points", f"{result.covered}/{result.points}")
        self._note("trials", result.trials)

    def _failed(self, result: SweepResult, plan: TrialPlan, oracles: Sequence[str]) -> NoReturn:
        __tracebackhide__ = True
        self._end_with(
            [(one.finding.describe(), one.ident) for one in result.findings],
            lambda index, name: block(replace(result.findings[index], ident=name), plan, oracles),
            [*unclear(result), *weakened(result), *may_differ(result.golden), summary(result)],
            result.interrupted,
        )


def names_of(oracles: Sequence[Oracle]) -> list[str]:
    """How `harness replay --oracle` finds them again. Raises `UsageError` when it cannot."""
    found = [workload_of(oracle, {}) for oracle in oracles]
    for one in found:
        if one.kwargs:
            raise UsageError(f"oracle {one}: harness replay can give it no arguments")
    # One of the harness's own is a part of a package, and no file by itself.
    return [
        f"{one.module if one.module.startswith('harness.') else os.path.relpath(one.file)}"
        f":{one.qualname}"
        for one in found
    ]
