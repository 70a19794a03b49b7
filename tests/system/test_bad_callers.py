"""Callers that close descriptors, delete their directory or have no room: each has its answer."""

from __future__ import annotations

import os
import select
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.support import (
    MODES,
    Completed,
    clean_environment,
    harness,
    one_line,
)

#: Python holds back what it prints, or not: a failure shows itself at another place.
either_way_buffered = pytest.mark.parametrize(
    "env", [{"PYTHONUNBUFFERED": value} for value in ("", "1")], ids=["buffered", "unbuffered"]
)
both_modes = pytest.mark.parametrize("mode", MODES)


def refused(done: Completed, status: int, *words: str) -> None:
    """One line on stderr with all of *words*, nothing on stdout, and *status*."""
    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    said = one_line(done.stderr)
    for word in words:
        assert word in said


def _from_shell(script: str, *args: str, cwd: Path | None = None) -> Completed:
    """The command line as the last thing that a shell's *script* does: exec "$@"."""
    return subprocess.run(
        ["/bin/sh", "-c", script, "sh", sys.executable, "-m", "harness", *args],
        cwd=cwd,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _closing(descriptors: str, *args: str) -> Completed:
    return _from_shell(f'exec "$@" {descriptors}', *args)


def test_a_closed_standard_input_is_an_empty_one() -> None:
    done = _closing("<&-", "run", "-q", "--", "cat")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert _closing("<&-", "run", "-q", "--record", "/dev/null", "--", "cat").returncode == 0


def test_a_closed_standard_output_is_said_when_something_is_written() -> None:
    done = _closing(">&-", "run", "-q", "--", "sh", "-c", "echo lost; exit 3")
    refused(done, 125, "standard output: Bad file descriptor")
    silent = _closing(">&-", "run", "-q", "--", "sh", "-c", "exit 3")
    assert (silent.returncode, silent.stdout, silent.stderr) == (3, "", "")


def test_a_closed_standard_error_does_not_move_to_the_output() -> None:
    done = _closing("2>&-", "run", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "")
    refusal = _closing("2>&-", "run", "--fault", "nonsense", "--", "true")
    assert (refusal.returncode, refusal.stdout) == (125, "")


def test_all_three_closed() -> None:
    assert _closing("<&- >&- 2>&-", "run", "--", "sh", "-c", "exit 3").returncode == 3
    assert _closing("<&- >&- 2>&-", "run", "--", "sh", "-c", "echo x; exit 3").returncode == 125


@both_modes
def test_output_that_cannot_be_passed_on_is_125(mode: str) -> None:
    with open("/dev/full", "wb") as full:
        command = ("run", "-q", "--mode", mode, "--", "echo", "hi")
        done = harness(*command, stdout=full, stderr=subprocess.PIPE)
    refused(done, 125, "standard output: No space left on device")


@either_way_buffered
def test_diagnostics_that_cannot_be_passed_on_are_125_and_our_own_are_not(
    env: dict[str, str],
) -> None:
    with open("/dev/full", "wb") as full:
        command = ("run", "--", "sh", "-c")
        lost = harness(*command, "echo hi >&2", stdout=subprocess.PIPE, stderr=full, env=env)
        ours = harness(*command, "exit 4", stdout=subprocess.PIPE, stderr=full, env=env)
    assert (lost.returncode, ours.returncode) == (125, 4)


@both_modes
def test_a_reader_that_has_gone_is_as_sigpipe_unless_the_command_failed_itself(mode: str) -> None:
    """Quietly, as every writer into a pipe. What the command writes first it cannot know."""
    read, write = os.pipe()
    os.close(read)
    for status, expected in ("0", 141), ("3", 3):
        script = f"echo hi; exit {status}"
        command = ("run", "-q", "--mode", mode, "--", "sh", "-c", script)
        done = harness(*command, stdout=write, stderr=subprocess.PIPE)
        assert (done.returncode, done.stderr) == (expected, "")
    os.close(write)


@either_way_buffered
def test_what_other_commands_say_is_not_lost_quietly(tmp_path: Path, env: dict[str, str]) -> None:
    assert harness("run", "-q", "--record", "r.json", "--", "true", cwd=tmp_path).returncode == 0
    for command in ("show", "r.json"), ("replay", "r.json"), ("doctor",):
        with open("/dev/full", "wb") as full:
            done = harness(*command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, env=env)
        refused(done, 2, "standard output: No space left on device")


def test_a_reader_may_take_longer_than_the_deadline() -> None:
    """The trial waits for it, and its clock with it."""
    script = "seq 200000; exit 5"
    command = [sys.executable, "-m", "harness", "run", "-q", "--deadline", "2s"]
    with subprocess.Popen(
        [*command, "--", "sh", "-c", script],
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        pidfd = os.pidfd_open(process.pid)
        assert not select.select([pidfd], [], [], 2.5)[0], "it ended before it was read"
        os.close(pidfd)
        assert len(process.stdout.read().splitlines()) == 200000
        assert process.wait(timeout=60) == 5


@pytest.mark.parametrize("count", [*range(6, 16), 24])
def test_too_few_descriptors_are_said_with_what_helps(count: int) -> None:
    """Wherever they run out once Python has started: a message, and never a traceback."""
    done = _from_shell(f'ulimit -n {count}; exec "$@"', "run", "-q", "--", "true")
    if done.returncode == 0:
        return
    refused(done, 125, "open files", "ulimit -n")


def test_nobody_reads_the_output() -> None:
    """As without us: the writer gets SIGPIPE, and it does not take the deadline."""
    command = [sys.executable, "-m", "harness", "run", "-q", "--", "yes"]
    with subprocess.Popen(
        command, env=clean_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(4) == b"y\ny\n"
        process.stdout.close()
        assert process.wait(timeout=60) == 141


def test_the_working_directory_is_gone(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    script = 'rmdir "$PWD" && exec "$@"'
    done = _from_shell(script, "run", "--", "true", cwd=tmp_path / "gone")
    refused(done, 125, "working directory is gone", "cd")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/dev/full", "No space left on device"),
        ("/nowhere/r.json", "No such file or directory"),
        ("/", "Is a directory"),
        ("/proc/r.json", ""),
    ],
)
def test_a_recording_that_cannot_be_written(path: str, said: str) -> None:
    before = os.stat("/dev/full")
    done = harness("run", "-q", "--record", path, "--", "true")
    refused(done, 125, f"{path}: the recording is not written", said)
    after = os.stat("/dev/full")
    assert stat.S_ISCHR(after.st_mode)
    assert (before.st_ino, before.st_rdev) == (after.st_ino, after.st_rdev)


def test_a_disk_that_gets_full_leaves_no_half_recording(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: the same path through the same code."""
    old = tmp_path / "r.json"
    old.write_text("the recording before\n")
    script = 'ulimit -f 1; trap "" XFSZ; exec "$@"'
    done = _from_shell(script, "run", "-q", "--record", str(old), "--", "sh", "-c", "true")
    refused(done, 125, "the recording is not written: File too large")
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]
    assert old.read_text() == "the recording before\n"


@pytest.mark.parametrize("home", ["", "relative", "/nowhere/at/all"])
def test_a_home_that_is_none(home: str) -> None:
    done = harness("run", "-q", "--", "sh", "-c", 'cd "$HOME" && pwd', env={"HOME": home})
    assert (done.returncode, done.stdout) == (0, "/trial\n"), done.stderr


def test_words_that_are_no_text_arrive_as_they_are() -> None:
    done = harness("run", "-q", "--", "printf", "%s", "a\udcff\udc80b \n\t")
    assert done.stdout == "a\udcff\udc80b \n\t"
