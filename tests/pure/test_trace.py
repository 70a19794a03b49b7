"""Traces: an event is a line and a line an event; the digest, and where two traces part."""

import hashlib
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import RecordingError
from harness.trace import Event, Trace, first_difference, path_arg
from tests.pure import strategies as some
from tests.pure.reading import FILE, assert_reads_or_says_where, attempt, refusal, through_json


def trace(*lines: str) -> Trace:
    return Trace(events=tuple(map(Event.parse, lines)))


# ---- Events ------------------------------------------------------------------------------------


@given(some.events())
def test_an_event_is_parsed_as_it_is_written(event: Event) -> None:
    assert Event.parse(event.line()) == event


@given(some.events())
def test_an_event_is_one_line_of_single_spaced_words(event: Event) -> None:
    assert event.line().isascii()
    assert event.line().isprintable()
    assert "" not in event.line().split(" ")
    assert event.describe().isprintable()


@given(some.any_text | st.from_regex(r"[a-z/ -]{0,9}[a-z#0-9]{0,9}[a-z:E -]{0,9}"))
def test_any_text_is_an_event_or_refused(text: str) -> None:
    event, line = attempt(lambda: Event.parse(text))
    assert line or (event is not None and event.line() == text)


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (Event(role="main", call="read", nth=1), "main read#1 -"),
        (
            Event(role="service#1/0", call="write", nth=2, action="fail:ENOSPC", args=("1", "8")),
            "service#1/0 write#2 fail:ENOSPC 1 8",
        ),
        (
            Event(role="main", call="openat", nth=3, args=("AT_FDCWD", path_arg("a b"))),
            r'main openat#3 - AT_FDCWD "a\u0020b"',
        ),
        (Event.mark("phase", 1, "work"), "- phase#1 - work"),
        (Event.mark("note", 2, '"x"'), '- note#2 - "x"'),
    ],
)
def test_a_line_is_role_call_action_and_arguments(event: Event, line: str) -> None:
    assert event.line() == line
    assert Event.parse(line) == event


@pytest.mark.parametrize(
    "line",
    [
        "",
        "main",
        "main read#1",
        "main read#1  -",
        "main read#1 - ",
        " main read#1 -",
        "main read#1 -\n",
        "main read#0 -",
        "main read#01 -",
        "main read -",
        "main read#1 fail",
        "main read#1 fail:enospc",
        "main read#1 short:0",
        "main read#1 crashed",
        "main read#1 - \x1b[31m",
        "ma:in read#1 -",
        "main READ#1 -",
        'main open#1 - "é"',
    ],
)
def test_what_is_no_event_is_refused(line: str) -> None:
    said = refusal(lambda: Event.parse(line), RecordingError)
    assert said.endswith("is not of the form ROLE CALL#NTH ACTION ARG ...")


@pytest.mark.parametrize("args", [("a b",), ("",), ("a", "b c"), ("\t",), ("é",)])
def test_an_argument_that_is_not_one_word_is_refused(args: tuple[str, ...]) -> None:
    refusal(lambda: Event(role="main", call="read", nth=1, args=args), RecordingError)


def test_a_space_cannot_pass_from_one_part_into_the_next() -> None:
    refusal(lambda: Event(role="main", call="read", nth=1, action="- x"), RecordingError)
    refusal(lambda: Event(role="main", call="read", nth=0), RecordingError)


@given(some.os_text)
def test_a_path_is_one_word_that_reads_back(path: str) -> None:
    assert " " not in path_arg(path)
    assert json.loads(path_arg(path)) == path
    assert path_arg(os.fsencode(path)) == path_arg(path)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("main read#1 - 3 100", "main read#1(3, 100)"),
        ("main write#2 fail:ENOSPC 1 8", "main write#2(1, 8): fail ENOSPC"),
        ("- phase#1 - work", "phase#1(work)"),
    ],
)
def test_an_event_in_words(line: str, words: str) -> None:
    assert Event.parse(line).describe() == words


# ---- Traces ------------------------------------------------------------------------------------


@given(some.traces)
def test_a_trace_is_read_from_json_as_it_was_written(trace: Trace) -> None:
    assert through_json(trace) == trace
    assert through_json(trace).digest == trace.digest
    assert trace.describe().isprintable()


def test_the_digest_is_that_of_the_lines() -> None:
    lines = ["main openat#1 - 3", "- phase#1 - work", "main write#1 short:1 1 8"]
    assert trace(*lines).digest == hashlib.sha256("\n".join(lines).encode()).hexdigest()


@pytest.mark.parametrize(
    "left_out", ["main brk#1 fail:ENOMEM", "main getpid#2 -", '- note#1 - "x"']
)
def test_what_equal_runs_need_not_have_is_not_in_the_digest(left_out: str) -> None:
    lines = ["main read#1 - 3 8", "main read#2 - 3 8"]
    assert trace(lines[0], left_out, lines[1]).digest == trace(*lines).digest


@pytest.mark.parametrize(
    "other",
    ["main/0 read#1 -", "main write#1 -", "main read#2 -", "main read#1 hold", "main read#1 - 3"],
)
def test_each_part_of_an_event_is_in_the_digest(other: str) -> None:
    assert trace("main read#1 -").digest != trace(other).digest


def test_a_call_that_the_table_does_not_know_counts() -> None:
    assert trace("main syscall_999#1 -").counted() != ()


@given(some.traces)
def test_equal_traces_do_not_differ(trace: Trace) -> None:
    assert first_difference(trace, trace) is None


@given(some.traces, some.traces)
def test_traces_with_different_digests_differ_somewhere(one: Trace, other: Trace) -> None:
    at = first_difference(one, other)
    assert (at is None) == (one.digest == other.digest)
    if at is not None:
        assert one.counted()[:at] == other.counted()[:at]
        assert one.counted()[at : at + 1] != other.counted()[at : at + 1]


def test_where_one_trace_ends_they_differ() -> None:
    assert first_difference(trace("main read#1 -"), trace()) == 0


def test_what_does_not_count_makes_no_difference() -> None:
    ours = trace("main read#1 -", "main brk#1 -", "main read#2 -")
    assert first_difference(ours, trace("main read#1 -", "main read#2 -")) is None
    assert first_difference(ours, trace("main read#1 -", "main read#3 -")) == 1


def test_a_trace_in_words() -> None:
    words = trace("- phase#1 - work", "main read#1 -", "main/0 read#1 -").describe()
    assert words.startswith("3 events of 2 tasks, digest ")


@pytest.mark.parametrize(
    ("obj", "said"),
    [
        ({}, "file.json: expected an array, not an object"),
        ([1], "file.json[0]: expected a string, not a whole number"),
        (
            ["main read#1 -", "main"],
            "file.json[1]: event 'main' is not of the form ROLE CALL#NTH ACTION ARG ...",
        ),
    ],
)
def test_a_wrong_trace_is_refused_by_file_and_line(obj: object, said: str) -> None:
    assert refusal(lambda: Trace.from_json(obj, FILE), RecordingError) == said


@given(some.garbage)
def test_garbage_is_refused_as_a_trace_by_its_place(obj: object) -> None:
    where = f"{FILE}: trace"
    assert_reads_or_says_where(lambda obj, _: Trace.from_json(obj, where), obj)
    assert_reads_or_says_where(lambda obj, _: Trace.from_json([obj], where), obj)
