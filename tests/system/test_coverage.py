"""Coverage of the functions of a trial: which lines a service and its children ran."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from coverage import Coverage

from harness import Subject, listening
from harness._engine.record import record
from harness._engine.replay import replay
from harness._engine.runner import Runner
from harness._engine.store import load, write
from harness.oracle import judge
from harness.recording import Recording
from harness.subject import TrialPlan
from tests.system.programs import measured
from tests.system.support import harness

SOURCE = Path(measured.__file__)


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """It was started where no configuration of coverage.py is."""
    with contextlib.chdir(tmp_path_factory.mktemp("elsewhere")):
        runner = Runner()
    with runner:
        yield runner


def plan_for(name: str, kind: str = "process") -> TrialPlan:
    make = Subject.thread if kind == "thread" else Subject.process
    service = make(partial(measured.serve, path="{dir}/s"), ready=listening(measured.SOCKET))
    return service.plan(partial(measured.ask, name=name), recovers=False)


def lines_in(folder: Path) -> set[str]:
    """What the lines of SOURCE say that were run."""
    combined = Coverage(data_file=str(folder / "combined"), config_file=False)
    combined.combine([str(path) for path in folder.glob(".coverage.*")], keep=True)
    numbers = combined.get_data().lines(str(SOURCE)) or []
    text = SOURCE.read_text().splitlines()
    return {text[number - 1].strip() for number in numbers}


def recorded(runner: Runner, plan: TrialPlan) -> Recording:
    result = runner.run(plan)
    return record(plan, result, judge(plan.roots[0], result.outcome))


@pytest.mark.parametrize("kind", ["process", "thread"])
def test_lines_of_a_service_and_of_its_child(runner: Runner, tmp_path: Path, kind: str) -> None:
    result = runner.run(replace(plan_for("x", kind), coverage=str(tmp_path)))
    assert result.outcome.files == runner.run(plan_for("x", kind)).outcome.files
    lines = lines_in(tmp_path)
    assert {
        "def serve(path: str) -> None:",
        "connection.close()  # of the service",
        "os._exit(0)  # of the good child",
        'client.expect(connection.recv(100), b"hello " + name.encode())',
    } <= lines
    assert "os._exit(3)  # of the bad child" not in lines


def test_without_it_nothing_changes(runner: Runner, tmp_path: Path) -> None:
    before = runner.run(plan_for("x"))
    runner.run(replace(plan_for("x"), coverage=str(tmp_path)))
    after = runner.run(plan_for("x"))
    assert (before.trace.digest, before.outcome) == (after.trace.digest, after.outcome)
    plain = recorded(runner, plan_for("x"))
    assert not plain.coverage
    assert "coverage" not in plain.to_json()


def test_a_recording_says_it_and_a_replay_measures_too(runner: Runner, tmp_path: Path) -> None:
    ours = tmp_path / "ours"
    recording = recorded(runner, replace(plan_for("bad"), coverage=str(ours)))
    assert recording.coverage
    assert recording.verdict.status == "FAIL"
    with contextlib.chdir(tmp_path):
        answers = list(replay(recording, 2, exact=True))
    assert [(one.word, one.divergence) for one in answers] == [("REPRODUCED", "")] * 2
    write(recording, str(tmp_path / "r.json"))
    assert load(tmp_path / "r.json") == recording

    done = harness("replay", "--exact", "--coverage", "again", "r.json", cwd=tmp_path)
    assert (done.returncode, "REPRODUCED" in done.stdout) == (1, True), done
    assert "without coverage" not in done.stdout
    assert lines_in(tmp_path / "again") == lines_in(ours)
    assert "os._exit(3)  # of the bad child" in lines_in(ours)


def test_a_recording_without_it_can_be_measured(runner: Runner, tmp_path: Path) -> None:
    write(recorded(runner, plan_for("bad")), str(tmp_path / "r.json"))
    done = harness("replay", "--coverage", "new", "r.json", cwd=tmp_path)
    assert "it was recorded without coverage" in done.stdout
    assert "REPRODUCED" in done.stdout
    assert "os._exit(3)  # of the bad child" in lines_in(tmp_path / "new")


def test_no_directory_is_one_line(runner: Runner, tmp_path: Path) -> None:
    write(recorded(runner, plan_for("bad")), str(tmp_path / "r.json"))
    done = harness("replay", "--coverage", "r.json", "r.json", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done
    assert "no directory for coverage" in done.stderr
