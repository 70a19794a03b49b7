"""Which trials a sweep has, in which order, and when two of them find the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import points
from harness._engine.sweep_cases import Case, cases_of, in_turn, that_lasts
from harness._engine.sweep_tally import without_chance
from harness._engine.sweep_trials import in_order
from harness.errors import RunnerError
from harness.schedule import parse_fault_at
from harness.trace import Event, Trace


def trace(*lines: str) -> Trace:
    return Trace(events=tuple(map(Event.parse, ("- phase#1 - work", *lines))))


def case(fault: str) -> Case:
    return Case(point=0, kind="errno", at=parse_fault_at(fault))


def test_there_is_a_case_for_each_thing_that_can_go_wrong_at_each_point() -> None:
    there = points.points(trace("main read#1 - 0 10", "main exit_group#1 - 0"))
    said = [(one.point, one.kind, str(one.at)) for one in cases_of(there, ["device", "short"])]
    assert said == [
        (0, "device", "main:read=EIO"),
        (0, "short", "main:read=short(1)"),
    ]


def test_each_calls_first_use_comes_before_any_second_one() -> None:
    there = points.points(trace("main read#1 - 0 9", "main read#2 - 0 9", "main write#1 - 1 9"))
    cases = cases_of(there, ["short"])
    assert [str(cases[number].at.at) for number in in_turn(cases, range(3))] == [
        "main:read",
        "main:write",
        "main:read#2",
    ]
    assert in_turn(cases, [1, 2]) == [1, 2]


def order(kinds: list[str], *lines: str) -> list[str]:
    """What a sweep of this golden run tries, in turn."""
    cases = cases_of(points.points(trace(*lines)), kinds)
    return [str(cases[number].at) for number in in_turn(cases, range(len(cases)))]


def test_one_errno_of_each_call_comes_before_the_others_of_any_but_eintr_is_no_other() -> None:
    lines = ("main write#1 - 5 10", "main wait4#1 - 0x0", "main fsync#1 - 5")
    said = order(["errno"], *lines)
    firsts = {"main:write=ENOSPC", "main:write=EINTR", "main:wait4=EINTR", "main:fsync=ENOSPC"}
    assert {*said[:4]} == firsts


def test_of_equal_rank_each_is_far_from_those_before_it() -> None:
    lines = [f"main {call}#1 - 5 9" for call in ("read", "write", "recvfrom", "sendto", "readv")]
    said = order(["short"], *lines)
    assert [one.partition("=")[0] for one in said] == [
        "main:read", "main:readv", "main:recvfrom", "main:write", "main:sendto"
    ]  # fmt: skip


def test_a_child_is_no_other_caller_than_its_like() -> None:
    said = order(["short"], "main/0 read#1 - 0 9", "main/1 read#1 - 0 9", "main/1 write#1 - 1 9")
    assert said == ["main/0:read=short(1)", "main/1:write=short(1)", "main/1:read=short(1)"]


def test_to_kill_a_bare_command_comes_late_and_to_kill_a_service_does_not() -> None:
    of_command = order(["crash", "short"], "main write#1 - 1 9", "main write#2 - 1 9")
    assert of_command[:2] == ["main:write=short(1)", "main:write#2=short(1)"]
    of_service = order(["crash", "short"], "service write#1 - 1 9", "service write#2 - 1 9")
    assert of_service[:2] == ["service:write=crash", "service:write=short(1)"]


def test_what_is_about_libraries_comes_last_and_work_before_start_and_stop() -> None:
    lines = (
        'service openat#1 - AT_FDCWD "/lib/libc.so.6" 0x80000 00',
        "service read#1 - 3 832",
        "service close#1 - 3",
        "service recvfrom#1 - 4 9 0x0",
        "- phase#2 - stop",
        "service sendto#1 - 4 9 0x0",
        "service read#2 - 0 9",
        "- phase#3 - work",
        "service write#1 - 1 9",
    )
    assert order(["short"], *lines) == [
        "service:recvfrom=short(1)",
        "service:write=short(1)",
        "service:sendto@stop=short(1)",
        "service:read#2@stop=short(1)",
        "service:read=short(1)",
    ]


@given(st.lists(st.sampled_from(["main", "main/0", "service", "service/1"]), min_size=1))
def test_each_case_has_one_turn_whatever_the_order(callers: list[str]) -> None:
    calls = ["read", "write", "openat"]
    there = points.points(
        trace(
            *(
                f"{role} {calls[number % 3]}#{number + 1} - "
                + ('AT_FDCWD "/etc/x" 0x0 00' if number % 3 == 2 else "3 9")
                for number, role in enumerate(callers)
            )
        )
    )
    cases = cases_of(there, points.KINDS)
    assert sorted(in_turn(cases, range(len(cases)))) == [*range(len(cases))]
    some = range(0, len(cases), 2)
    assert sorted(in_turn(cases, some)) == [*some]


@given(st.permutations(range(6)), st.permutations(range(6)), st.integers(0, 6))
def test_answers_are_taken_in_the_order_of_the_cases_however_they_come(
    order: list[int], come: list[int], begun: int
) -> None:
    """Of the cases only the first so many were begun."""
    answers = ((number, RunnerError(str(number))) for number in come if number in order[:begun])
    assert [number for number, _ in in_order(order, answers)] == order[:begun]


# ---- Faults that last ----------------------------------------------------------------------------


TWICE = trace("main write#1 - 1 10", "main write#2 - 1 10", "main read#1 - 0 10")


def test_what_lasts_is_another_trial_where_the_call_is_made_again() -> None:
    longer = that_lasts(case("write=ENOSPC"), TWICE)
    assert longer is not None
    assert str(longer.at) == "main:write#*=ENOSPC"
    for fault in ("short(1)", "delay(2s)"):
        longer = that_lasts(case(f"write={fault}"), TWICE)
        assert longer is not None
        assert str(longer.at) == f"main:write#*={fault}"


@pytest.mark.parametrize(
    "fault",
    [
        "write#2=ENOSPC",  # never made again
        "read=EIO",
        "other:write=ENOSPC",
        "write@start=ENOSPC",  # made again, but in another phase
        "write=EINTR",  # who is right tries again for ever
        "write=EPIPE",
        "write=hold",
        "write=pause(2s)",
        "write=eof",  # the other end is gone: it lasts by itself
        "write=crash",
        "write=crash-after",
        "write=signal(TERM)",
    ],
)
def test_what_cannot_last_or_is_never_met_again_is_no_other_trial(fault: str) -> None:
    assert that_lasts(case(fault), TWICE) is None


# ---- The same, but for a name that is drawn ------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "is_taken_for"),
    [
        ("exits 0 with another /trial/tmp.0vTxh8Qk2P", "exits 0 with another /trial/tmp.*"),
        ("exits 0 with another /tmp/tmpk3_x9d2q/out", "exits 0 with another /tmp/*/out"),
        ("keeps another /tmp/a7Qx2_.lock", "keeps another /tmp/*.lock"),
        ("exits 0 with another /trial/list.new", None),
        ("exits 0 with another /trial/README.md", None),
        ("exits 0 with another /trial/MyFile2", None),
        ("exits 0 with another /trial/x1", None),
        ("exits 1 before it is ready", None),
        ("exits 0 with another /trial/k0wN8q", None),  # the golden run has it
    ],
)
def test_a_name_that_is_drawn_does_not_tell_findings_apart(
    what: str, is_taken_for: str | None
) -> None:
    assert without_chance(what, {"/trial/k0wN8q"}) == (is_taken_for or what)
