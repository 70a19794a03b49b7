"""Policies that draw who goes next. What they choose is written down as switches, so a trial that
one of them made is repeated without it.

Pure: each is a function of its seed and of what it is told. What a call touches is told too, by who
can look (footprint.py).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from .decisions import Footprint, conflict
from .scheduler import Choice, Parked, Policy, Turn


class Uniform:
    """Each task that can go is as likely as any other, at each step."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def choose(self, parked: Sequence[Choice]) -> Choice:
        return self._rng.choice(parked)

    def went(self, chosen: Parked, parked: Sequence[Parked]) -> None:
        pass


class ByPriority:
    """Who can go and has the highest priority goes; at *depth* - 1 steps it loses its own.

    Each role draws a priority when it is first met. Of *length* steps at which there is a choice
    *depth* - 1 are drawn: whoever would go there gets a priority below all others. A bug that needs
    *depth* things in a certain order is met with a chance of at least 1 / (n length^(depth - 1)) in
    n tasks. Source: PCT (Burckhardt, Kothari, Musuvathi, Nagarakatte, A Randomized Scheduler with
    Probabilistic Guarantees of Finding Bugs, ASPLOS 2010). Not from there: who has
    used up its turn comes last, for it may poll for what only the others can do."""

    def __init__(self, rng: random.Random, depth: int, length: int) -> None:
        self._rng = rng
        count = min(depth - 1, length)
        drawn = rng.sample(range(1, length + 1), count)
        #: step -> the priority that is left; the later a change was drawn, the more is left
        self._changes = {step: number - depth for number, step in enumerate(drawn)}
        self._priorities: dict[str, float] = {}
        self._steps = 0
        self._turn, self._lowest = Turn(), -depth

    def choose(self, parked: Sequence[Choice]) -> Choice:
        self._steps += 1
        chosen = self._highest(parked)
        if self._steps in self._changes:
            self._priorities[chosen.name] = self._changes[self._steps]
            chosen = self._highest(parked)
        if chosen.name == self._turn.role and self._turn.is_used_up:
            self._lowest -= 1
            self._priorities[chosen.name] = self._lowest
            chosen = self._highest(parked)
        return chosen

    def went(self, chosen: Parked, parked: Sequence[Parked]) -> None:
        self._turn.step(chosen, contended=len(parked) > 1)

    def _highest(self, parked: Sequence[Choice]) -> Choice:
        for task in parked:
            if task.name not in self._priorities:
                self._priorities[task.name] = self._rng.random()
        return max(parked, key=lambda task: self._priorities[task.name])


class ByPartialOrder:
    """Each call that waits has drawn a priority, and the highest goes; then all that conflict with
    it draw again.

    So the orders of calls that conflict are what is drawn, each nearly as likely as any other,
    however many calls there are that do not matter to one another. *touches* says what a parked
    call touches. Source: POS (Yuan, Yang, Gu, Partial Order Aware Concurrency Sampling, CAV
    2018)."""

    def __init__(self, rng: random.Random, touches: Callable[[Any], Footprint]) -> None:
        self._rng = rng
        self._touches = touches
        #: role -> which call of it waits, its priority, and its footprint once that was asked for
        self._drawn: dict[str, tuple[int, float]] = {}
        self._footprints: dict[str, tuple[int, Footprint]] = {}

    def choose(self, parked: Sequence[Choice]) -> Choice:
        for task in parked:
            if self._drawn.get(task.name, (0, 0.0))[0] != task.total:
                self._drawn[task.name] = task.total, self._rng.random()
        return max(parked, key=lambda task: self._drawn[task.name][1])

    def went(self, chosen: Parked, parked: Sequence[Parked]) -> None:
        self._drawn.pop(chosen.name, None)
        if len(parked) > 1:
            mine = self._footprint(chosen)
            for task in parked:
                if task.name in self._drawn and conflict(mine, self._footprint(task)):
                    del self._drawn[task.name]

    def _footprint(self, task: Parked) -> Footprint:
        total, known = self._footprints.get(task.name, (0, None))
        if known is None or total != task.total:
            known = self._touches(task)
            self._footprints[task.name] = task.total, known
        return known


def policy_named(
    name: str, seed: int, *, depth: int, length: int, touches: Callable[[Any], Footprint]
) -> Policy | None:
    """The policy of a plan that draws from *seed*; None for the default one."""
    rng = random.Random(seed)
    match name:
        case "random":
            return Uniform(rng)
        case "pct":
            return ByPriority(rng, depth, max(1, length))
        case "pos":
            return ByPartialOrder(rng, touches)
    return None
