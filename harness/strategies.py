"""Hypothesis strategies for what a trial decides: faults, switches, whole schedules.

All are drawn from a golden trace, before the trial starts and never while it runs: so an example is
a schedule, and shrinking it is shrinking a schedule. They shrink as `harness shrink` does: to fewer
faults and switches, to gentler kinds, to earlier calls.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from ._engine.shrink_passes import GENTLE
from .calls import CALLS
from .errors import UsageError
from .points import KINDS, PHASES, check_kinds, faults_at, points
from .schedule import FaultAt, Schedule, Switch, Trigger
from .trace import NO_ROLE, Trace

Test = TypeVar("Test", bound=Callable[..., Any])


def for_trials(max_examples: int = 20) -> Callable[[Test], Test]:
    """Settings for a property whose examples are trials, to stand above `@given`.

    Each example is a trial or more, so there are *max_examples* and no deadline; the fixture
    `trial` keeps nothing from one example to the next, so that it is one of a function's scope
    is no mistake here. What else the active profile says stays (Hypothesis loads a profile `ci`,
    in which examples are derived from the test's name, where the variable CI is set)."""
    return settings(
        max_examples=max_examples,
        deadline=None,
        suppress_health_check=[
            *settings.default.suppress_health_check,  # type: ignore[union-attr]
            HealthCheck.too_slow,
            HealthCheck.function_scoped_fixture,
        ],
    )


def faults(
    golden: Trace,
    kinds: Sequence[str] = KINDS,
    *,
    roles: str = "**",
    calls: str = "*",
    phases: Collection[str] = PHASES,
) -> st.SearchStrategy[FaultAt]:
    """One fault at one call of the run that *golden* is: any that `sweep` would try, asked with the
    same words. Raises `UsageError` when there is none."""
    found = [
        point.faulted(fault)
        for kind in check_kinds(kinds)
        for point in points(golden, roles, calls, phases)
        for fault in faults_at(point, kind)
    ]
    if not found:
        raise UsageError(f"no call of the golden run can meet any of {', '.join(kinds)}")
    # A stable sort: of one kind, the earliest call comes first, and Hypothesis shrinks towards it.
    return st.sampled_from(sorted(found, key=lambda at: GENTLE.index(type(at.fault))))


def switches(golden: Trace) -> st.SearchStrategy[Switch]:
    """At one event of the run another role goes next, one that had begun and had not ended. Raises
    `UsageError` when no two roles ran beside each other."""
    found = _possible_switches(golden)
    if not found:
        raise UsageError("only one role at a time runs here: there is no other order")
    return st.sampled_from(found)


def schedules(
    golden: Trace,
    kinds: Sequence[str] = KINDS,
    *,
    roles: str = "**",
    calls: str = "*",
    phases: Collection[str] = PHASES,
    max_faults: int = 1,
    max_switches: int = 3,
) -> st.SearchStrategy[Schedule]:
    """Whole schedules for the run that *golden* is: up to so many faults and switches, each at a
    place of its own. The simplest has none of either. A fault that another one prevents does not
    fire: give such a trial ``must_fire=False``."""
    no_faults: st.SearchStrategy[list[FaultAt]] = st.just([])
    no_switches: st.SearchStrategy[list[Switch]] = st.just([])
    drawn = (
        st.lists(
            faults(golden, kinds, roles=roles, calls=calls, phases=phases),
            max_size=max_faults,
            unique_by=lambda one: one.at,
        )
        if max_faults
        else no_faults
    )
    ordered = (
        st.lists(switches(golden), max_size=max_switches, unique_by=lambda one: one.at)
        if max_switches and _possible_switches(golden)
        else no_switches
    )
    return st.builds(
        lambda these, those: Schedule(faults=tuple(these), switches=tuple(those)), drawn, ordered
    )


def _possible_switches(golden: Trace) -> list[Switch]:
    events = golden.counted()
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for index, event in enumerate(events):
        first.setdefault(event.role, index)
        last[event.role] = index
    return [
        Switch(
            at=Trigger(role=event.role, call=event.call, first=event.nth, last=event.nth),
            run=other,
        )
        for index, event in enumerate(events)
        if event.role != NO_ROLE and event.call in CALLS
        for other in first
        if other not in (event.role, NO_ROLE) and first[other] <= index < last[other]
    ]
