"""Policies that draw who goes next. What they choose is written down as switches, so a trial that
one of them made is repeated without it.

Pure: each is a function of its seed and of what it is told. What two calls have in common is told
too (footprint.py).
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from .scheduler import Choice, Parked, Policy


class Uniform:
    """Each task that can go is as likely as any other, at each step."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def choose(self, parked: Sequence[Choice], running: str) -> Choice:
        return self._rng.choice(parked)

    def went(self, chosen: Parked, parked: Sequence[Parked]) -> None:
        pass


def policy_named(name: str, seed: int, *, depth: int = 2, length: int = 1) -> Policy | None:
    """The policy of a plan that draws from *seed*; None for the default one."""
    rng = random.Random(seed)
    match name:
        case "random":
            return Uniform(rng)
    return None
