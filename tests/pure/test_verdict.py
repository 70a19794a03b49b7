"""Verdicts and outcomes: what they may say, in JSON, in words and as an exit status."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import RecordingError
from harness.history import Operation
from harness.verdict import FileChange, Finding, Outcome, Output, Verdict
from tests.pure import strategies as some
from tests.pure.reading import FILE, Value, assert_reads_or_says_where, refusal, through_json

values: st.SearchStrategy[Value] = st.one_of(
    some.outputs, some.file_changes, some.outcomes(), some.findings, some.verdicts()
)
NOTHING = Output.of(b"")


@given(values)
def test_a_value_is_read_from_json_as_it_was_written(value: Value) -> None:
    assert through_json(value) == value


@given(values)
def test_a_value_describes_itself(value: Value) -> None:
    assert value.describe()


@given(st.sampled_from([Output, FileChange, Outcome, Finding, Verdict]), some.garbage)
def test_garbage_is_refused_by_file(kind: type[Value], obj: object) -> None:
    assert_reads_or_says_where(kind.from_json, obj)


@given(
    values.flatmap(lambda value: st.tuples(st.just(value), some.nearly(st.just(value.to_json()))))
)
def test_what_is_nearly_a_value_is_read_or_refused_by_file(spoiled: tuple[Value, object]) -> None:
    value, obj = spoiled
    assert_reads_or_says_where(type(value).from_json, obj)


# ---- Outputs and files -------------------------------------------------------------------------


@given(st.binary())
def test_an_output_is_its_size_its_digest_and_its_head(data: bytes) -> None:
    output = Output.of(data)
    assert (output.size, output.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_the_head_is_four_kibibytes_with_what_is_no_text_escaped() -> None:
    assert Output.of(b"a\xff\0" + b"b" * 5000).head == "a\\xff\0" + "b" * 4093


def change(**changed: object) -> dict[str, object]:
    return {"path": "f", "kind": "file", "mode": "0644", "size": 1, "sha256": "0" * 64, **changed}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"kind": "flie"}, "file.json: unknown kind 'flie'; did you mean 'file'?"),
        ({"mode": "644"}, "file.json: mode '644' is not of the form 0644"),
        ({"mode": 420}, "file.json: mode: expected a string, not a whole number"),
        ({"size": -1}, "file.json: size must be a whole number from 0 to 9223372036854775807"),
        ({"sha256": "00"}, "file.json: sha256 '00' is not of the form 64 digits 0-9a-f"),
        ({"path": "a\0b"}, r"file.json: path has a NUL character in it: 'a\x00b'"),
        ({"path": "\ud800"}, r"file.json: path cannot be encoded: '\ud800'"),
    ],
)
def test_a_wrong_file_change_is_refused_by_file_and_key(
    changed: dict[str, object], said: str
) -> None:
    assert refusal(lambda: FileChange.from_json(change(**changed), FILE), RecordingError) == said


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, "f: file 0644 of 1 bytes"),
        ({"kind": "dir", "mode": "1777"}, "f: dir 1777"),
        ({"kind": "deleted"}, "f deleted"),
    ],
)
def test_a_file_change_in_words(changed: dict[str, object], words: str) -> None:
    assert FileChange.from_json(change(**changed)).describe() == words


# ---- Outcomes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (0, 0, "exited 0"),
        (3 << 8, 3, "exited 3"),
        (255 << 8, 255, "exited 255"),
        (9, 137, "killed by SIGKILL"),
        (11 | 0x80, 139, "killed by SIGSEGV"),
    ],
)
def test_an_exit_is_told_as_a_shell_does(status: int, code: int, words: str) -> None:
    outcome = Outcome(end="exited", status=status, stdout=NOTHING, stderr=NOTHING)
    assert outcome.exit_code == code
    assert outcome.describe() == f"{words}; stdout 0 bytes, stderr 0 bytes"


@pytest.mark.parametrize(
    ("end", "code"), [("deadline", 124), ("stuck", 124), ("steps", 124), ("refused", 125)]
)
@pytest.mark.parametrize("status", [None, 0])
def test_an_end_that_is_not_the_subjects_own_has_the_status_that_timeout_gives(
    end: str, code: int, status: int | None
) -> None:
    outcome = Outcome(end=end, status=status, stdout=NOTHING, stderr=NOTHING)  # type: ignore[arg-type]
    assert outcome.exit_code == code


def test_an_outcome_says_what_was_left() -> None:
    outcome = Outcome(
        end="exited",
        status=0,
        stdout=Output.of(b"x"),
        stderr=NOTHING,
        files=(FileChange(path="/tmp/lock", kind="deleted", mode=0, size=0, sha256=""),),
        leftovers=("service/0",),
    )
    assert outcome.describe() == (
        "exited 0; stdout 1 byte, stderr 0 bytes; /tmp/lock deleted; service/0 was left running"
    )


def test_an_outcome_counts_what_the_clients_did() -> None:
    done = Operation(role="client/0", name="hello", result="ok")
    outcome = Outcome(end="exited", status=0, stdout=NOTHING, stderr=NOTHING, history=(done, done))
    assert outcome.describe() == "exited 0; 2 operations: 2 ok; stdout 0 bytes, stderr 0 bytes"


def outcome(**changed: object) -> dict[str, object]:
    ended = Outcome(end="exited", status=0, stdout=NOTHING, stderr=NOTHING)
    return {**ended.to_json(), **changed}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"end": "exitde"}, "unknown end 'exitde'; did you mean 'exited'?"),
        ({"status": None}, "status must be a wait status when end is 'exited'"),
        ({"status": 0x137F}, "status 4991 is not the wait status of an end"),
        ({"status": 0x80}, "status 128 is not the wait status of an end"),
        ({"status": 0x10000}, "status must be a whole number from 0 to 65535"),
        ({"status": True}, "status: expected a whole number, not true or false"),
        ({"leftovers": ["a b"]}, "leftovers 'a b' is not of the form main, service/0 or service#1"),
        ({"fired": [1]}, "fired and seen must have a number each for each fault"),
        ({"not_applied": [-1]}, "not_applied must be a whole number from 0 to 9223372036854775807"),
        ({"stdout": {}}, "stdout: missing key 'size'"),
        ({"history": [{}]}, "history[0]: missing key 'role'"),
        ({"leftover": []}, "unknown key 'leftover'; did you mean 'leftovers'?"),
    ],
)
def test_a_wrong_outcome_is_refused_by_file_and_key(changed: dict[str, object], said: str) -> None:
    line = refusal(lambda: Outcome.from_json(outcome(**changed), FILE), RecordingError)
    assert line == f"file.json: {said}"


# ---- Verdicts ----------------------------------------------------------------------------------

FOUND = Finding(oracle="ends", role="service/0", what="did not end", detail="after 10 s")


def test_the_detail_of_a_finding_does_not_make_it_another_one() -> None:
    again = Finding(oracle="ends", role="service/0", what="did not end", detail="after 11 s")
    assert again.identity() == FOUND.identity() == ("ends", "service/0", "did not end")


@pytest.mark.parametrize(
    ("status", "findings", "reason", "said"),
    [
        ("PASS", (FOUND,), "", "status PASS has no findings"),
        ("FAIL", (), "", "status FAIL needs a finding"),
        ("INCONCLUSIVE", (), "", "status INCONCLUSIVE needs a reason"),
        ("PSAS", (), "", "unknown status 'PSAS'; did you mean 'PASS'?"),
    ],
)
def test_a_verdict_that_contradicts_itself_is_refused(
    status: str, findings: tuple[Finding, ...], reason: str, said: str
) -> None:
    obj = {"status": status, "findings": [one.to_json() for one in findings], "reason": reason}
    line = refusal(lambda: Verdict.from_json(obj, FILE), RecordingError)
    assert line == f"file.json: {said}"


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (Verdict(status="PASS"), "PASS"),
        (Verdict(status="FAIL", findings=(FOUND,)), "FAIL: service/0: did not end"),
        (Verdict(status="INCONCLUSIVE", reason="the oracle died"), "INCONCLUSIVE: the oracle died"),
    ],
)
def test_a_verdict_in_words(verdict: Verdict, words: str) -> None:
    assert verdict.describe() == words


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"what": ""}, "what '' is not of the form one line: 'did not end'"),
        ({"what": "a\nb"}, r"what 'a\nb' is not of the form one line: 'did not end'"),
        ({"oracle": ""}, "oracle '' is not of the form one line: 'ends'"),
        ({"role": "a b"}, "role 'a b' is not of the form main, service/0 or service#1"),
    ],
)
def test_a_wrong_finding_is_refused_by_file_and_key(changed: dict[str, object], said: str) -> None:
    obj = {**FOUND.to_json(), **changed}
    assert refusal(lambda: Finding.from_json(obj, FILE), RecordingError) == f"file.json: {said}"
