"""The runner and its handle: what becomes of a trial that hangs where no deadline is looked at, and
of descriptors when a runner cannot be started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from harness._engine.runner import Runner
from harness.errors import RunnerError
from tests.system.support import clean_environment, plan, shell

_HANGS = """
import signal
from harness._engine.runner import ended_by_force_after
with ended_by_force_after(0.01):
    signal.pause()
"""
_PASSES = """
import signal
from harness._engine.runner import ended_by_force_after
with ended_by_force_after(100):
    pass
assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
"""


def _run(code: str) -> int:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=clean_environment(), timeout=60, check=False).returncode


def test_a_hang_is_ended_by_the_kernel_and_what_ends_is_left_alone() -> None:
    assert _run(_HANGS) == -signal.SIGALRM
    assert _run(_PASSES) == 0


def test_a_runner_that_was_ended_by_force_is_said_to_be() -> None:
    with Runner() as runner:
        os.kill(runner.pid, signal.SIGALRM)
        with pytest.raises(RunnerError, match=r"did not end .* after its deadline of 7 s"):
            runner.run(plan(*shell("true"), deadline_s=7))


def test_a_runner_that_dies_otherwise_is_said_to_have_died() -> None:
    with Runner() as runner:
        os.kill(runner.pid, signal.SIGKILL)
        with pytest.raises(RunnerError, match="died in the middle of a trial"):
            runner.run(plan(*shell("true")))


def test_a_runner_that_cannot_be_started_leaves_no_descriptor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    before = os.listdir("/proc/self/fd")
    with pytest.raises(FileNotFoundError):
        Runner()
    assert os.listdir("/proc/self/fd") == before


def test_a_caller_without_descriptors_is_told_what_helps() -> None:
    code = """
import resource
from harness._engine.runner import Runner
from harness.errors import MachineError
resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
try:
    Runner()
except MachineError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "open files" in done.stdout, done.stderr
    assert "ulimit -n" in done.stdout


def test_a_trial_with_more_processes_than_descriptors_is_told_what_helps() -> None:
    code = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
from harness.cli import main
script = "mkfifo f; for i in $(seq 60); do cat f & done"
raise SystemExit(main(["run", "-q", "--", "sh", "-c", script]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 125, done.stderr
    assert "open files" in done.stderr
    assert "ulimit -n" in done.stderr


def test_init_ends_quietly_when_the_runner_has_closed_its_end() -> None:
    """Its end of the socket says end of file where a packet was announced."""
    code = """
import socket
from harness._supervisor import init
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
ours.send(b'{"start": 3}')
ours.close()
init._asked_for(theirs)
raise SystemExit("it went on")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "")
