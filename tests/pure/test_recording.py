"""Recordings: read as they were written, as their published schema says, or refused in one line."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import RecordingError
from harness.fault import HoldFault
from harness.recording import INPUT_MAX, ClientCommand, InputFile, Recording, Versions
from harness.schedule import FaultAt, Schedule, Trigger
from harness.trace import Event, Trace
from harness.verdict import Outcome, Output, Verdict
from tests.pure import strategies as some
from tests.pure.reading import FILE, Value, assert_reads_or_says_where, refusal, through_json

jsonschema = pytest.importorskip(
    "jsonschema", reason="the published schema is checked with it; fix: pip install -e '.[test]'"
)

SCHEMA = Path(__file__).parents[2] / "docs" / "reference" / "recording.schema.json"
values: st.SearchStrategy[Value] = st.one_of(
    some.clients, some.input_files, some.fingerprints, some.recordings()
)
small = Recording(
    command=("cat", "a file"),
    environment=(("PATH", "/bin"),),
    cwd="/home/me/here",
    home="/home/me",
    deadline_s=10.0,
    step_limit=100_000,
    schedule=Schedule(
        faults=(FaultAt(at=Trigger(role="main", call="exit_group"), fault=HoldFault()),)
    ),
    expected=Outcome(
        end="deadline",
        status=None,
        stdout=Output.of(b""),
        stderr=Output.of(b""),
        fired=(1,),
        seen=(1,),
    ),
    verdict=Verdict(status="INCONCLUSIVE", reason="it was held"),
    trace=Trace(events=(Event(role="main", call="exit_group", nth=1, action="hold"),)),
    digest="0" * 64,
    versions=Versions(faultharness="0.1.0", python="3.11.2", kernel="6.18.0"),
    program="1" * 64,
)


def schema() -> Any:
    return jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))


@given(values)
def test_a_value_is_read_from_json_as_it_was_written(value: Value) -> None:
    assert through_json(value) == value
    assert value.describe()


@given(some.recordings())
def test_a_recording_is_read_from_its_file_as_it_was_written(recording: Recording) -> None:
    text = recording.dumps()
    assert text.isascii()
    assert Recording.loads(text, FILE) == recording
    assert Recording.loads(text.encode(), FILE) == recording


def test_a_recording_in_words() -> None:
    assert small.describe() == (
        "cat 'a file' | controlled, seed 0:"
        " main: exit_group#1 is never answered | INCONCLUSIVE: it was held"
    )


# ---- The published schema ----------------------------------------------------------------------


def test_the_published_schema_is_one() -> None:
    schema().check_schema(json.loads(SCHEMA.read_text()))


@given(some.recordings())
def test_what_is_written_is_what_the_schema_says(recording: Recording) -> None:
    schema().validate(recording.to_json())


@given(some.nearly(some.recordings().map(Recording.to_json)))
def test_what_is_read_is_what_the_schema_says(obj: object) -> None:
    assert_reads_or_says_where(Recording.from_json, obj)
    if not schema().is_valid(obj):
        refusal(lambda: Recording.from_json(obj, FILE))


# ---- What is in one ----------------------------------------------------------------------------


@given(st.binary(max_size=100))
def test_an_input_file_holds_its_contents(data: bytes) -> None:
    file = InputFile.of("/f", 0o644, data)
    assert file.data == data


def test_a_large_input_file_is_known_by_its_digest_only() -> None:
    assert InputFile.of("/f", 0o644, b"x" * INPUT_MAX).data == b"x" * INPUT_MAX
    assert InputFile.of("/f", 0o644, b"x" * (INPUT_MAX + 1)).content is None


def test_the_input_of_the_subject_is_bytes_again() -> None:
    assert Recording.from_json({**small.to_json(), "stdin": "aGkK"}).stdin_data == b"hi\n"
    assert small.stdin_data is None


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"content": "aGkK"}, "content does not have the digest sha256"),
        ({"content": "aGk"}, "content is not base64: 'aGk'"),
        ({"content": "aG kK"}, "content is not base64: 'aG kK'"),
        ({"content": "é"}, "content is not base64: 'é'"),
        ({"program": 1}, "program: expected true or false, not a whole number"),
        ({"mode": "9999"}, "mode '9999' is not of the form 0644"),
    ],
)
def test_a_wrong_input_file_is_refused_by_file_and_key(
    changed: dict[str, object], said: str
) -> None:
    obj = {**InputFile.of("/f", 0o644, b"ho\n").to_json(), **changed}
    assert refusal(lambda: InputFile.from_json(obj, FILE), RecordingError) == f"file.json: {said}"


def test_contents_that_are_too_many_are_refused() -> None:
    file = InputFile.of("/f", 0o644, b"x" * INPUT_MAX)
    obj = {**file.to_json(), "content": "QUJD" * (INPUT_MAX // 3 + 1)}
    line = refusal(lambda: InputFile.from_json(obj, FILE), RecordingError)
    assert line == "file.json: content has more than 65536 bytes"


CLIENT = ClientCommand(name="client/slow", command=("cat",)).to_json()
BAD_FAULT = {"at": {"role": "main", "call": "raed"}, "fault": {"kind": "hold"}}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"format": 2}, "format: this version reads format 1 only"),
        ({"comand": []}, "unknown key 'comand'; did you mean 'command'?"),
        ({"command": []}, "command must have at least the program's name"),
        ({"command": "cat"}, "command: expected an array, not a string"),
        ({"command": ["a\0"]}, r"command has a NUL character in it: 'a\x00'"),
        ({"clients": [CLIENT, CLIENT]}, "clients must not share a name"),
        ({"clients": [{"name": "a b"}]}, "clients[0]: missing key 'command'"),
        ({"environment": {"A=B": ""}}, "environment 'A=B' is not of the form PATH"),
        ({"environment": {"A": 1}}, "environment.A: expected a string, not a whole number"),
        ({"cwd": "here"}, "cwd 'here' is not of the form /an/absolute/path"),
        ({"stdin": "?"}, "stdin is not base64: '?'"),
        ({"ready": 1}, "ready: expected a string, not a whole number"),
        ({"stop": "TREM"}, "unknown signal 'TREM'; did you mean 'TERM'?"),
        ({"deadline_s": 0}, "deadline_s must be above 0, and not infinite"),
        ({"deadline_s": "10s"}, "deadline_s: expected a number, not a string"),
        ({"deadline_s": True}, "deadline_s: expected a number, not true or false"),
        ({"step_limit": 0}, "step_limit must be a whole number from 1 to 1000000000"),
        ({"schedule": {"format": 3}}, "schedule.format: this version reads format 1 only"),
        (
            {"schedule": {"format": 1, "faults": [BAD_FAULT]}},
            "schedule.faults[0].at: unknown call 'raed'; did you mean 'read'?",
        ),
        (
            {"schedule": {"format": 1}},
            "expected.fired must have a number for each of schedule.faults",
        ),
        ({"verdict": {}}, "verdict: missing key 'status'"),
        ({"golden": {}}, "golden: missing key 'end'"),
        (
            {"trace": ["x"]},
            "trace[0]: event 'x' is not of the form ROLE CALL#NTH ACTION ARG ...",
        ),
        ({"digest": "x"}, "digest 'x' is not of the form 64 digits 0-9a-f"),
        ({"versions": {"python": ""}}, "versions: missing key 'faultharness'"),
    ],
)
def test_a_wrong_recording_is_refused_by_file_and_key(
    changed: dict[str, object], said: str
) -> None:
    obj = {**small.to_json(), **changed}
    assert refusal(lambda: Recording.from_json(obj, FILE)) == f"file.json: {said}"


#: Older recordings have none of these.
LATER = {"fingerprint", "threads"}


@pytest.mark.parametrize("key", sorted(small.to_json().keys() - LATER))
def test_no_key_of_a_recording_may_be_missing(key: str) -> None:
    obj = small.to_json()
    del obj[key]
    assert refusal(lambda: Recording.from_json(obj, FILE)) == f"file.json: missing key {key!r}"


def test_an_older_recording_is_read_too() -> None:
    old = {key: value for key, value in small.to_json().items() if key not in LATER}
    schema().validate(old)
    assert Recording.from_json(old) == small


def test_a_switch_that_there_is_not_cannot_be_the_one_that_did_not_apply() -> None:
    expected = {**small.expected.to_json(), "not_applied": [0]}
    obj = {**small.to_json(), "expected": expected}
    line = refusal(lambda: Recording.from_json(obj, FILE), RecordingError)
    assert line == "file.json: expected.not_applied has an index that schedule.switches has not"


def test_an_environment_has_no_name_twice() -> None:
    text = small.dumps().replace('"PATH": "/bin"', '"PATH": "/bin", "PATH": "/sbin"')
    line = refusal(lambda: Recording.loads(text, FILE), RecordingError)
    assert line == "file.json: key 'PATH' stands twice in one object"


def test_a_recording_that_was_cut_off_is_refused_where_it_ends() -> None:
    text = small.dumps()
    line = refusal(lambda: Recording.loads(text[:-3], FILE), RecordingError)
    assert line.startswith("file.json: not JSON at line ")


@given(some.garbage)
def test_garbage_is_refused_by_file(obj: object) -> None:
    assert_reads_or_says_where(Recording.from_json, obj)
    for key in small.to_json():
        assert_reads_or_says_where(Recording.from_json, {**small.to_json(), key: obj})
