"""A bug that is planted must be found: a harness that finds nothing looks like health.

From end to end: found by trying each read, recorded, replayed by the command line as REPRODUCED,
as FIXED once the program is mended, as CHANGED when it breaks in another way.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness._engine.runner import Runner
from scenarios.bench import Bench, Known, Tally
from scenarios.subjects import LINES, Subject
from scenarios.trials import shortened

PROGRAMS = Path(__file__).with_name("programs")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the program in it, in which the test works, as its author would."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").write_bytes(LINES)
    put(tmp_path, "whole_file")
    return tmp_path


def put(checkout: Path, name: str) -> None:
    shutil.copy(PROGRAMS / f"{name}.py", checkout / "count.py")


def counting(checkout: Path) -> Subject:
    return Subject(
        name="count",
        command=("python3", "-I", "-S", "count.py", "data"),
        needs={"python3": "python3"},
        cwd=str(checkout),
    )


def replay(checkout: Path, ident: str) -> tuple[int, str]:
    """Exit status and output of `harness replay`, run where the recording is."""
    done = subprocess.run(
        [sys.executable, "-m", "harness", "replay", ident],
        cwd=checkout,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_short_read_taken_for_the_whole_is_found_recorded_and_replayed(
    runner: Runner, checkout: Path
) -> None:
    bench = Bench(runner, checkout / ".harness", Tally())
    subject = counting(checkout)
    reads = [point for point in bench.points(subject) if point.event.call == "read"]

    with pytest.raises(pytest.fail.Exception) as found:
        bench.try_each(subject, shortened(reads))

    report = str(found.value).splitlines()
    assert len(report) <= 10
    assert report[0] == "FAIL count: main: exits 0 with another output"
    assert re.fullmatch(r"  main: read#\d+ moves at most 1 byte", report[1])
    assert report[2] == r"  expected '60 lines\n', got '0 lines\n'"
    ident = report[-1].rpartition("repeat: harness replay ")[2]

    status, output = replay(checkout, ident)
    assert (status, "REPRODUCED: main: exits 0 with another output" in output) == (1, True), output

    put(checkout, "whole_file_mended")
    status, output = replay(checkout, ident)
    assert (status, "FIXED: " in output) == (0, True), output

    put(checkout, "whole_file_broken")
    status, output = replay(checkout, ident)
    assert (status, "CHANGED: main: dies of SIGABRT" in output) == (1, True), output


def test_the_mended_program_passes(runner: Runner, checkout: Path) -> None:
    put(checkout, "whole_file_mended")
    bench = Bench(runner, checkout / ".harness", Tally())
    subject = counting(checkout)
    bench.try_each(subject, shortened(bench.points(subject)))
    assert not (checkout / ".harness").exists()


def test_a_known_finding_passes_and_fails_once_it_has_vanished(
    runner: Runner, checkout: Path
) -> None:
    bench = Bench(runner, checkout / ".harness", Tally())
    subject = counting(checkout)
    known = Known(subject=subject, at="main:read#*=short(1)", what="*", why="it is planted")
    reads = [point for point in bench.points(subject) if point.event.call == "read"]
    bench.try_each(subject, shortened(reads), [known])

    with pytest.raises(pytest.fail.Exception, match="was not found any more"):
        bench.try_each(subject, shortened(reads[:1]), [known])  # the loader's
