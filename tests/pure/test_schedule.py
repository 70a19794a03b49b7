"""Schedules: triggers and roles, the entries, the whole, and the command line's forms of them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.calls import CALLS, matching
from harness.errors import ScheduleError
from harness.fault import CrashFault, ErrnoFault, HoldFault, ShortFault
from harness.schedule import (
    FaultAt,
    Limit,
    Schedule,
    Switch,
    Trigger,
    parse_fault_at,
    parse_limit,
    role_matches,
)
from tests.pure import strategies as some
from tests.pure.reading import (
    FILE,
    Value,
    assert_reads_or_says_where,
    attempt,
    refusal,
    through_json,
)

values = st.one_of(some.triggers(), some.faults_at(), some.switches, some.limits, some.schedules())


@given(values)
def test_a_value_is_read_from_json_as_it_was_written(value: Value) -> None:
    assert through_json(value) == value


@given(values)
def test_a_value_describes_itself_in_one_line(value: Value) -> None:
    assert value.describe().isprintable()


@given(some.schedules())
def test_a_schedule_is_read_from_its_file_as_it_was_written(schedule: Schedule) -> None:
    assert Schedule.loads(schedule.dumps(), FILE) == schedule


@given(some.faults_at())
def test_a_fault_and_its_place_are_parsed_as_they_are_said(entry: FaultAt) -> None:
    assert parse_fault_at(str(entry)) == entry


@given(some.limits)
def test_a_limit_is_parsed_as_it_is_said(limit: Limit) -> None:
    assert parse_limit(str(limit)) == limit


# ---- Removing an entry -------------------------------------------------------------------------


@given(some.schedules(), st.data())
def test_removing_any_entry_of_any_schedule_gives_a_valid_schedule(
    schedule: Schedule, data: st.DataObject
) -> None:
    while entries := [
        (kind, index)
        for kind in ("faults", "switches", "limits")
        for index in range(len(getattr(schedule, kind)))
    ]:
        kind, index = data.draw(st.sampled_from(entries))
        fewer: Any = schedule.without(kind, index)  # type: ignore[arg-type] # one of the three
        kept = list(getattr(schedule, kind))
        del kept[index]
        assert getattr(fewer, kind) == tuple(kept)
        assert through_json(fewer) == fewer
        schedule = fewer
    assert [*schedule.faults, *schedule.switches, *schedule.limits] == []


# ---- Roles -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "role", "matches"),
    [
        ("main", "main", True),
        ("main", "main/0", False),
        ("service/*", "service/0", True),
        ("service/*", "service", False),
        ("service/*", "service/0/1", False),
        ("service/*", "service/0#1", False),
        ("service#*", "service#12", True),
        ("service*", "service", True),
        ("service/**", "service/0/1#2", True),
        ("**", "client/slow", True),
        ("*", "client/slow", False),
        ("**/1", "a/b#c/1", True),
        ("*/1", "a#b/1", False),
        ("a*c", "abc", True),
        ("a*c", "a/c", False),
        ("a.c", "abc", False),
        ("**x*y", "x/xy", True),  # the first place that ** reaches is not the right one
    ],
)
def test_a_star_stays_within_a_level_and_two_cross(pattern: str, role: str, matches: bool) -> None:
    assert role_matches(pattern, role) is matches


@given(some.roles)
def test_a_role_matches_itself_and_what_leaves_everything_open(role: str) -> None:
    assert role_matches(role, role)
    assert role_matches("**", role)
    assert role_matches("*", role) is not ({"/", "#"} & set(role) != set())


def test_no_pattern_makes_matching_slow() -> None:
    # Tried place by place, this would take longer than anyone waits.
    assert not role_matches("**a*a" * 200 + "b", "a/" * 2000 + "a")


@pytest.mark.parametrize("role", ["", "a//b", "/a", "a/", "a:b", "a b", "-a", "a/-", "ä", "a\n"])
def test_what_is_no_role_is_refused(role: str) -> None:
    line = refusal(lambda: Trigger(role=role, call="read"), ScheduleError)
    assert line.startswith("role ")


# ---- Triggers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nth", "first", "last"), [(1, 1, 1), (7, 7, 7), ("*", 1, None), ("3+", 3, None)]
)
def test_which_call_is_a_number_or_every_one_or_from_one_on(
    nth: int | str, first: int, last: int | None
) -> None:
    trigger = Trigger.from_json({"role": "main", "call": "read", "nth": nth})
    assert trigger == Trigger(role="main", call="read", first=first, last=last)
    assert trigger.to_json()["nth"] == nth
    assert trigger.nth == str(nth)


def test_a_trigger_is_the_first_call_in_the_work_phase_unless_it_says_others() -> None:
    trigger = Trigger.from_json({"role": "main", "call": "read"})
    assert trigger == Trigger(role="main", call="read", first=1, last=1, phase="work")
    assert trigger.to_json() == {"role": "main", "call": "read", "nth": 1}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"call": "raed"}, "unknown call 'raed'; did you mean 'read'?"),
        ({"call": "read write"}, "call 'read write' is not of the form write, recv* or io"),
        ({"role": 1}, "role: expected a string, not a whole number"),
        ({"nth": 0}, "first must be a whole number from 1 to 999999999"),
        ({"nth": "2"}, 'nth: expected a whole number, "*" or "3+", not a string'),
        ({"nth": "0+"}, "nth: '0+' is not of the form 2, * or 3+"),
        ({"nth": True}, 'nth: expected a whole number, "*" or "3+", not true or false'),
        ({"nth": None}, 'nth: expected a whole number, "*" or "3+", not null'),
        ({"phase": "wrok"}, "unknown phase 'wrok'; did you mean 'work'?"),
        ({"nht": 1}, "unknown key 'nht'; did you mean 'nth'?"),
    ],
)
def test_a_wrong_trigger_is_refused_by_file_and_key(changed: dict[str, object], said: str) -> None:
    obj = {"role": "main", "call": "read", **changed}
    assert refusal(lambda: Trigger.from_json(obj, FILE), ScheduleError) == f"file.json: {said}"


def test_a_trigger_has_no_last_but_its_first() -> None:
    line = refusal(lambda: Trigger(role="main", call="read", first=2, last=5), ScheduleError)
    assert line == "last must be 2, as first is, or None: no last"


# ---- A fault at a trigger ----------------------------------------------------------------------


def at(call: str) -> Trigger:
    return Trigger(role="main", call=call)


def test_under_a_pattern_only_the_calls_that_can_have_the_fault_are_meant() -> None:
    short = FaultAt(at=at("fs"), fault=ShortFault(count=1)).calls()
    assert "read" in short
    assert "fsync" not in short
    errno = FaultAt(at=at("*"), fault=ErrnoFault(errno="EIO")).calls()
    assert errno == matching("*") - {"exit", "exit_group", "rt_sigreturn"}


@given(some.faults_at())
def test_the_calls_that_are_meant_are_some_that_match_and_none_that_refuses(entry: FaultAt) -> None:
    assert entry.calls()
    assert entry.calls() <= matching(entry.at.call)
    for name in entry.calls():
        entry.fault.check_call(CALLS[name])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fsync=short(1)", "short(1) cannot be at fsync, which moves no data"),
        ("exit_group=EIO", "EIO cannot be at exit_group, which is never answered"),
        ("exit*=EIO", "EIO cannot be at any of the calls that 'exit*' means"),
        ("wirte=EIO", "unknown call 'wirte'; did you mean 'write'?"),
        ("write#0=EIO", "#N: '0' is not of the form 2, * or 3+"),
        ("write#=EIO", "#N: '' is not of the form 2, * or 3+"),
        ("write@wrok=EIO", "unknown phase 'wrok'; did you mean 'work'?"),
        ("a b:write=EIO", "role 'a b' is not of the form main, service/* or client/**"),
        ("write=ENOSPACE", "unknown errno 'ENOSPACE'; did you mean 'ENOSPC'?"),
        ("write=drop", "fault 'drop' is not in this version"),
        ("write=delay(5)", "'5' is not a time: 500ms, 2s, 1.5h"),
        ("openat=eof", "eof cannot be at openat, which neither reads nor writes a stream"),
        ("time=reset", "reset cannot be at any of the calls that 'time' means"),
        ("write=", "fault '' is not of the form ENOSPC, hold or short(1)"),
    ],
)
def test_a_wrong_fault_on_the_command_line_is_refused_with_what_is_wrong(
    text: str, said: str
) -> None:
    line = refusal(lambda: parse_fault_at(text), ScheduleError)
    assert line == f"fault {text!r}: {said}"


@pytest.mark.parametrize("text", ["", "write", "=EIO", "write#1#2=EIO", "a:b:write=EIO", "#1=EIO"])
def test_what_has_not_the_form_of_a_fault_is_refused_with_an_example(text: str) -> None:
    line = refusal(lambda: parse_fault_at(text), ScheduleError)
    assert line == (
        f"fault {text!r} is not of the form [ROLE:]CALL[#N][@PHASE]=FAULT,"
        " as in write#2=ENOSPC or service/*:read#*=short(1)"
    )


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        (
            "write#2=ENOSPC",
            FaultAt(
                at=Trigger(role="main", call="write", first=2, last=2),
                fault=ErrnoFault(errno="ENOSPC"),
            ),
        ),
        (
            "service/*:read#*=short(1)",
            FaultAt(
                at=Trigger(role="service/*", call="read", first=1, last=None),
                fault=ShortFault(count=1),
            ),
        ),
        (
            "service#1:io#3+@recover=crash(SEGV)",
            FaultAt(
                at=Trigger(role="service#1", call="io", first=3, last=None, phase="recover"),
                fault=CrashFault(signal="SEGV"),
            ),
        ),
        ("exit_group=hold", FaultAt(at=at("exit_group"), fault=HoldFault())),
    ],
)
def test_the_command_line_says_role_call_which_phase_and_fault(text: str, entry: FaultAt) -> None:
    assert parse_fault_at(text) == entry


def test_without_a_role_the_root_task_is_meant() -> None:
    assert parse_fault_at("write=EIO", root="service").at.role == "service"
    assert parse_fault_at("client:write=EIO", root="service").at.role == "client"


@given(some.any_text | st.from_regex(r"[a-z/*:]{0,9}[a-z#0-9@]{0,9}=[a-zE(1)]{0,9}"))
def test_any_text_is_a_fault_at_its_place_or_refused(text: str) -> None:
    entry, line = attempt(lambda: parse_fault_at(text))
    assert line or parse_fault_at(str(entry)) == entry


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("service/1:open#3=EMFILE", "service/1: open#3 fails with EMFILE"),
        ("read#*=short(1)", "main: every read moves at most 1 byte"),
        ("io#3+@stop=hold", "main: every io from #3 on in phase stop is never answered"),
        ("write=crash", "main: write#1 is not carried out: SIGKILL kills the caller"),
        ("mkdir=crash-after", "main: mkdir#1 is carried out, then SIGKILL kills the caller"),
        ("read#2=signal(TERM)", "main: read#2 is met by SIGTERM"),
    ],
)
def test_a_fault_and_its_place_in_words(text: str, words: str) -> None:
    assert parse_fault_at(text).describe() == words


# ---- Switches and limits -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"role": "service/*"},
            "at.role 'service/*' is not of the form main: a switch is at one event",
        ),
        ({"nth": "*"}, "at.nth must be a number, not '*': a switch is one"),
        ({"call": "recv*"}, "at.call must be '*' or one call's name, not 'recv*'"),
        ({"call": "io"}, "at.call must be '*' or one call's name, not 'io'"),
    ],
)
def test_a_switch_is_at_exactly_one_event(changed: dict[str, object], said: str) -> None:
    obj = {"at": {"role": "main", "call": "*", "nth": 41, **changed}, "run": "main/0"}
    assert refusal(lambda: Switch.from_json(obj, FILE), ScheduleError) == f"file.json: {said}"


def test_a_switch_runs_one_task() -> None:
    line = refusal(lambda: Switch(at=at("*"), run="main/*"), ScheduleError)
    assert line == "run 'main/*' is not of the form main, service/0 or service#1"


def test_a_switch_in_words() -> None:
    where = Trigger(role="service", call="*", first=41, last=41)
    assert Switch(at=where, run="service/0").describe() == "at service:*#41 service/0 goes next"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "limit '' is not of the form [ROLE:]RESOURCE=VALUE, as in NOFILE=16"),
        (
            "NOFILE=-1",
            "limit 'NOFILE=-1' is not of the form [ROLE:]RESOURCE=VALUE, as in NOFILE=16",
        ),
        ("NOFIEL=1", "limit 'NOFIEL=1': unknown resource 'NOFIEL'; did you mean 'NOFILE'?"),
        ("a b:AS=1", "limit 'a b:AS=1': role 'a b' is not of the form main or service/*"),
        (
            "AS=9999999999999999999",
            "limit 'AS=9999999999999999999':"
            " value must be a whole number from 0 to 9223372036854775807",
        ),
    ],
)
def test_a_wrong_limit_is_refused_with_what_is_wrong(text: str, said: str) -> None:
    assert refusal(lambda: parse_limit(text), ScheduleError) == said


def test_a_limit_is_the_root_tasks_unless_it_says_another() -> None:
    assert parse_limit("NOFILE=16") == Limit(role="main", resource="NOFILE", value=16)
    assert parse_limit("NOFILE=16", root="service").role == "service"
    assert parse_limit("client/*:STACK=8").role == "client/*"


# ---- The whole ---------------------------------------------------------------------------------


def test_an_empty_schedule_is_a_complete_ordinary_run() -> None:
    schedule = Schedule.loads('{"format": 1}')
    assert schedule == Schedule()
    assert schedule.describe() == ("controlled, seed 0: nothing goes wrong")


def test_the_schedule_that_the_architecture_shows_is_read() -> None:
    text = """
    {"format": 1, "mode": "controlled", "seed": 7, "clock_start": "2026-01-01T00:00:00Z",
     "faults":   [{"at": {"role": "service/0", "call": "write", "nth": 2},
                   "fault": {"kind": "errno", "errno": "ENOSPC"}}],
     "switches": [{"at": {"role": "service", "call": "*", "nth": 41}, "run": "service/0"}]}
    """
    assert Schedule.loads(text).describe() == (
        "controlled, seed 7: service/0: write#2 fails with ENOSPC; 1 switch"
    )


BAD_FAULT = {"at": {"rol": "main", "call": "read"}, "fault": {"kind": "hold"}}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"format": 2}, "format: this version reads format 1 only"),
        ({"format": 2, "new": 1}, "format: this version reads format 1 only"),
        ({"format": "1"}, "format: expected a whole number, not a string"),
        ({"seed": -1}, "seed must be a whole number from 0 to 18446744073709551615"),
        ({"mode": "fere"}, "unknown mode 'fere'; did you mean 'free'?"),
        ({"fautls": []}, "unknown key 'fautls'; did you mean 'faults'?"),
        ({"faults": {}}, "faults: expected an array, not an object"),
        ({"faults": [BAD_FAULT]}, "faults[0].at: unknown key 'rol'; did you mean 'role'?"),
        ({"switches": [{"run": "main"}]}, "switches[0]: missing key 'at'"),
        ({"limits": [1]}, "limits[0]: expected an object, not a whole number"),
        ({"clock_start": "now"}, "clock_start 'now' is not of the form 2026-01-01T00:00:00Z"),
        (
            {"clock_start": "2026-02-30T00:00:00Z"},
            "clock_start '2026-02-30T00:00:00Z' is not a time that there is",
        ),
        (
            {"clock_start": "1969-12-31T23:59:59Z"},
            "clock_start '1969-12-31T23:59:59Z' is not in the years 1970 to 2261",
        ),
    ],
)
def test_a_wrong_schedule_is_refused_by_file_and_key(changed: dict[str, object], said: str) -> None:
    obj = {"format": 1, **changed}
    assert refusal(lambda: Schedule.from_json(obj, FILE), ScheduleError) == f"file.json: {said}"


def test_a_schedule_without_its_format_is_refused() -> None:
    line = refusal(lambda: Schedule.from_json({}, FILE), ScheduleError)
    assert line == "file.json: missing key 'format'"


def test_what_is_free_cannot_be_switched() -> None:
    switch = Switch(at=at("*"), run="main/0")
    line = refusal(lambda: Schedule(mode="free", switches=(switch,)), ScheduleError)
    assert line == "mode free has no switches: nothing is held there to be switched"


@given(some.garbage)
def test_garbage_is_read_as_a_schedule_or_refused_by_file(obj: object) -> None:
    assert_reads_or_says_where(Schedule.from_json, obj)
    assert_reads_or_says_where(Schedule.from_json, {"format": 1, "faults": [obj]})


@given(some.nearly(some.schedules().map(Schedule.to_json)))
def test_what_is_nearly_a_schedule_is_read_or_refused_by_file(obj: object) -> None:
    assert_reads_or_says_where(Schedule.from_json, obj)
