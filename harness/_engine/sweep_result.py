"""What a sweep did and found, as values."""

from __future__ import annotations

from dataclasses import dataclass

from ..schedule import FaultAt
from ..verdict import Finding, Verdict
from .trial import TrialResult


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """One thing that was found, at the trial with the fewest events that shows it.

    *others* are the faults at which it was found too. *ident* is the id of its recording, or None
    and *not_recorded* says why."""

    finding: Finding
    verdict: Verdict
    fault: FaultAt
    result: TrialResult
    others: tuple[FaultAt, ...] = ()
    ident: str | None = None
    not_recorded: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unclear:
    """A trial that says nothing, and why."""

    fault: FaultAt
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class KindTally:
    """What became of one kind of fault: *calls* = *tried* + *not_applicable* + *left_out*.

    A call is *tried* when all *trials* of it have been run, *left_out* when the sweep ended before.
    """

    kind: str
    calls: int
    tried: int
    not_applicable: int
    left_out: int
    trials: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepResult:
    """What a sweep did and found.

    Of *calls* that were asked for, at *points* something can go wrong, and *covered* of these were
    tried in each way. Of *trials* in *fired* the fault was met; in *did_not_fire* not, as when a
    short transfer has nothing to shorten. *interrupted* is what ended it early."""

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
    interrupted: KeyboardInterrupt | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a sweep is: trials that have ended of those there are, points likewise."""

    trials: int
    trials_all: int
    points: int
    points_all: int
    findings: int
    seconds: float
