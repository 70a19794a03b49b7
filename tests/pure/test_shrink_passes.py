"""Shrinking, driven by predicates in place of trials: what it ends at is simple, and no entry of it
can be left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness._engine.shrink_passes import (
    GENTLE,
    Reply,
    Shown,
    Shrinker,
    complexity,
    digest_of,
    harshness,
)
from harness._supervisor.decisions import Decision
from harness.fault import CrashFault, ErrnoFault, Fault, HoldFault, ShortFault
from harness.schedule import FaultAt, Limit, Schedule, Switch, Trigger
from tests.pure.strategies import schedules

Fails = Callable[[Schedule], bool]
Show = Callable[[Schedule], Shown]


def nothing_shown(schedule: Schedule) -> Shown:
    return Shown(events=1)


class Driven:
    """A search that was driven to its end."""

    def __init__(
        self,
        schedule: Schedule,
        fails: Fails,
        show: Show = nothing_shown,
        *,
        limits: bool = False,
        may_be: Callable[[FaultAt], bool] = lambda at: True,
    ) -> None:
        assert fails(schedule)
        self.asked: list[Schedule] = []
        self.shrinker = Shrinker(schedule, show(schedule), limits=limits, may_be=may_be)
        search = self.shrinker.search()
        try:
            candidates = next(search)
            while True:
                candidates = search.send(self._first_of(candidates, fails, show))
        except StopIteration:
            self.best = self.shrinker.best

    def _first_of(self, candidates: Sequence[Schedule], fails: Fails, show: Show) -> Reply:
        for index, candidate in enumerate(candidates):
            self.asked.append(candidate)
            if fails(candidate):
                return index, show(candidate)
        return None


def one_fewer(schedule: Schedule) -> list[Schedule]:
    """Each schedule that has one fault or one switch less."""
    faults = [schedule.without("faults", i) for i in range(len(schedule.faults))]
    return faults + [schedule.without("switches", i) for i in range(len(schedule.switches))]


def arbitrary(salt: int) -> Fails:
    """Some schedules fail, others do not, and there is no reason to it."""
    return lambda schedule: (int(digest_of(schedule)[:8], 16) ^ salt) % 3 == 0


def needing(wanted: Schedule) -> Fails:
    """Whatever has all these entries fails."""
    return lambda schedule: (
        {*wanted.faults} <= {*schedule.faults} and {*wanted.switches} <= {*schedule.switches}
    )


many = schedules().map(lambda one: replace(one, faults=one.faults * 2, switches=one.switches * 3))


@given(many, st.integers(0, 2**32))
def test_no_single_entry_of_what_it_ends_at_can_be_left_out(schedule: Schedule, salt: int) -> None:
    fails = arbitrary(salt)
    if fails(schedule):
        best = Driven(schedule, fails).best
        assert fails(best)
        assert not any(map(fails, one_fewer(best)))


@given(many, st.integers(0, 2**32))
def test_it_never_gets_less_simple_and_asks_nothing_twice(schedule: Schedule, salt: int) -> None:
    fails = arbitrary(salt)
    if fails(schedule):
        driven = Driven(schedule, fails)
        assert complexity(driven.best) <= complexity(schedule)
        assert len({digest_of(one) for one in driven.asked}) == len(driven.asked)
        assert driven.shrinker.asked == len(driven.asked)
        assert driven.best == Driven(schedule, fails).best


def switch(nth: int, run: str = "main/1", call: str = "*") -> Switch:
    return Switch(at=Trigger(role="main/0", call=call, first=nth, last=nth), run=run)


def fault(call: str, what: Fault, first: int = 1, last: int | None = 1) -> FaultAt:
    return FaultAt(at=Trigger(role="main", call=call, first=first, last=last), fault=what)


@given(st.sets(st.integers(0, 199), max_size=3), st.sets(st.integers(0, 29), max_size=2))
def test_of_many_entries_those_that_matter_are_left(
    of_switches: set[int], of_faults: set[int]
) -> None:
    whole = Schedule(
        switches=tuple(switch(n + 1) for n in range(200)),
        faults=tuple(fault("write", ShortFault(count=n + 1)) for n in range(30)),
    )
    wanted = replace(
        whole,
        switches=tuple(whole.switches[i] for i in sorted(of_switches)),
        faults=tuple(whole.faults[i] for i in sorted(of_faults)),
    )
    driven = Driven(whole, needing(wanted))
    assert driven.best == wanted
    assert len(driven.asked) < 400


def test_a_limit_stays_unless_it_may_go() -> None:
    limited = Schedule(limits=(Limit(role="main", resource="NOFILE", value=9),))
    assert Driven(limited, lambda schedule: True).best == limited
    assert Driven(limited, lambda schedule: True, limits=True).best == Schedule()


def test_a_fault_becomes_the_gentlest_that_does() -> None:
    schedule = Schedule(faults=(fault("write", HoldFault()),))
    best = Driven(schedule, lambda one: bool(one.faults)).best
    assert best.faults[0].fault == ShortFault(count=1)
    best = Driven(schedule, lambda one: fails_with(one, ErrnoFault, HoldFault)).best
    assert isinstance(best.faults[0].fault, ErrnoFault)
    best = Driven(schedule, lambda one: fails_with(one, CrashFault, HoldFault)).best
    assert best.faults[0].fault == CrashFault()


def test_only_what_may_be_there_takes_the_place_of_a_harsher_fault() -> None:
    schedule = Schedule(faults=(fault("write", HoldFault()),))
    best = Driven(
        schedule,
        lambda one: bool(one.faults),
        may_be=lambda at: at.fault == CrashFault(),
    ).best
    assert best.faults[0].fault == CrashFault()


def test_who_may_not_be_interrupted_is_not_said_to_be() -> None:
    schedule = Schedule(faults=(fault("wait4", HoldFault()),))
    best = Driven(schedule, lambda one: fails_with(one, ErrnoFault, HoldFault)).best
    assert best == schedule


def test_an_interrupted_call_is_gentler_than_any_other_fault() -> None:
    others = [ShortFault(count=1), ErrnoFault(errno="EIO"), CrashFault()]
    ranks = [harshness(one) for one in [ErrnoFault(errno="EINTR"), *others]]
    assert ranks == sorted(set(ranks))


def fails_with(schedule: Schedule, *kinds: type[Fault]) -> bool:
    return any(isinstance(at.fault, kinds) for at in schedule.faults)


def test_every_kind_of_fault_has_its_place_in_the_order() -> None:
    assert {*GENTLE} == {*Fault.__args__}


@pytest.mark.parametrize("earliest", [1, 2, 7, 40, 99, 100])
def test_a_fault_moves_to_an_earlier_call(earliest: int) -> None:
    schedule = Schedule(faults=(fault("write", ErrnoFault(errno="EIO"), 100, 100),))
    best = Driven(
        schedule, lambda one: fails_with(one, ErrnoFault) and one.faults[0].at.first >= earliest
    ).best
    assert best.faults[0].at.first == earliest


def met_at(*numbers: int) -> Show:
    places = tuple(Trigger(role="main/0", call="read", first=n, last=n) for n in numbers)
    return lambda schedule: Shown(events=1, met=(places,) * len(schedule.faults))


def test_a_pattern_becomes_a_call_that_it_met() -> None:
    at = Trigger(role="**", call="io", first=1, last=None)
    schedule = Schedule(faults=(FaultAt(at=at, fault=ErrnoFault(errno="EINTR")),))
    assert Driven(schedule, lambda one: one == schedule).best == schedule  # nothing was met

    def fails(one: Schedule) -> bool:
        return bool(one.faults) and (one.faults[0].at.last is None or one.faults[0].at.first == 5)

    best = Driven(schedule, fails, met_at(2, 5)).best
    assert best.faults[0].at == Trigger(role="main/0", call="read", first=5, last=5)


def test_what_has_not_come_to_pass_goes_at_once() -> None:
    schedule = Schedule(switches=tuple(switch(n) for n in range(1, 60)))

    def show(one: Schedule) -> Shown:
        unused = [i for i, each in enumerate(one.switches) if each.at.first != 7]
        return Shown(events=1, unused=tuple(unused))

    driven = Driven(schedule, lambda one: switch(7) in one.switches, show)
    assert driven.best.switches == (switch(7),)
    assert len(driven.asked) < 10


def deciding(schedule: Schedule) -> Shown:
    """Two tasks, of which main/0 makes fifty calls: odd ones read, even ones write."""
    return Shown(
        events=50,
        decisions=tuple(
            Decision(
                role="main/0",
                call="write" if total % 2 == 0 else "read",
                nth=(total + 1) // 2,
                total=total,
                others=("main/1",),
                chosen="main/0",
                preempts=True,
            )
            for total in range(1, 51)
        ),
    )


def test_one_switch_takes_the_place_of_several() -> None:
    schedule = Schedule(switches=(switch(10), switch(20)))
    alone = switch(30)

    def fails(one: Schedule) -> bool:
        return one.switches in (schedule.switches, (alone,))

    assert Driven(schedule, fails, deciding).best.switches == (alone,)


def test_a_switch_moves_to_an_earlier_step_and_then_names_its_call() -> None:
    schedule = Schedule(switches=(switch(41),))

    def fails(one: Schedule) -> bool:
        if len(one.switches) != 1:
            return False
        at = one.switches[0].at
        return (at.first if at.call == "*" else 2 * at.first - (at.call == "read")) >= 12

    best = Driven(schedule, fails, deciding).best.switches
    assert best in ((switch(6, call="write"),), (switch(7, call="read"),))
