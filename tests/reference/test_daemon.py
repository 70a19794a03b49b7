"""The service in the background, and its pid file."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import tempfile
from collections.abc import Iterator

import pytest

from reference.forking_service.client import ForkingServiceClient
from tests.reference.support import PATIENCE_S, Raw, ask, command, environment


class Daemon:
    """A service in the background of *place*, ready when this returns, and its pid."""

    def __init__(self, place: str, *words: str) -> None:
        self.path = os.path.join(place, "s")
        self.pid_file = os.path.join(place, "pid")
        self.done = subprocess.run(
            command(
                *("--path", self.path, "--directory", place, "--pid-file", self.pid_file), *words
            ),
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        self.pid = 0
        if self.done.returncode == 0:
            with open(self.pid_file) as file:
                self.pid = int(file.read())
            self.pidfd = os.pidfd_open(self.pid)

    def until_ended(self) -> None:
        assert select.select([self.pidfd], [], [], PATIENCE_S)[0]

    def clear(self) -> None:
        if self.pid:
            try:
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            except ProcessLookupError:
                pass
            os.close(self.pidfd)


@pytest.fixture
def place() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="fs-") as made:
        yield made


@pytest.fixture
def daemon(place: str) -> Iterator[Daemon]:
    started = Daemon(place)
    yield started
    started.clear()


def fields_of(pid: int) -> list[str]:
    """/proc/PID/stat after the name: state, parent, group, session, terminal."""
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()


def test_it_is_ready_when_the_command_returns_and_leaves_nothing_when_it_ends(
    daemon: Daemon, place: str
) -> None:
    assert (daemon.done.returncode, daemon.done.stdout) == (0, "")
    assert daemon.done.stderr == f"Listening on socket: {daemon.path}\n"
    child = ForkingServiceClient(daemon.path).spawn(["rocks"])
    assert child.communicate() == (b"It sure does!\n", b"")
    os.kill(daemon.pid, signal.SIGTERM)
    daemon.until_ended()
    assert os.listdir(place) == []


def test_it_has_a_session_of_its_own_no_terminal_and_nothing_open(daemon: Daemon) -> None:
    state, _, group, session, terminal = fields_of(daemon.pid)[:5]
    assert state in "SR"
    assert group == session != str(daemon.pid)
    assert session != fields_of(os.getpid())[3]
    assert terminal == "0"
    for number in range(3):
        assert os.readlink(f"/proc/{daemon.pid}/fd/{number}") == os.devnull


def test_quit_removes_the_pid_file_too(daemon: Daemon, place: str) -> None:
    with Raw(daemon.path) as raw:
        assert raw.send(b"quit\n").rest() == b"ok\nquit command requested... exiting\n"
    daemon.until_ended()
    assert os.listdir(place) == []


def test_a_live_services_pid_file_is_left_alone(daemon: Daemon, place: str) -> None:
    second = Daemon(place)
    assert second.done.returncode == 1
    assert second.done.stderr == (
        f"forking-service: cannot listen on {daemon.path}: another service is listening there\n"
    )
    with open(daemon.pid_file) as file:
        assert int(file.read()) == daemon.pid


def test_a_successors_pid_file_is_not_the_predecessors_to_remove(
    daemon: Daemon, place: str
) -> None:
    child = ForkingServiceClient(daemon.path).spawn(["replay"])
    with Raw(daemon.path) as asking:
        asking.send(b"hel")
        os.kill(daemon.pid, signal.SIGTERM)
        assert asking.rest() == b"FAILURE\nthe service is stopping\n"
    successor = Daemon(place)
    try:
        assert successor.done.returncode == 0, successor.done.stderr
        assert child.communicate(b"1 x\n") == (b"x\n", b"")
        daemon.until_ended()
        with open(daemon.pid_file) as file:
            assert int(file.read()) == successor.pid
    finally:
        successor.clear()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--pid-file", "/no/such/pid"), "cannot write the pid file /no/such/pid: No such file"),
        (("--commands", "no.such"), "cannot load commands from no.such"),
    ],
)
def test_one_that_does_not_start_says_why_and_leaves_nothing(
    words: tuple[str, ...], why: str, place: str
) -> None:
    failed = Daemon(place, *words)
    assert (failed.done.returncode, failed.done.stderr.count("\n")) == (1, 1)
    assert why in failed.done.stderr
    assert os.listdir(place) == []


def test_a_pid_file_that_cannot_be_put_there_leaves_nothing(place: str) -> None:
    os.mkdir(os.path.join(place, "pid"))
    failed = Daemon(place)
    assert failed.done.returncode == 1
    assert failed.done.stderr == (
        f"forking-service: cannot write the pid file {failed.pid_file}: Is a directory\n"
    )
    assert os.listdir(place) == ["pid"]


def test_a_pid_file_that_somebody_has_removed_is_not_missed(daemon: Daemon, place: str) -> None:
    os.unlink(daemon.pid_file)
    os.kill(daemon.pid, signal.SIGTERM)
    daemon.until_ended()
    assert os.listdir(place) == []


def test_what_it_has_to_say_later_goes_to_its_log_file(place: str) -> None:
    log = os.path.join(place, "log")
    daemon = Daemon(place, "--log-file", log, "--preload", "no.such")
    try:
        assert daemon.done.stderr.startswith("Preloading 1 modules\nListening ")
        assert ask(daemon.path, b"hello\n").startswith(b"ok\n")
        with open(log) as file:
            assert "0 running, 0 spawned" in file.read()
    finally:
        daemon.clear()
