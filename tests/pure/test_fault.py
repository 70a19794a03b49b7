"""Faults: said on the command line, in JSON and in words, and refused where they cannot be."""

import pytest
from hypothesis import given

from harness.calls import CALLS
from harness.errors import ScheduleError
from harness.fault import (
    CrashAfterFault,
    CrashFault,
    ErrnoFault,
    Fault,
    HoldFault,
    ShortFault,
    SignalFault,
    fault_from_json,
    parse_fault,
)
from tests.pure import strategies as some
from tests.pure.reading import FILE, assert_reads_or_says_where, attempt, refusal, through_json

ALL = [
    (ErrnoFault(errno="ENOSPC"), "ENOSPC", {"kind": "errno", "errno": "ENOSPC"}),
    (ShortFault(count=1), "short(1)", {"kind": "short", "count": 1}),
    (HoldFault(), "hold", {"kind": "hold"}),
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


@pytest.mark.parametrize("fault", [HoldFault(), CrashFault(), SignalFault(signal="TERM")], ids=str)
def test_a_fault_that_needs_no_answer_can_be_at_any_call(fault: Fault) -> None:
    for call in CALLS.values():
        fault.check_call(call)


def test_only_a_call_that_moves_data_can_be_short() -> None:
    fault = ShortFault(count=1)
    fault.check_call(CALLS["read"])
    line = refusal(lambda: fault.check_call(CALLS["fsync"]), ScheduleError)
    assert line == "short(1) cannot be at fsync, which moves no data"


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
        ("hold(1)", "fault 'hold(1)' is not of the form hold"),
        ("signal", "fault 'signal' is not of the form signal(TERM)"),
        ("signal(TREM)", "unknown signal 'TREM'; did you mean 'TERM'?"),
        ("crash(CHLD)", "SIGCHLD kills nobody; to deliver it: signal(CHLD)"),
        ("crash-after(KILL)", "fault 'crash-after(KILL)' is not of the form crash-after"),
        ("ENOSPACE", "unknown errno 'ENOSPACE'; did you mean 'ENOSPC'?"),
        ("shrot(1)", "unknown fault 'shrot(1)'; did you mean 'short'?"),
        ("zzz", "unknown fault 'zzz'; known: ENOSPC, crash, crash-after, hold, short, signal"),
        ("delay(5s)", "fault 'delay(5s)' is not in this version"),
        ("hold(until=a:read#1)", "fault 'hold(until=a:read#1)' is not in this version"),
        ("eof", "fault 'eof' is not in this version"),
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
        ({"kind": "delay"}, "file.json: kind: 'delay' is not in this version"),
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
        ({"kind": "hold", "count": 1}, "file.json: unknown key 'count'; known: kind"),
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
