"""How many trials a search takes to its first finding, ours and one by chance, over some seeds.

By chance, a trial knows nothing of those before it. Where a sweep finds the bug, it draws one of
the points at which something can go wrong, and one of the faults there. What a fault leads to is
the same in each trial, so both searches are counted on what all trials of one exhaustive sweep
gave; ours is the sweep's order, those of equal rank shuffled by the seed. Where the bug is one of
order, a trial by chance lets any task go that can, each as likely, at every step; ours is `explore`
as it is. Both are run.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness._engine.explore import explore
from harness._engine.golden import handlers_of
from harness._engine.sweep import sweep
from harness._engine.sweep_cases import Case, cases_of, ranks
from harness.points import points
from harness.subject import TrialPlan
from tests.quality.caught import stop_at_the_first
from tests.quality.planted import Bug, plan_of
from tests.quality.small import Small

#: A search that has found nothing by then has not found it.
TRIALS_MAX = 1500
_NEVER = TRIALS_MAX + 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """The trials to the first finding, one number for each seed, of both searches."""

    ours: tuple[int, ...]
    by_chance: tuple[int, ...]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ours) / statistics.median(self.by_chance)

    def cells(self) -> list[str]:
        """What the table says of it."""
        return [_said(self.ours), _said(self.by_chance), f"{self.ratio:.2f}"]


def _said(trials: Sequence[int]) -> str:
    missed = sum(one == _NEVER for one in trials)
    median = statistics.median(trials)
    text = f"{median:g}" if median < _NEVER else f"over {TRIALS_MAX}"
    return f"{text} (not found: {missed} of {len(trials)})" if missed else text


def compare(bug: Bug | Small, folder: Path, seeds: int, jobs: int) -> Compared | None:
    """Both searches for *bug*, which is laid out in *folder*; None where nothing is searched."""
    if isinstance(bug, Small):
        bug.build(folder)
        plan = bug.plan(folder)
        if bug.by == "sweep":
            return of_sweep(plan, seeds, jobs)
        return of_orders(plan, seeds, jobs)
    if bug.is_plain:
        return None
    plan = plan_of(bug, bug.source, folder)
    if bug.is_of_order:
        return of_orders(plan, seeds, jobs, kinds=bug.asked_for)
    return of_sweep(plan, seeds, jobs, kinds=bug.kinds, roles=bug.roles)


def of_sweep(plan: TrialPlan, seeds: int, jobs: int, **options: Any) -> Compared:
    """Both, on what an exhaustive sweep gives."""
    result = sweep(plan, jobs=jobs, store=None, **options)
    roles = options.get("roles") or f"{plan.roots[0]}**"
    kinds = [one.kind for one in result.kinds]
    there = points(result.golden.trace, roles, handlers=handlers_of(plan))
    cases = cases_of(there, kinds)
    found = {at for one in result.findings for at in (one.fault, *one.others)}
    bad = [case.at in found for case in cases]
    assert len(cases) == result.trials
    return Compared(
        ours=tuple(in_order(cases, bad, random.Random(seed)) for seed in range(seeds)),
        by_chance=tuple(at_random(cases, bad, random.Random(seed)) for seed in range(seeds)),
    )


def in_order(cases: Sequence[Case], bad: Sequence[bool], rng: random.Random) -> int:
    """The trials to the first that is *bad*, by rank and then by chance."""
    rank = ranks(cases, range(len(cases)))
    order = rng.sample(range(len(cases)), len(cases))
    order.sort(key=rank.__getitem__)
    first = next((turn for turn, number in enumerate(order, 1) if bad[number]), _NEVER)
    return min(first, _NEVER)


def at_random(cases: Sequence[Case], bad: Sequence[bool], rng: random.Random) -> int:
    """The trials to the first that is *bad*, each drawn for itself."""
    at = dict[int, list[bool]]()
    for case, is_bad in zip(cases, bad, strict=True):
        at.setdefault(case.point, []).append(is_bad)
    there = [*at.values()]
    trials = (rng.choice(rng.choice(there)) for _ in range(TRIALS_MAX))
    return next((turn for turn, is_bad in enumerate(trials, 1) if is_bad), _NEVER)


def of_orders(plan: TrialPlan, seeds: int, jobs: int, *, kinds: Sequence[str] = ()) -> Compared:
    """Both, each seed run until it finds something."""

    def trials(strategy: str, seed: int) -> int:
        result = explore(
            plan,
            strategy=strategy,
            kinds=kinds,
            seed=seed,
            trials_max=TRIALS_MAX,
            jobs=jobs,
            on_progress=stop_at_the_first,
            store=None,
        )
        return min((found.first for found in result.findings), default=_NEVER)

    ours, by_chance = (
        tuple(trials(strategy, seed) for seed in range(seeds)) for strategy in ("mixed", "random")
    )
    return Compared(ours=ours, by_chance=by_chance)
