"""What a task's state is taken to be, from what /proc says of it."""

import os
from pathlib import Path

import pytest

from harness._supervisor.tasks import Task


@pytest.mark.parametrize(
    ("letter", "state"),
    [("S", "S"), ("D", "D"), ("Z", "Z"), ("R", "R"), ("X", "R")],
)
def test_a_task_that_is_on_its_way_out_still_runs(letter: str, state: str, tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_text(f"7 (a) b) {letter} 1 7 7 0 -1 4194304\n")
    assert task_with(os.open(stat, os.O_RDONLY)).kernel_state() == state


def test_a_task_that_is_no_more_is_dead() -> None:
    assert task_with(-1).kernel_state() == "X"


def task_with(stat_fd: int) -> Task:
    task = Task(0, 0, None)  # there is no thread 0, so it opens nothing
    task.stat_fd = stat_fd
    return task


@pytest.mark.parametrize(
    ("said", "awake"),
    [("running\n", True), ("7 0x1 0x2 0x3\n", False), ("-1 0x7ffe 0x7f00\n", False)],
)
def test_a_sleeper_is_awake_while_the_kernel_cannot_say_where_it_sleeps(
    said: str, awake: bool, tmp_path: Path
) -> None:
    """In state S, but switched out before it slept: it may yet find that it need not."""
    path = tmp_path / "syscall"
    path.write_text(said)
    task = task_with(-1)
    task.syscall_fd = os.open(path, os.O_RDONLY)
    assert task.is_still_awake() is awake
    task.close()
    assert not task.is_still_awake()
