"""What the fixtures of one pytest session share: where recordings go, on which processors trials
run, and one runner."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from .._engine.golden import check_passes, check_repeats
from .._engine.pool import Pool
from .._engine.record import record
from .._engine.runner import Runner
from .._engine.store import DIRECTORY, save
from .._engine.trial import TrialResult
from .._engine.variants import golden_of, variants_of
from ..errors import HarnessError
from ..oracle import Oracle, judged_by
from ..report.sweep import repeat
from ..schedule import Schedule
from ..subject import TrialPlan, workload_of
from .tally import Tally


class Session:
    """Made when the first fixture is used; ended by `close`.

    *root* is pytest's rootdir, *here* where it was started. *worker* of *workers* is our place in
    pytest-xdist; *jobs* the trials at once of a sweep, None: as many as we have processors.
    *coverage* is the directory for the lines that are measured.
    *demanded* are the abilities without which a test is not skipped, but fails."""

    def __init__(
        self,
        root: Path,
        here: Path,
        tally: Tally,
        *,
        worker: int = 0,
        workers: int = 1,
        jobs: int | None = None,
        demanded: frozenset[str] = frozenset(),
        coverage: str | None = None,
    ) -> None:
        allowed = sorted(os.sched_getaffinity(0))
        self.jobs = jobs or max(1, len(allowed) // workers)
        first = worker * self.jobs % len(allowed)
        #: Ours first: other workers of pytest-xdist begin elsewhere.
        self.cpus = allowed[first:] + allowed[:first]
        self.tally = tally
        self.demanded = demanded
        self.coverage = coverage
        self.store = str(root / DIRECTORY)
        self._is_at_root = here == root
        self._here = here
        self._runner: Runner | None = None
        self._pools: dict[int, Pool] = {}
        self._golden: dict[str, list[TrialResult]] = {}

    def run(self, plan: TrialPlan) -> TrialResult:
        """Run one trial in the runner that all tests share."""
        try:
            if self._runner is None:
                self._runner = Runner()
            result = self._runner.run(replace(plan, cpu=self.cpus[0]))
        except BaseException:
            self.close()  # its answer may still come: the next trial gets another runner
            raise
        self.tally.add(seconds=result.seconds)
        return result

    @contextlib.contextmanager
    def pool(self, jobs: int) -> Iterator[Pool]:
        """The runners that all sweeps of *jobs* trials at once share: what they have imported is
        imported once. After an error they are ended, for their answers may still come."""
        if jobs not in self._pools:
            self._pools[jobs] = Pool(jobs, self.cpus)
        try:
            yield self._pools[jobs]
        except BaseException:
            self._pools.pop(jobs).close()
            raise

    def golden(self, plan: TrialPlan, oracles: Sequence[Oracle]) -> TrialResult:
        """What *plan*, which is without faults, gives: run once a session. What may differ from it
        is not learned yet. Raises `HarnessError` when it does not pass, or not repeat."""
        plan = replace(plan, contents=True)
        key = self._key(plan)
        if key not in self._golden:
            self._golden[key] = [self.run(plan)]
        runs = self._golden[key]
        try:
            check_passes(plan, runs[0], oracles)
        except HarnessError as error:  # no second run: each may last to its deadline
            raise HarnessError(f"{error}{self._kept(plan, runs[0], oracles)}") from None
        if len(runs) == 1:
            runs.append(self.run(plan))
        check_repeats(plan, runs[0], runs[1], oracles)
        return golden_of(plan, runs[:1])

    def norm(self, plan: TrialPlan) -> TrialResult:
        """The golden run of *plan* with what may differ from it. Most trials need not ask: they are
        as it is. Raises `HarnessError` when how it ends is a matter of chance."""
        plan = replace(plan, contents=True)
        first, _, *others = self._golden[self._key(plan)]
        if not others:
            others = [self.run(variant) for variant in variants_of(plan)]
            self._golden[self._key(plan)] += others
        return golden_of(plan, [first, *others])

    @staticmethod
    def _key(plan: TrialPlan) -> str:
        return json.dumps(plan.to_json(), sort_keys=True)

    def _kept(self, plan: TrialPlan, run: TrialResult, oracles: Sequence[Oracle]) -> str:
        """Keep a golden run that fails: the line that repeats it, or nothing."""
        verdict = judged_by(oracles, plan.roots[0], run.outcome)
        if verdict.status != "FAIL":
            return ""
        try:
            ident = save(record(plan, run, verdict), self.store)
            names = [str(workload_of(oracle, {})) for oracle in oracles]
        except (OSError, HarnessError):
            return ""  # what is wrong is said all the same
        return f"; {repeat(self.name_of(ident), names).strip()}"

    def name_of(self, ident: str) -> str:
        """How `harness replay` finds recording *ident* from where pytest was started."""
        return ident if self._is_at_root else os.path.relpath(f"{self.store}/{ident}", self._here)

    def close(self) -> None:
        """End the runner; nothing is left."""
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.close()
        while self._pools:
            self._pools.popitem()[1].close()


def without_faults(plan: TrialPlan) -> TrialPlan:
    """*plan* as its golden run has it: nothing goes wrong, nobody chooses who goes next, and all
    that is random is the same."""
    given = plan.schedule
    schedule = Schedule(mode=given.mode, seed=given.seed, clock_start=given.clock_start)
    return replace(plan, schedule=schedule, policy="default")
