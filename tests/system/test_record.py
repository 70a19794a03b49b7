"""What a recording takes along: all that the trial needs where none of it is."""

import stat
from dataclasses import replace
from pathlib import Path

from harness._engine.record import inputs_of, plan_of, record
from harness._engine.runner import Runner
from harness.oracle import judge
from harness.recording import InputFile
from tests.system.support import harness, plan

LAID = InputFile.of("/trial/data", 0o640, b"of the plan\n")


def test_files_that_the_plan_lays_into_the_view_are_recorded(runner: Runner) -> None:
    given = replace(plan("cat", "data"), inputs=(LAID,))
    result = runner.run(given)
    assert inputs_of(given, result.trace) == (LAID,)
    again = runner.run(plan_of(record(given, result, judge("main", result.outcome))))
    assert again.outcome.stdout.head == "of the plan\n"


def test_a_recording_is_for_its_owner_for_it_holds_what_was_read(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text("an old one\n")
    (tmp_path / "r.json").chmod(0o644)
    for name in "r.json", "new.json":
        assert harness("run", "-q", "--record", name, "--", "true", cwd=tmp_path).returncode == 0
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.json", "r.json"]
