"""What is held against an outcome, and what is not."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from harness.oracle import judge
from harness.verdict import ClientEnd, FileChange, Outcome, Output
from tests.pure import strategies as some

NOTHING = Output.of(b"")
GOLDEN = Outcome(end="exited", status=0, stdout=Output.of(b"hi\n"), stderr=NOTHING)
FAULTED = replace(GOLDEN, fired=(1,), seen=(1,))
SERVED = replace(GOLDEN, status=15, clients=(ClientEnd(role="client/0", status=0),))
FILE = FileChange(path="/work/out", kind="file", mode=0o644, size=1, sha256="0" * 64)


def found(outcome: Outcome, golden: Outcome | None = GOLDEN) -> list[tuple[str, str]]:
    return [(finding.oracle, finding.what) for finding in judge("main", outcome, golden).findings]


def as_golden(outcome: Outcome) -> Outcome:
    """Without what a golden run has not: most that are drawn have it."""
    right = tuple(one for one in outcome.history if one.result != "wrong")
    return replace(outcome, end="exited", status=outcome.status or 0, broken=(), history=right)


@given(some.outcomes(faults=0).map(as_golden))
def test_an_outcome_that_is_the_golden_one_passes(outcome: Outcome) -> None:
    verdict = judge("main", outcome, outcome)
    assert verdict.status == "PASS", verdict.describe()


def test_a_failure_that_is_to_be_seen_passes() -> None:
    assert found(replace(FAULTED, status=256, stdout=NOTHING)) == []
    assert found(replace(FAULTED, stdout=NOTHING, stderr=Output.of(b"disk full\n"))) == []


def test_a_failure_of_a_client_is_to_be_seen_too() -> None:
    failed = replace(SERVED, clients=(ClientEnd(role="client/0", status=256),), stdout=NOTHING)
    assert found(replace(failed, fired=(1,), seen=(1,)), SERVED) == []
    crashed = replace(failed, clients=(ClientEnd(role="client/0", status=11),))
    assert found(replace(crashed, fired=(1,), seen=(1,)), SERVED) == [
        ("honest-result", "dies of SIGSEGV")
    ]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"status": 256}, "exits 1"),
        ({"stdout": NOTHING}, "exits 0 with another output"),
        ({"stderr": Output.of(b"warning\n")}, "exits 0 with other diagnostics"),
        ({"files": (FILE,)}, "exits 0 with another /work/out"),
    ],
)
def test_where_no_fault_fired_nothing_is_excused(change: dict[str, Any], what: str) -> None:
    assert found(replace(GOLDEN, **change)) == [("order-does-not-matter", what)]
    assert found(replace(GOLDEN, **change, fired=(0,), seen=(7,))) == [
        ("order-does-not-matter", what)
    ]


def test_where_no_fault_fired_a_client_must_end_as_ever() -> None:
    failed = replace(SERVED, clients=(ClientEnd(role="client/0", status=256),))
    assert found(failed, SERVED) == [("order-does-not-matter", "exits 1")]
    assert found(replace(SERVED, clients=()), SERVED) == [("order-does-not-matter", "does not end")]


def test_exit_0_with_another_output_is_a_finding() -> None:
    assert found(replace(FAULTED, stdout=NOTHING)) == [
        ("honest-result", "exits 0 with another output")
    ]


def test_exit_0_with_another_file_is_a_finding_that_names_it() -> None:
    wanted = replace(GOLDEN, files=(FILE,))
    what = "exits 0 with another /work/out"
    assert found(FAULTED, wanted) == [("honest-result", what)]
    other = replace(FILE, mode=0o600, sha256=NOTHING.sha256)
    assert found(replace(FAULTED, files=(other,)), wanted) == [("honest-result", what)]


def test_another_mode_and_another_content_of_a_file_are_two_findings() -> None:
    wanted = replace(GOLDEN, files=(FILE,))
    what = "exits 0 with another mode of /work/out"
    assert found(replace(FAULTED, files=(replace(FILE, mode=0o600),)), wanted) == [
        ("honest-result", what)
    ]


def test_a_crash_of_its_own_is_a_finding_even_though_it_is_to_be_seen() -> None:
    assert found(replace(FAULTED, status=11)) == [("honest-result", "dies of SIGSEGV")]
    assert found(replace(FAULTED, status=9)) == []


def test_what_the_golden_run_does_not_leave_running_is_a_finding() -> None:
    daemon = replace(GOLDEN, leftovers=("main/0",))
    assert found(daemon) == [("leaves-nothing", "is left running")]
    assert found(daemon, daemon) == []


def test_a_trial_that_does_not_end_is_a_finding_with_or_without_a_golden_run() -> None:
    stuck = Outcome(end="stuck", status=None, stdout=NOTHING, stderr=NOTHING, report="main waits")
    assert found(stuck) == found(stuck, None) == [("ends", "is stuck: nobody can go on")]


def test_without_a_golden_run_a_trial_must_exit_0() -> None:
    assert found(GOLDEN, None) == []
    assert found(replace(GOLDEN, status=3 << 8), None) == [("status", "exits 3")]


UNREADY = replace(GOLDEN, report="service ended before it was ready")


def test_a_service_that_ends_before_it_is_ready_is_a_finding_whatever_its_status() -> None:
    assert found(UNREADY, None) == [("ready", "exits 0 before it is ready")]
    assert found(replace(UNREADY, status=768), None) == [("ready", "exits 3 before it is ready")]


def test_a_fault_excuses_a_service_that_is_not_ready_only_when_it_is_seen_to_fail() -> None:
    fired = {"fired": (1,), "seen": (1,)}
    silent = replace(UNREADY, stderr=SERVED.stderr, **fired)
    assert found(silent, SERVED) == [("ready", "exits 0 before it is ready")]
    assert found(replace(silent, stderr=Output.of(b"no memory\n")), SERVED) == []
    assert found(replace(silent, status=256), SERVED) == []
    assert found(replace(UNREADY, status=256), SERVED) == [("ready", "exits 1 before it is ready")]


def test_without_a_golden_run_the_clients_must_exit_0_and_the_service_end_as_it_was_told_to() -> (
    None
):
    assert found(SERVED, None) == []
    assert found(replace(SERVED, status=11), None) == [("status", "dies of SIGSEGV")]
    failed = replace(SERVED, clients=(ClientEnd(role="client/0", status=256),))
    assert found(failed, None) == [("status", "exits 1")]
