"""The norm of an exploration or a sweep: what is said of two runs of which one does not pass."""

from __future__ import annotations

import pytest

from harness._engine.golden import check_repeats
from harness._engine.trial import TrialResult
from harness.errors import HarnessError
from harness.schedule import Schedule
from harness.trace import Event, Trace
from harness.verdict import End, Outcome, Output
from tests.system.support import plan

NOTHING = Output.of(b"")
EVENTS = tuple(Event(role="main", call="read", nth=nth, action="-") for nth in (1, 2, 3))


def run(end: End, events: int) -> TrialResult:
    status = 0 if end == "exited" else None
    return TrialResult(
        outcome=Outcome(end=end, status=status, stdout=NOTHING, stderr=NOTHING),
        trace=Trace(events=EVENTS[:events]),
        schedule=Schedule(),
        seconds=0.0,
    )


def told(second: TrialResult) -> str:
    with pytest.raises(HarnessError) as caught:
        check_repeats(plan("true"), run("exited", 3), second)
    return str(caught.value)


def test_a_second_run_that_is_late_is_not_said_to_go_another_way() -> None:
    said = told(run("deadline", 2))
    assert "main: does not end before the deadline" in said
    assert said.endswith("is the machine busy? see --deadline")


def test_a_second_run_that_goes_another_way_is_told_where() -> None:
    assert told(run("exited", 2)).endswith("event 3 is main read#3 in one, and the other has ended")


def test_two_runs_that_are_alike_are_no_error() -> None:
    check_repeats(plan("true"), run("exited", 3), run("exited", 3))
