"""What a recording takes along: all that the trial needs where none of it is."""

from dataclasses import replace

from harness._engine.record import inputs_of, plan_of, record
from harness._engine.runner import Runner
from harness.oracle import judge
from harness.recording import InputFile
from tests.system.support import plan

LAID = InputFile.of("/trial/data", 0o640, b"of the plan\n")


def test_files_that_the_plan_lays_into_the_view_are_recorded(runner: Runner) -> None:
    given = replace(plan("cat", "data"), inputs=(LAID,))
    result = runner.run(given)
    assert inputs_of(given, result.trace) == (LAID,)
    again = runner.run(plan_of(record(given, result, judge("main", result.outcome))))
    assert again.outcome.stdout.head == "of the plan\n"
