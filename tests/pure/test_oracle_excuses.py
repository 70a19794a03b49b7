"""The table of excuses: complete, as documented, and looked up by what a fault is and where."""

from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given

from harness.excuses import TABLE, Excused, Kind, Place, excused, kind_of
from harness.fault import parse_fault
from harness.schedule import FRESH, Schedule, role_matches
from tests.pure import strategies as some
from tests.pure.served import A, B, schedule

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "oracles.md"
CLIENTS = (A, B)


def excuse(*faults: str, fired: int = 1) -> Excused:
    return excused("service", CLIENTS, schedule(*faults), (fired,) * len(faults))


def test_every_kind_of_fault_at_every_place_has_a_row() -> None:
    assert set(TABLE) == {(kind, place) for kind in get_args(Kind) for place in get_args(Place)}


@pytest.mark.parametrize(("kind", "place"), TABLE)
def test_each_row_is_in_the_documentation(kind: Kind, place: Place) -> None:
    assert f"| {kind} | {place} | {TABLE[kind, place].describe()} |" in PAGE.read_text()


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("ENOSPC", "errno"),
        ("short(1)", "short"),
        ("hold", "hold"),
        ("crash", "crash"),
        ("crash(SEGV)", "crash"),
        ("crash-after", "crash"),
        ("signal(TERM)", "crash"),
        ("signal(STOP)", "hold"),
        ("signal(CHLD)", "signal"),
    ],
)
def test_a_signal_stands_in_the_row_of_what_it_does_unless_it_is_handled(
    fault: str, kind: Kind
) -> None:
    assert kind_of(parse_fault(fault)) == kind


@pytest.mark.parametrize(
    ("role", "service", "child", "clients"),
    [
        ("service", True, False, ""),
        ("service#2", True, False, ""),
        ("restarted", True, False, ""),
        ("service/0", False, True, ""),
        ("service/0#1", False, True, ""),
        ("service#1/0", False, True, ""),
        ("service/*", False, True, ""),
        ("service**", True, True, ""),
        ("*", True, False, ""),
        ("**", True, True, "01"),
        ("*/0", True, True, "0"),
        ("client/0/*", False, False, "0"),
        ("client/0/a*", False, False, "0"),
        ("client/0", False, False, "0"),
        ("client/0/1", False, False, "0"),
        ("client/*", False, False, "01"),
        ("client/**", False, False, "01"),
        ("client/fresh", False, False, ""),
        ("servicer", False, False, ""),
    ],
)
def test_where_a_fault_is_goes_by_the_roles_that_its_pattern_may_mean(
    role: str, service: bool, child: bool, clients: str
) -> None:
    crash = excuse(f"{role}:read=crash")
    assert crash.ended == service
    assert (crash.operations is None) == service
    assert (excuse(f"{role}:read=EIO").operations == 0) == (not service and not child)
    assert crash.clients == {f"client/{name}" for name in clients}


@given(some.roles, some.role_patterns)
def test_a_client_that_a_fault_can_have_hit_is_excused(role: str, pattern: str) -> None:
    if role_matches(pattern, role):
        found = excused("service", [role], schedule(f"{pattern}:read=EIO"), [1])
        assert role in found.clients


@given(some.schedules())
def test_what_did_not_fire_excuses_nothing(given: Schedule) -> None:
    unlimited = Schedule(faults=given.faults)
    none = excused("service", CLIENTS, unlimited, (0,) * len(unlimited.faults))
    assert none == Excused()


@given(some.schedules())
def test_whatever_fired_the_words_say_it(given: Schedule) -> None:
    all_fired = excused("service", CLIENTS, given, (1,) * len(given.faults))
    assert all(str(one) in all_fired.said for one in (*given.faults, *given.limits))


def test_each_time_that_a_fault_fires_an_operation_may_fail() -> None:
    assert excuse("read=EIO", "service/0:write=EIO", fired=2).operations == 4
    assert excuse("read=EIO", "write=short(1)").operations == 1
    assert excuse("read=EIO", "service/0:read=crash", "read=crash").operations is None


def test_the_phase_says_what_a_fault_may_keep_from_going_well() -> None:
    for phase in "start", "work", "recover", "stop", "settle":
        failed, held = excuse(f"read@{phase}=EIO"), excuse(f"read@{phase}=hold")
        assert failed.refused == (phase == "start")
        assert failed.stopped == (phase in ("stop", "settle"))
        assert failed.late == held.late == (phase == "recover")
        assert held.stuck == (phase in ("recover", "stop", "settle"))


def test_of_several_faults_one_is_enough() -> None:
    late = excuse("read=EIO", "unlink@stop=EIO")
    assert (late.stopped, late.name_stays, late.refused) == (True, True, False)


def test_who_is_served_after_the_faults_is_no_client_of_the_plan() -> None:
    assert excuse(f"{FRESH}:read@recover=EIO").clients == frozenset()


def test_an_outcome_of_another_schedule_is_refused() -> None:
    with pytest.raises(ValueError, match="counts 2 faults, its schedule has 1"):
        excused("service", CLIENTS, schedule("read=EIO"), (1, 0))
