"""The golden run under other seeds, at other times, with other numbers of processes: what differs
there may differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from ..errors import HarnessError, in_short
from ..learning import learned
from ..oracle import status_in_words
from ..served import statuses
from ..subject import TrialPlan
from ..verdict import Outcome
from .trial import TrialResult

_VARIANTS = 2
_SEEDS = 2**64
_CLOCK_FORM = "%Y-%m-%dT%H:%M:%SZ"
_LAST_YEAR = 2261  # that a schedule has
#: The clock of each variant begins so much later: another day, hour, minute and second.
_APART = timedelta(days=1, hours=11, minutes=23, seconds=37)
_SHOWN_MAX = 300  # characters


def variants_of(plan: TrialPlan) -> list[TrialPlan]:
    """*plan*, with all that was written, as unlike itself as chance and time could have it; nothing
    in free mode, where they are not ours to decide."""
    if plan.schedule.mode == "free":
        return []
    return [_variant(plan, number) for number in range(1, _VARIANTS + 1)]


def _variant(plan: TrialPlan, number: int) -> TrialPlan:
    schedule = plan.schedule
    start = datetime.strptime(schedule.clock_start, _CLOCK_FORM)
    later = -number if start.year == _LAST_YEAR else number
    return replace(
        plan,
        schedule=replace(
            schedule,
            seed=(schedule.seed + number) % _SEEDS,
            clock_start=f"{start + later * _APART:{_CLOCK_FORM}}",
        ),
        contents=True,
        decisions=False,
        variant=number,
    )


def golden_of(plan: TrialPlan, runs: Sequence[TrialResult]) -> TrialResult:
    """The norm for the trials of *plan*: the first of *runs*, with what may differ from it, as the
    others do, which are runs of `variants_of`. Raises `HarnessError` when they end otherwise; but
    where the plan has an order of its own, which may not be theirs, these tell nothing."""
    first, *others = runs
    alike = [other for other in others if _ends_alike(plan, first.outcome, other.outcome)]
    if len(alike) < len(others) and not plan.schedule.switches:
        wrong = next(other for other in others if other not in alike)
        raise HarnessError(
            "how it ends depends on what is random, or on the time: with another seed and clock "
            f"{_other_end(plan, first.outcome, wrong.outcome)}{_said(wrong.outcome)}"
        )
    may_differ = learned([run.outcome for run in (first, *alike)], plan.may_differ)
    norm = replace(first.outcome, may_differ=may_differ, fired=(), seen=(), contents=())
    return replace(first, outcome=norm)


def with_contents(plan: TrialPlan, golden: Outcome) -> TrialPlan:
    """*plan* for the trials that are compared with *golden*: what they write is kept where its
    digest does not tell enough."""
    return replace(plan, contents=golden.may_differ.needs_contents)


def _ends_alike(plan: TrialPlan, one: Outcome, other: Outcome) -> bool:
    root = plan.roots[0]
    return one.end == other.end and statuses(root, one) == statuses(root, other)


def _other_end(plan: TrialPlan, one: Outcome, other: Outcome) -> str:
    mine, its = (statuses(plan.roots[0], outcome) for outcome in (one, other))
    if one.end != other.end:
        return "it does not end"
    role = next(role for role in mine | its if mine.get(role) != its.get(role))
    how = status_in_words(its[role]) if role in its else "does not end"
    return f"{role} {how}"


def _said(outcome: Outcome) -> str:
    head = outcome.stderr.head
    return f" ({in_short(head, _SHOWN_MAX)})" if head else ""
