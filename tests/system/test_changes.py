"""What counts as a change: not all that lies in an overlay's layer has changed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness._engine.runner import Runner
from harness.recording import InputFile
from tests.system.support import harness, plan, shell


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").write_text("hello\n")
    (tmp_path / "link").symlink_to("data")
    (tmp_path / "dir").mkdir()
    return tmp_path


def changed(runner: Runner, folder: Path, script: str) -> dict[str, str]:
    result = runner.run(plan(*shell(script), cwd=str(folder), home=str(folder)))
    assert result.outcome.status == 0, result.outcome.stderr
    return {Path(one.path).name: one.kind for one in result.outcome.files}


@pytest.mark.parametrize(
    ("script", "found"),
    [
        (": >>data", {}),
        ("echo hello >data", {}),
        ("touch data", {}),
        ("rm link; ln -s data link", {}),
        ("echo x >dir/new; rm dir/new", {}),
        ("echo Hello >data", {"data": "file"}),
        ("chmod 600 data", {"data": "file"}),
        ("chmod 700 dir", {"dir": "dir"}),
        ("rm link; ln -s dir link", {"link": "symlink"}),
        ("rm data", {"data": "deleted"}),
        ("rm data; mkdir data", {"data": "dir"}),
        ("echo x >dir/new", {"new": "file"}),
    ],
)
def test_a_name_has_changed_when_what_is_there_is_something_else(
    runner: Runner, folder: Path, script: str, found: dict[str, str]
) -> None:
    assert changed(runner, folder, script) == found


def test_a_file_that_a_recording_brings_is_what_it_is_compared_with(
    runner: Runner, folder: Path
) -> None:
    brought = InputFile.of(f"{folder}/data", 0o644, b"from elsewhere\n")
    for script, count in (("echo from elsewhere >data", 0), ("echo hello >data", 1)):
        again = plan(*shell(script), cwd=str(folder), home=str(folder), inputs=(brought,))
        assert len(runner.run(again).outcome.files) == count, script


def test_to_open_a_file_for_writing_and_not_to_write_is_no_result(folder: Path) -> None:
    """The script asks for more than it needs, and makes do with less."""
    modest = "{ cat <>data; } 2>/dev/null || cat data"
    words = ("--roles", "main/*", "--calls", "open*", "--faults", "permission")
    done = harness("sweep", "-q", *words, "--", "sh", "-c", modest, cwd=folder)
    assert re.search(r"[1-9]\d* fired, 0 did not fire, 0 findings", done.stdout), done
