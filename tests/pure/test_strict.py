"""Strict reading and the errors it gives: one printable line that names the file and the key."""

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import (
    HarnessError,
    MachineError,
    ScheduleError,
    SubjectError,
    printable,
    unknown,
)
from harness.strict import Keys, dumps, inside, loads
from tests.pure import strategies as some
from tests.pure.reading import FILE, refusal


def read(text: str | bytes) -> object:
    return loads(text, FILE, ScheduleError)


# ---- Errors ------------------------------------------------------------------------------------


def test_an_error_is_one_line_with_nothing_that_a_terminal_would_act_on() -> None:
    assert str(HarnessError("two\n lines \x1b[31m \udc80")) == "two lines \\x1b[31m \\udc80"


@given(st.text())
def test_printable_text_is_printable(text: str) -> None:
    assert printable(text).isprintable()


@pytest.mark.parametrize(
    "error",
    [
        ScheduleError("a b"),
        MachineError("no user namespaces", fix="sysctl x=1"),
        SubjectError("no such file", status=127),
    ],
)
def test_an_error_survives_the_way_to_another_process(error: HarnessError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (str(copy), vars(copy)) == (str(error), vars(error))


def test_a_machine_error_ends_with_its_fix() -> None:
    assert (
        str(MachineError("no listener", fix="use Linux 5.0")) == "no listener; fix: use Linux 5.0"
    )


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("hodl", "unknown kind 'hodl'; did you mean 'hold'?"),
        ("xyz", "unknown kind 'xyz'; known: crash, hold"),
        ("x" * 10**6, "unknown kind '" + "x" * 57 + "...'; known: crash, hold"),
    ],
)
def test_an_unknown_word_is_answered_with_the_nearest_or_with_all(word: str, said: str) -> None:
    assert unknown("kind", word, {"hold", "crash"}) == said


# ---- Text --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "file.json: not JSON at line 1 column 1: Expecting value"),
        ('{\n"a": }', "file.json: not JSON at line 2 column 6: Expecting value"),
        ('{"a": 1, "a": 2}', "file.json: key 'a' stands twice in one object"),
        ("[NaN]", "file.json: NaN is not a JSON number"),
        ("-Infinity", "file.json: -Infinity is not a JSON number"),
        (b"\xff", "file.json: not UTF-8 at byte 0"),
        ("9" * 10_000, "file.json: a number has too many digits"),
        ("[" * 100_000, "file.json: nested too deeply"),
        ('{"a":' * 100_000, "file.json: nested too deeply"),
    ],
)
def test_text_that_is_not_strict_json_is_refused(text: str | bytes, said: str) -> None:
    assert refusal(lambda: read(text), ScheduleError) == said


@given(some.garbage.filter(lambda value: json.loads(json.dumps(value)) == value))
def test_what_is_written_for_people_is_the_same_json(value: object) -> None:
    assert json.loads(dumps(value)) == value


def test_what_fits_on_a_line_stands_on_one() -> None:
    long = ["x" * 40, "y" * 40, {"z": "z" * 40}]
    assert dumps({"a": [1, {"b": 2}], "c": long}).splitlines() == [
        "{",
        '  "a": [1, {"b": 2}],',
        '  "c": [',
        f'    "{"x" * 40}",',
        f'    "{"y" * 40}",',
        f'    {{"z": "{"z" * 40}"}}',
        "  ]",
        "}",
    ]


# ---- Keys --------------------------------------------------------------------------------------


def keys(obj: object) -> Keys:
    return Keys(obj, "file.json: at", ScheduleError, "role nth? mode? env?")


@pytest.mark.parametrize(
    ("obj", "said"),
    [
        ([], "file.json: at: expected an object, not an array"),
        (None, "file.json: at: expected an object, not null"),
        ({"rol": "x"}, "file.json: at: unknown key 'rol'; did you mean 'role'?"),
        ({"role": "x", "q": 1}, "file.json: at: unknown key 'q'; known: env, mode, nth, role"),
        ({"nth": 1}, "file.json: at: missing key 'role'"),
        ({1: "x"}, "file.json: at: expected a string, not a whole number"),
    ],
)
def test_an_object_has_the_keys_that_it_must_and_may_have(obj: object, said: str) -> None:
    assert refusal(lambda: keys(obj), ScheduleError) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (True, "expected a whole number, not true or false"),
        (1.0, "expected a whole number, not a number"),
        ("1", "expected a whole number, not a string"),
        (None, "expected a whole number, not null"),
        ({}, "expected a whole number, not an object"),
        (b"", "expected a whole number, not a Python bytes"),
    ],
)
def test_a_value_has_exactly_its_type(value: object, said: str) -> None:
    obj = {"role": "x", "nth": value}
    line = refusal(lambda: keys(obj).take("nth", int, 1), ScheduleError)
    assert line == f"file.json: at.nth: {said}"


def test_a_whole_number_is_a_number_unless_no_float_can_hold_it() -> None:
    assert keys({"role": "x", "nth": 3}).take("nth", float) == 3.0
    huge = keys({"role": "x", "nth": 10**400})
    assert refusal(lambda: huge.take("nth", float)).startswith("file.json: at.nth: expected a num")


def test_a_key_that_may_be_missing_has_its_default() -> None:
    assert keys({"role": "x"}).take("nth", int, 1) == 1


@pytest.mark.parametrize("mode", ["644", "0888", "rw-r", "100644", ""])
def test_a_mode_is_four_octal_digits(mode: str) -> None:
    line = refusal(lambda: keys({"role": "x", "mode": mode}).take_mode("mode"))
    assert line == f"file.json: at.mode {mode!r} is not of the form 0644"


def test_a_wrong_item_is_named_by_its_index_and_a_wrong_member_by_its_name() -> None:
    wrong_item = keys({"role": "x", "env": ["a", 1]})
    assert refusal(lambda: wrong_item.take_all("env", str)).startswith("file.json: at.env[1]: ")
    wrong_member = keys({"role": "x", "env": {"PATH": 1}})
    assert refusal(lambda: wrong_member.take_pairs("env")).startswith("file.json: at.env.PATH: ")


def test_a_place_is_the_file_and_then_the_way_to_the_key() -> None:
    assert inside(inside("file.json", "faults[0]"), "at") == "file.json: faults[0].at"
