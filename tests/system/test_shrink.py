"""`harness shrink` from the command line: what it ends at, says, keeps, and leaves."""

from __future__ import annotations

import re
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness._engine.pool import Pool
from harness._engine.trial import TrialResult
from harness.errors import RunnerError
from harness.recording import Recording
from harness.schedule import Schedule
from tests.system.support import Completed, harness, one_line, plan, python

#: Two children add one to a number in a file, and one addition may be lost.
RACE = """\
echo 0 >n
add() { read v <n; echo $((v+1)) >n; }
add & add & wait
read v <n
test "$v" = 2
"""
SHRUNK = re.compile(
    r"  shrunk: (\d+) faults? and (\d+) switch(?:es)?"
    r"(?:, was (\d+) faults? and (\d+) switch(?:es)?)?"
    r"(?:; does not matter: (\S+))?(; not the smallest yet: it was ended early)?; \d+ trials?, .* s"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "race.sh").write_text(RACE)
    return tmp_path


def recorded(folder: Path, *options: str, command: tuple[str, ...] = ("sh", "race.sh")) -> str:
    """The name of a recording of *command*."""
    name = f"{len(list(folder.glob('*.json')))}.json"
    harness("run", "-q", *options, "--record", name, "--", *command, cwd=folder)
    return name


def shrink(folder: Path, *words: str, **more: Any) -> Completed:
    return harness("shrink", "-q", *words, cwd=folder, **more)


def smallest(folder: Path) -> Recording:
    path = folder / ".harness" / "latest" / "recording.json"
    return Recording.loads(path.read_bytes(), str(path))


def status_of(folder: Path, schedule: Schedule, name: str = "race.sh") -> int:
    """The exit status of the program under *schedule*."""
    (folder / "schedule").write_text(schedule.dumps())
    return harness("run", "-q", "--schedule", "schedule", "--", "sh", name, cwd=folder).returncode


@pytest.mark.parametrize("seed", ["2", "3"])
def test_of_many_switches_one_is_left_and_without_it_there_is_no_finding(
    folder: Path, seed: str
) -> None:
    name = recorded(folder, "--seed", seed)
    done = shrink(folder, name)
    assert (done.returncode, done.stderr) == (1, ""), done
    first, fail, cause, numbers, last = done.stdout.splitlines()
    assert first == f"{name}: sh race.sh"
    assert fail == "FAIL main: exits 1"
    assert re.fullmatch(r"  main/[01] goes before main/[01]: \w+#\d+", cause)
    found = SHRUNK.fullmatch(numbers)
    assert found
    assert found[1], found[2] == ("0", "1")
    assert int(found[4]) > 5
    assert last.startswith("  repeat: harness replay ")

    schedule = smallest(folder).schedule
    assert len(schedule.switches) == 1
    assert status_of(folder, schedule) == 1
    assert status_of(folder, schedule.without("switches", 0)) == 0
    again = harness("replay", *last.split()[3:], cwd=folder)
    assert again.stdout.splitlines()[-1] == "REPRODUCED: main: exits 1"


def test_a_fault_that_does_not_matter_is_named(folder: Path) -> None:
    name = recorded(folder, "--seed", "3", "--fault", "main:wait4#9+=EINTR")
    done = shrink(folder, name)
    assert "; does not matter: main:wait4#9+=EINTR; " in done.stdout


def test_a_fault_that_does_matter_becomes_one_at_one_call(folder: Path) -> None:
    command = ("sh", "-c", "echo a; echo b || exit 9; echo c")
    name = recorded(
        folder, "--seed", "1", "--fault", "**:fs#*=crash", "--limit", "NOFILE=90", command=command
    )
    done = shrink(folder, name)
    assert done.returncode == 1, done
    (fault,) = smallest(folder).schedule.faults
    assert str(fault) == "main:access=crash-after"
    assert smallest(folder).schedule.limits == ()


@pytest.mark.full
def test_what_it_ends_at_does_not_depend_on_how_many_trials_run_at_once(folder: Path) -> None:
    name = recorded(folder, "--seed", "3", "--fault", "**:close#2=EINTR")
    found = []
    for jobs in ("1", "3"):
        shrink(folder, name, "-j", jobs)
        found.append(smallest(folder).schedule)
    assert found[0] == found[1]


def test_a_trial_that_outlasts_the_budget_is_given_up(folder: Path) -> None:
    name = recorded(folder, "--deadline", "1h", command=("sh", "-c", ". ./race.sh; exit 3"))
    (folder / "race.sh").write_text("while :; do :; done\n")
    done = shrink(folder, name, "--budget", "1s")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (
        3, "INCONCLUSIVE: main: exits 3: the time was over before it was seen again",
    )  # fmt: skip


def test_who_ends_it_early_is_told_the_best_so_far(folder: Path) -> None:
    name = recorded(folder, "--seed", "3")
    (folder / "checks.py").write_text(
        "import os, signal\n"
        "seen = []\n"
        "def ends_it(outcome, golden):\n"
        "    seen.append(outcome)\n"
        "    if len(seen) == 5:\n"
        f"        os.kill(os.getpid(), {int(signal.SIGINT)})\n"
        "    return []\n"
    )
    done = shrink(folder, name, "-j1", "--oracle", "checks.py:ends_it")
    assert done.returncode == 130
    assert one_line(done.stderr).startswith("interrupted")
    *_, numbers, last = done.stdout.splitlines()
    assert "; not the smallest yet: it was ended early; " in numbers
    assert " --oracle checks.py:ends_it " in last


def test_a_finding_that_is_gone_is_fixed_and_another_one_is_changed(folder: Path) -> None:
    name = recorded(folder, "--seed", "3")
    (folder / "race.sh").write_text("exit 0\n")
    done = shrink(folder, name)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (
        0, "FIXED: main: exits 1: not any more",
    )  # fmt: skip
    (folder / "race.sh").write_text("exit 2\n")
    done = shrink(folder, name)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (
        1, "CHANGED: main: exits 2; recorded was: main: exits 1",
    )  # fmt: skip


def test_what_cannot_be_shrunk_is_said_on_one_line(folder: Path) -> None:
    for words, said in {
        ("run", "-q", "--record", "a.json", "--", "true"): "it has no finding",
        ("run", "-q", "--mode", "free", "--record", "b.json", "--", "false"): "free mode cannot",
    }.items():
        harness(*words, cwd=folder)
        done = shrink(folder, words[words.index("--record") + 1])
        assert done.returncode == 2
        assert said in one_line(done.stderr)
    assert "it has 2 recordings" not in one_line(shrink(folder, "none").stderr)
    assert "has 2 recordings" in one_line(shrink(folder, ".").stderr)


# ---- Giving up a trial ---------------------------------------------------------------------------


def test_what_runs_when_the_time_is_over_is_given_up_and_the_pool_serves_on() -> None:
    forever = plan(*python("while True: pass"), deadline_s=3600)
    short = plan("true")
    with Pool(2) as pool:
        clock = iter([0.0, 0.0, 0.0, *[9.0] * 99])
        answers = dict(
            pool.run([(0, forever), (1, forever), (2, forever)], 1.0, lambda: next(clock))
        )
        assert all(isinstance(answer, RunnerError) for answer in answers.values())
        assert [*answers] == [0, 1, 2] or len(answers) == 3
        again = dict(pool.run([(n, replace(short)) for n in range(4)]))
        assert all(isinstance(answer, TrialResult) for answer in again.values())
