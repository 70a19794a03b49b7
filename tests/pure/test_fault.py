"""Faults: said on the command line, in JSON and in words, and refused where they cannot be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.calls import CALLS
from harness.duration import duration_text, parse_duration
from harness.errors import ScheduleError
from harness.fault import (
    CrashAfterFault,
    CrashFault,
    DelayFault,
    EofFault,
    ErrnoFault,
    Fault,
    HoldFault,
    PauseFault,
    ResetFault,
    ShortFault,
    SignalFault,
    fault_from_json,
    parse_fault,
    parse_faults,
)
from harness.trigger import Trigger
from tests.pure import strategies as some
from tests.pure.reading import FILE, assert_reads_or_says_where, attempt, refusal, through_json

ALL = [
    (ErrnoFault(errno="ENOSPC"), "ENOSPC", {"kind": "errno", "errno": "ENOSPC"}),
    (ShortFault(count=1), "short(1)", {"kind": "short", "count": 1}),
    (EofFault(), "eof", {"kind": "eof"}),
    (ResetFault(), "reset", {"kind": "reset"}),
    (HoldFault(), "hold", {"kind": "hold"}),
    (
        HoldFault(until=Trigger(role="main/0", call="write", first=3, last=None)),
        "hold(until=main/0:write#3+)",
        {"kind": "hold", "until": {"role": "main/0", "call": "write", "nth": "3+"}},
    ),
    (DelayFault(time_ns=1_500_000_000), "delay(1500ms)", {"kind": "delay", "time_ns": 15 * 10**8}),
    (PauseFault(time_ns=60 * 10**9), "pause(1m)", {"kind": "pause", "time_ns": 60 * 10**9}),
    (CrashFault(), "crash", {"kind": "crash", "signal": "KILL"}),
    (CrashFault(signal="SEGV"), "crash(SEGV)", {"kind": "crash", "signal": "SEGV"}),
    (CrashAfterFault(), "crash-after", {"kind": "crash-after"}),
    (SignalFault(signal="TERM"), "signal(TERM)", {"kind": "signal", "signal": "TERM"}),
]


@pytest.mark.parametrize(("fault", "text", "obj"), ALL)
def test_each_kind_has_its_form_on_the_command_line_and_in_json(
    fault: Fault, text: str, obj: dict[str, object]
) -> None:
    assert (str(fault), fault.to_json()) == (text, obj)
    assert parse_fault(text) == fault_from_json(obj) == fault


@given(some.faults)
def test_a_fault_is_read_from_json_as_it_was_written(fault: Fault) -> None:
    assert through_json(fault) == fault
    assert fault_from_json(fault.to_json()) == fault


@given(some.faults)
def test_a_fault_is_parsed_as_it_is_said(fault: Fault) -> None:
    assert parse_fault(str(fault)) == fault


@given(some.faults)
def test_a_fault_describes_itself_in_one_line(fault: Fault) -> None:
    assert fault.describe().isprintable()


def test_a_crash_without_a_signal_is_a_kill() -> None:
    assert fault_from_json({"kind": "crash"}) == CrashFault(signal="KILL")


@pytest.mark.parametrize("name", ["TERM", "SIGTERM"])
def test_a_signal_has_one_name_however_it_is_said(name: str) -> None:
    assert SignalFault(signal=name).signal == "TERM"


# ---- Where a fault cannot be -------------------------------------------------------------------


@pytest.mark.parametrize("call", ["exit", "exit_group", "rt_sigreturn"])
@pytest.mark.parametrize("fault", [ErrnoFault(errno="EIO"), CrashAfterFault()], ids=str)
def test_a_call_that_is_never_answered_cannot_be_failed(fault: Fault, call: str) -> None:
    line = refusal(lambda: fault.check_call(CALLS[call]), ScheduleError)
    assert line == f"{fault} cannot be at {call}, which is never answered"


ANYWHERE = [
    HoldFault(),
    CrashFault(),
    SignalFault(signal="TERM"),
    DelayFault(time_ns=1),
    PauseFault(time_ns=1),
]


@pytest.mark.parametrize("fault", ANYWHERE, ids=str)
def test_a_fault_that_needs_no_answer_can_be_at_any_call(fault: Fault) -> None:
    for call in CALLS.values():
        fault.check_call(call)


def test_only_a_call_that_moves_data_can_be_short() -> None:
    fault = ShortFault(count=1)
    fault.check_call(CALLS["read"])
    line = refusal(lambda: fault.check_call(CALLS["fsync"]), ScheduleError)
    assert line == "short(1) cannot be at fsync, which moves no data"


@pytest.mark.parametrize("fault", [EofFault(), ResetFault()], ids=str)
def test_only_what_has_another_end_can_end(fault: Fault) -> None:
    for name in ("read", "readv", "recvfrom", "recvmsg", "write", "sendto", "sendmsg"):
        fault.check_call(CALLS[name])
    for name in ("pread64", "openat", "splice", "accept4"):
        line = refusal(lambda name=name: fault.check_call(CALLS[name]), ScheduleError)
        assert line == f"{fault} cannot be at {name}, which neither reads nor writes a stream"


# ---- Several at one call -----------------------------------------------------------------------


def test_what_puts_a_call_off_goes_with_what_becomes_of_it() -> None:
    said = "delay(2s)+short(1)+hold(until=main:read#2+)+pause(1ms)"
    assert parse_faults(said) == (
        DelayFault(time_ns=2 * 10**9),
        ShortFault(count=1),
        HoldFault(until=Trigger(role="main", call="read", first=2, last=None)),
        PauseFault(time_ns=10**6),
    )
    assert parse_faults("signal(RTMIN+1)") == (SignalFault(signal="RTMIN+1"),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("short(1)+EIO", "short(1) and EIO cannot both be at one call"),
        ("hold+crash", "hold and crash cannot both be at one call"),
        ("delay(1s)+", "fault '' is not of the form"),
        ("+delay(1s)", "fault '' is not of the form"),
    ],
)
def test_two_things_that_become_of_one_call_are_refused(text: str, said: str) -> None:
    assert refusal(lambda: parse_faults(text), ScheduleError).startswith(said)


@given(st.lists(some.faults, min_size=1, max_size=3))
def test_several_faults_are_parsed_as_they_are_said(faults: list[Fault]) -> None:
    said = "+".join(map(str, faults))
    parsed, line = attempt(lambda: parse_faults(said))
    if sum(not fault.puts_off for fault in faults) > 1:
        assert "cannot both be at one call" in line
    else:
        assert parsed == tuple(faults)


@given(some.times)
def test_a_time_is_parsed_as_it_is_written(time_ns: int) -> None:
    assert parse_duration(duration_text(time_ns)) == time_ns


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("1ns", 1),
        ("1.5us", 1500),
        ("0.5s", 5 * 10**8),
        ("90m", 5400 * 10**9),
        ("1.5h", 54 * 10**11),
    ],
)
def test_a_time_has_a_unit_and_may_have_a_fraction(text: str, time_ns: int) -> None:
    assert parse_duration(text) == time_ns


# ---- What is no fault --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "fault '' is not of the form ENOSPC, hold or short(1)"),
        ("short(1", "fault 'short(1' is not of the form ENOSPC, hold or short(1)"),
        ("short", "fault 'short' is not of the form short(1)"),
        ("short()", "fault 'short()' is not of the form short(1)"),
        ("short(0)", "fault 'short(0)' is not of the form short(1)"),
        ("short(-1)", "fault 'short(-1)' is not of the form short(1)"),
        ("short(9999999999)", "count must be a whole number from 1 to 2147479552"),
        (
            "hold(1)",
            "fault 'hold(1)' is not of the form hold or hold(until=ROLE:CALL#N)",
        ),
        ("signal", "fault 'signal' is not of the form signal(TERM)"),
        ("signal(TREM)", "unknown signal 'TREM'; did you mean 'TERM'?"),
        ("crash(CHLD)", "SIGCHLD kills nobody; to deliver it: signal(CHLD)"),
        ("crash-after(KILL)", "fault 'crash-after(KILL)' is not of the form crash-after"),
        ("ENOSPACE", "unknown errno 'ENOSPACE'; did you mean 'ENOSPC'?"),
        ("shrot(1)", "unknown fault 'shrot(1)'; did you mean 'short'?"),
        (
            "zzz",
            "unknown fault 'zzz'; known: ENOSPC, crash, crash-after, delay, eof, hold, pause,"
            " reset, short, signal",
        ),
        ("drop", "fault 'drop' is not in this version"),
        ("delay", "fault 'delay' is not of the form delay(2s)"),
        ("pause(soon)", "'soon' is not a time: 500ms, 2s, 1.5h"),
        ("delay(0.5ns)", "'0.5ns' is not a whole time from 1ns to 1000000000s"),
        ("hold(until=raed)", "unknown call 'raed'; did you mean 'read'?"),
    ],
)
def test_a_word_that_is_no_fault_is_refused_with_what_would_be(text: str, said: str) -> None:
    assert refusal(lambda: parse_fault(text), ScheduleError) == said


@pytest.mark.parametrize(
    ("obj", "said"),
    [
        ("ENOSPC", "file.json: expected an object, not a string"),
        ({}, "file.json: missing key 'kind'"),
        ({"kind": 1}, "file.json: kind: expected a string, not a whole number"),
        ({"kind": "hodl"}, "file.json: kind: unknown fault 'hodl'; did you mean 'hold'?"),
        ({"kind": "drop"}, "file.json: kind: 'drop' is not in this version"),
        ({"kind": "delay"}, "file.json: missing key 'time_ns'"),
        (
            {"kind": "delay", "time": 1},
            "file.json: unknown key 'time'; did you mean 'time_ns'?",
        ),
        (
            {"kind": "pause", "time_ns": 1.5},
            "file.json: time_ns: expected a whole number, not a number",
        ),
        (
            {"kind": "pause", "time_ns": 0},
            "file.json: time_ns must be a whole number from 1 to 1000000000000000000",
        ),
        (
            {"kind": "hold", "until": {"role": "main"}},
            "file.json: until: missing key 'call'",
        ),
        ({"kind": "hold", "until": None}, "file.json: until: expected an object, not null"),
        ({"kind": "eof", "count": 1}, "file.json: unknown key 'count'; known: kind"),
        ({"kind": "errno"}, "file.json: missing key 'errno'"),
        (
            {"kind": "errno", "errno": "ENOSPACE"},
            "file.json: unknown errno 'ENOSPACE'; did you mean 'ENOSPC'?",
        ),
        (
            {"kind": "short", "cuont": 1},
            "file.json: unknown key 'cuont'; did you mean 'count'?",
        ),
        (
            {"kind": "short", "count": True},
            "file.json: count: expected a whole number, not true or false",
        ),
        (
            {"kind": "short", "count": 0},
            "file.json: count must be a whole number from 1 to 2147479552",
        ),
        ({"kind": "hold", "count": 1}, "file.json: unknown key 'count'; did you mean 'until'?"),
    ],
)
def test_json_that_is_no_fault_is_refused_by_file_and_key(obj: object, said: str) -> None:
    assert refusal(lambda: fault_from_json(obj, FILE), ScheduleError) == said


def test_one_kind_is_not_read_as_another() -> None:
    line = refusal(lambda: HoldFault.from_json({"kind": "crash-after"}, FILE), ScheduleError)
    assert line == "file.json: kind: 'crash-after' is not 'hold'"


@given(some.garbage)
def test_garbage_is_read_as_a_fault_or_refused_by_file(obj: object) -> None:
    assert_reads_or_says_where(fault_from_json, obj)


@given(some.nearly(some.faults.map(lambda fault: fault.to_json())))
def test_what_is_nearly_a_fault_is_read_or_refused_by_file(obj: object) -> None:
    assert_reads_or_says_where(fault_from_json, obj)


@given(some.any_text)
def test_any_text_is_parsed_or_refused(text: str) -> None:
    fault, line = attempt(lambda: parse_fault(text))
    assert line or parse_fault(str(fault)) == fault
