"""The fixture `explore`: a subject in other and other orders of events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NoReturn

from .._engine.explore import ExploreResult
from .._engine.explore import explore as explore_
from .._engine.strategies import BOUND
from ..invariant import Invariant
from ..oracle import Oracle
from ..report.explore import block, summary, unclear
from ..report.sweep import may_differ
from ..schedule import FaultAt, parse_fault_at
from ..subject import DEADLINE_S, STEP_LIMIT, ClientLike, Subject
from .fixtures import Fixture, names_of


class Explore(Fixture):
    """The fixture `explore`."""

    def __call__(
        self,
        subject: Subject,
        *clients: ClientLike,
        strategy: str = "mixed",
        bound: int = BOUND,
        faults: str | FaultAt | Iterable[str | FaultAt] = (),
        kinds: str | Iterable[str] = (),
        trials: int | None = None,
        budget_s: float | None = None,
        seed: int = 0,
        jobs: int | None = None,
        oracles: Sequence[Oracle] = (),
        invariants: str | Invariant | Sequence[str | Invariant] = (),
        may_differ: Sequence[str] = (),
        recovers: bool = True,
        deadline_s: float = DEADLINE_S,
        step_limit: int = STEP_LIMIT,
        check: bool = True,
        **named: ClientLike,
    ) -> ExploreResult:
        """Run *subject*, with *clients* beside it, in other and other orders of events, and judge
        each trial by the ordinary one. The test fails when there is a finding, when a trial is
        INCONCLUSIVE, and when one of *faults* never fires; not with *check* false.

        *strategy*, *bound*, *trials* and *seed* are as those of `harness explore`. *faults* are in
        each trial; of *kinds*, which are as those of `harness sweep`, up to two are drawn. It ends
        after *budget_s* seconds, shrinking included. *jobs* trials run at once. *oracles* of yours
        judge too; *invariants* must hold at every moment. What matches one of *may_differ*, regular
        expressions, is not compared with the ordinary run."""
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
        words = kinds.split(",") if isinstance(kinds, str) else kinds
        given = [faults] if isinstance(faults, str | FaultAt) else [*faults]

        def explored() -> ExploreResult:
            with self._session.pool(jobs or self._session.jobs) as pool:
                return explore_(
                    plan,
                    strategy=strategy,
                    bound=bound,
                    kinds=[word.strip() for word in words],
                    faults=[
                        one if isinstance(one, FaultAt) else parse_fault_at(one, plan.roots[0])
                        for one in given
                    ],
                    seed=seed,
                    trials_max=trials,
                    budget_s=budget_s,
                    pool=pool,
                    oracles=oracles,
                    store=self._session.store,
                )

        result = self._or_end(explored)
        if result.interrupted is not None:
            self._session.close()
        self._session.tally.add(
            trials=result.trials, findings=len(result.findings), seconds=result.seconds
        )
        self._note_weakened(result.golden)
        self._note("trials", result.trials)
        self._note("interleavings", result.interleavings)
        if result.claim:
            self._note("complete", result.claim)
        unsaid = result.inconclusive or result.unfired or result.interrupted
        if check and (result.findings or unsaid):
            self._failed(result, names)
        return result

    def _failed(self, result: ExploreResult, oracles: Sequence[str]) -> NoReturn:
        __tracebackhide__ = True
        self._end_with(
            [(one.finding.describe(), one.ident) for one in result.findings],
            lambda index, name: block(replace(result.findings[index], ident=name), oracles),
            [*unclear(result), *may_differ(result.golden), summary(result)],
            result.interrupted,
        )
