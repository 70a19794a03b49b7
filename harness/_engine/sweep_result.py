"""What a sweep did and found, as values."""

from __future__ import annotations

from dataclasses import dataclass

from ..schedule import FaultAt
from ..verdict import Finding, Verdict
from .shrink import Shrunk
from .trial import TrialResult


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """One thing that was found, at the trial with the gentlest fault that shows it; of equal ones,
    that with the fewest events.

    *fault* is the last that was met, *after* the one that came before it, if there was one: then
    the two were *shrunk*, unless there was no time, and neither can be left out.
    *others* are the faults at which it was found too. *ident* is the id of its recording, or None
    and *not_recorded* says why."""

    finding: Finding
    verdict: Verdict
    fault: FaultAt
    result: TrialResult
    after: FaultAt | None = None
    shrunk: Shrunk | None = None
    others: tuple[FaultAt, ...] = ()
    ident: str | None = None
    not_recorded: str = ""

    @property
    def faults(self) -> tuple[FaultAt, ...]:
        """In the order in which they are met."""
        return (self.fault,) if self.after is None else (self.after, self.fault)

    @property
    def dropped(self) -> tuple[FaultAt, ...]:
        """Those of the two that do not matter."""
        return self.shrunk.dropped if self.shrunk else ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Unclear:
    """A trial that says nothing, and why."""

    fault: FaultAt
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class KindTally:
    """What became of one kind of fault: *calls* = *tried* + *pruned* + *not_applicable* +
    *left_out*.

    A call is *tried* when all *trials* of it have been run, *pruned* when not all, since others
    like it went alike, *left_out* when the sweep ended before."""

    kind: str
    calls: int
    tried: int
    not_applicable: int
    left_out: int
    trials: int
    pruned: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepResult:
    """What a sweep did and found.

    Of *calls* that were asked for, at *points* something can go wrong, and *covered* of these were
    tried in each way; *pruned* were not, since others like them went alike. *new_points*, and
    *new_covered*, are there only after a fault. Of *trials* (*shrinking_trials* not among them) in
    *fired* the fault was met; in *did_not_fire* not, as when a short transfer has nothing to
    shorten. *interrupted* is what ended it early."""

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
    new_points: int = 0
    new_covered: int = 0
    shrinking_trials: int = 0
    interrupted: KeyboardInterrupt | None = None

    @property
    def complete(self) -> bool:
        """Whether nothing was left out but what was pruned."""
        return all(not kind.left_out for kind in self.kinds)


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a sweep is: trials that have ended of those there are, points likewise."""

    trials: int
    trials_all: int
    points: int
    points_all: int
    findings: int
    seconds: float
