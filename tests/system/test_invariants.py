"""Invariants are looked at while real programs run: what breaks them, when, and what does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness._engine.explore import explore
from harness._engine.replay import replay
from harness._engine.runner import Runner
from harness._engine.store import load
from harness._engine.sweep import sweep
from harness._engine.trial import TrialResult
from harness.cli import main
from harness.errors import UsageError
from harness.invariant import parse_invariant
from harness.report.text import show
from tests.system.support import harness, one_line, plan, python, shell

LEAKS = 'for n in 3 4 5 6 7 8; do eval "exec $n</dev/null"; done'
#: Two children that have ended; that they have, the end of the pipe says.
_MAKES_ZOMBIES = """
import os
reads, writes = os.pipe()
for _ in range(2):
    if os.fork() == 0: os._exit(0)
os.close(writes)
os.read(reads, 1)
"""
_IN_A_THREAD = """
import os, _thread
lock = _thread.allocate_lock()
lock.acquire()
def opens():
    for _ in range(9): os.open("/dev/null", 0)
    lock.release()
_thread.start_new_thread(opens, ())
lock.acquire()
"""


def run(runner: Runner, command: tuple[str, ...], *texts: str) -> TrialResult:
    """A trial of *command* that is looked at."""
    return runner.run(plan(*command, invariants=tuple(map(parse_invariant, texts))))


def broken(result: TrialResult) -> list[str]:
    return [f"{one.role} {one.invariant}: {one.found}" for one in result.outcome.broken]


def test_descriptors_are_counted_and_the_event_is_that_of_the_open(runner: Runner) -> None:
    result = run(runner, shell(LEAKS), "descriptors(main) <= 5", "descriptors(main) <= 9")
    assert broken(result) == ["main descriptors(main) <= 5: 6 descriptors"]
    opened = [
        number
        for number, event in enumerate(result.trace.events, 1)
        if event.call == "openat" and '"/dev/null"' in event.args
    ]
    assert result.outcome.broken[0].event == opened[2]  # 0, 1, 2, and the third of its own


def test_what_a_thread_opens_is_its_processs(runner: Runner) -> None:
    result = run(runner, python(_IN_A_THREAD), "descriptors(main) <= 8")
    assert broken(result) == ["main descriptors(main) <= 8: 9 descriptors"]


def test_children_that_nobody_waits_for_are_counted(runner: Runner) -> None:
    result = run(runner, python(_MAKES_ZOMBIES), "zombies(main) <= 1", "zombies(main) <= 2")
    assert broken(result) == ["main zombies(main) <= 1: 2 zombies"]
    waits = _MAKES_ZOMBIES.replace("os.read(reads, 1)", "os.wait(); os.wait()")
    assert broken(run(runner, python(waits), "zombies(main) <= 1")) == []


def test_a_call_waits_too_long_by_the_trials_time(runner: Runner) -> None:
    sleeps = ("/bin/sleep", "10")
    result = run(runner, sleeps, "waits(main) <= 9s", "waits(main) <= 10s")
    assert broken(result) == ["main waits(main) <= 9s: clock_nanosleep#1 waits for 10.000 s"]


def test_what_puts_a_call_off_is_a_part_of_its_wait(runner: Runner) -> None:
    late = plan(
        *("/bin/sleep", "6"),
        faults=["clock_nanosleep=delay(6s)"],
        invariants=(parse_invariant("waits(main) <= 10s"),),
    )
    (only,) = runner.run(late).outcome.broken
    assert only.found == "clock_nanosleep#1 waits for 12.000 s"


def test_who_sleeps_in_the_kernel_waits_and_each_call_counts_by_itself(runner: Runner) -> None:
    script = "{ sleep 20; sleep 20; } | cat"
    result = run(runner, shell(script), "waits(main/1) <= 30s", "waits(main/0/*) <= 30s")
    (only,) = result.outcome.broken
    assert (only.role, only.found.partition("#")[0]) == ("main/1", "read")
    assert only.found.endswith("waits for 40.000 s")


def test_who_can_never_go_on_waits_for_ever(runner: Runner) -> None:
    result = run(runner, python("import os; os.read(os.pipe()[0], 1)"), "waits(main) <= 1h")
    assert result.outcome.end == "stuck"
    assert [one.found.partition(" ")[2] for one in result.outcome.broken] == ["waits for ever"]


def test_to_look_changes_nothing(runner: Runner) -> None:
    texts = ("descriptors(**) <= 0", "zombies(**) <= 0", "waits(**) <= 1ns")
    command = shell("sleep 1; true | true")
    watched, alone = run(runner, command, *texts), run(runner, command)
    assert watched.trace.digest == alone.trace.digest
    assert watched.outcome.broken
    assert alone.outcome.broken == ()


def test_a_fault_that_breaks_one_is_found_recorded_and_found_again(
    tmp_path: Path,
) -> None:
    invariants = (parse_invariant("waits(main) <= 5s"),)
    result = sweep(
        plan("/bin/cat", "/dev/null", invariants=invariants),
        kinds=["delay(7s)"],
        calls="fadvise64",
        store=str(tmp_path),
    )
    (found,) = result.findings
    assert found.finding.describe() == "main: breaks waits(main) <= 5s"
    assert "fadvise64#1 waits for 7.000 s, after event" in found.finding.detail
    recording = load(tmp_path / (found.ident or "?") / "recording.json")
    assert recording.invariants == invariants
    (again,) = replay(recording)
    assert again.word == "REPRODUCED"
    assert again.result.outcome.broken == recording.expected.broken


def test_another_order_breaks_one_and_it_is_shrunk(tmp_path: Path) -> None:
    # In the usual order each child is waited for before the next one ends.
    script = "true & true & wait"
    result = explore(
        plan(*shell(script), invariants=(parse_invariant("zombies(main) <= 1"),)),
        trials_max=10,
        store=str(tmp_path),
    )
    assert [one.finding.describe() for one in result.findings] == [
        "main: breaks zombies(main) <= 1"
    ]
    schedule = load(tmp_path / (result.findings[0].ident or "?") / "recording.json").schedule
    assert len(schedule.switches) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--invariant", "waits(main) <= 5"], "'5' is not a time: 500ms, 2s, 1.5h"),
        (
            ["--invariant", "waits(main) <= 5s", "--mode", "free"],
            "invariant waits(main) <= 5s: in free mode nobody stands still to be looked at",
        ),
    ],
)
def test_bad_input_is_refused_in_one_line(
    words: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *words, "--", "true"]) == 125
    assert said in one_line(capfd.readouterr().err)


def test_a_role_that_is_not_there_is_said() -> None:
    done = harness("run", "-q", "--invariant", "zombies(man) <= 5", "--", "/bin/true")
    assert done.returncode == 3
    said = "invariant zombies(man) <= 5: no such role; there were main"
    assert one_line(done.stderr) == said


def test_a_role_that_is_not_there_is_no_norm(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no such role; there were main$"):
        sweep(
            plan("/bin/true", invariants=(parse_invariant("zombies(man) <= 5"),)),
            store=str(tmp_path),
        )


def test_run_says_what_was_broken_and_exits_1(tmp_path: Path) -> None:
    file = tmp_path / "recording"
    done = harness(
        *("run", "--record", str(file), "--invariant", "descriptors(main) <= 5", "--"),
        *shell(LEAKS),
    )
    assert done.returncode == 1
    assert "main breaks descriptors(main) <= 5: 6 descriptors, after event" in done.stderr
    assert load(file).verdict.describe() == "FAIL: main: breaks descriptors(main) <= 5"
    (only,) = load(file).expected.broken
    assert only.role == "main"
    assert f"\n {only.event:6}  main openat#" in show(load(file))
