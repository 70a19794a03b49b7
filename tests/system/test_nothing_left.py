"""After any trial, and after any end of who asked for it: no process, mount, file or socket."""

from __future__ import annotations

import contextlib
import os
import random
import re
import select
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

from conftest import Effort
from harness._engine.runner import Runner
from tests.system.subjects import PROGRAMS
from tests.system.support import MODES, PYTHON, clean_environment, needs, plan, shell

both_modes = pytest.mark.parametrize("mode", MODES)

#: Nothing may outlast this; it is not waited for, but until the last process has ended.
GONE_S = 20.0
MARK = "HARNESS_TEST_MARK"
WATCHED = ("/tmp", "/var/tmp", "/dev/shm", "/run", "/")
OURS = ("harness", "faultharness", "trial", ".inputs", "layers")

#: A daemon in a session of its own, one that ignores whatever can be ignored, and work without end.
BUSY = """
(setsid sh -c 'trap "" HUP INT TERM QUIT USR1; mkfifo /tmp/f; while :; do sleep 100 </tmp/f; done' \
    >/dev/null 2>&1 &)
mkdir -p /run/x; i=0
while :; do i=$((i+1)); seq 30 | sort -r | tail -n 1 >/tmp/x; echo $i; done
"""
HELD = "echo 1; mkdir held; echo not reached"
SERVER = (PYTHON, "-I", "-S", str(PROGRAMS / "line_server.py"), "/run/s")


SHOWN = ("--bind", str(PROGRAMS))  # wherever this project lies


def client(words: str) -> str:
    return f"{PYTHON} -I -S {PROGRAMS / 'line_client.py'} /run/s {words}"


class Use:
    """One use of the command line whose every process carries a mark, and what was there before."""

    def __init__(self, folder: Path) -> None:
        self.mark = f"{MARK}={uuid.uuid4()}"
        self.folder = folder
        self.temporary = folder / "tmp"
        self.work = folder / "work"
        self.temporary.mkdir()
        self.work.mkdir()
        name, _, value = self.mark.partition("=")
        self.env = clean_environment() | {name: value, "TMPDIR": str(self.temporary)}
        self.before = self._seen()

    def command(self, *options: str) -> list[str]:
        """`harness run` whose trial carries the mark too."""
        return [sys.executable, "-m", "harness", "run", "--env", MARK, *options]

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        """Start it; its output is a pipe, its group its own."""
        return subprocess.Popen(
            self.command(*options),
            env=self.env,
            cwd=self.work,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
        )

    def processes(self) -> list[int]:
        """Every process that carries the mark, in the order of their birth."""
        found = []
        for name in os.listdir("/proc"):
            if name.isdecimal() and int(name) != os.getpid():
                with contextlib.suppress(OSError):
                    if self.mark.encode() in _environment(name):
                        found.append(int(name))
        return sorted(found, key=_birth)

    def runner(self, cli: int) -> int | None:
        """The runner of *cli*, once there is one."""
        with contextlib.suppress(OSError, IndexError):
            return int(Path(f"/proc/{cli}/task/{cli}/children").read_text().split()[0])
        return None

    def assert_nothing_left(self) -> None:
        """Wait for the last process to end; then nothing may be there that was not."""
        end = time.monotonic() + GONE_S
        while left := self.processes():
            with contextlib.ExitStack() as stack:
                ends = []
                for pid in left:
                    with contextlib.suppress(ProcessLookupError):
                        ends.append(os.pidfd_open(pid))
                        stack.callback(os.close, ends[-1])
                for pidfd in ends:
                    ended, _, _ = select.select([pidfd], [], [], max(0.0, end - time.monotonic()))
                    assert ended, f"left running: {[_words(pid) for pid in self.processes()]}"
        assert self._seen() == self.before
        assert os.listdir(self.temporary) == []

    def _seen(self) -> list[str]:
        names = [
            f"{top}/{name}" for top in WATCHED for name in os.listdir(top) if name.startswith(OURS)
        ]
        mounts = [
            line
            for line in Path("/proc/self/mountinfo").read_text().splitlines()
            if "/trial" in line or " - tmpfs trial " in line or " - overlay overlay " in line
        ]
        return [*names, *mounts, *os.listdir(self.work)]


def _environment(pid: str) -> bytes:
    """That of a process; in the midst of execve(2) it has none for a moment. One that has no
    program, a zombie or a thread of the kernel, is an OSError."""
    for _ in range(1000):
        os.readlink(f"/proc/{pid}/exe")
        if found := Path(f"/proc/{pid}/environ").read_bytes():
            return found
    return b""


def _birth(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return 0


def _words(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return f"{pid}, gone by now"


def read_lines(process: subprocess.Popen[bytes], count: int) -> int:
    """Wait for that many lines of its output; how many came before it ended."""
    assert process.stdout is not None
    end = time.monotonic() + GONE_S
    seen = b""
    while seen.count(b"\n") < count:
        ready, _, _ = select.select([process.stdout], [], [], max(0.0, end - time.monotonic()))
        assert ready, "it says nothing"
        data = os.read(process.stdout.fileno(), 1 << 16)
        if not data:
            break
        seen += data
    return seen.count(b"\n")


@pytest.fixture
def use(tmp_path: Path) -> Iterator[Use]:
    made = Use(tmp_path)
    yield made
    for pid in made.processes():  # of a test that failed
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


# ---- After any trial -----------------------------------------------------------------------------

_SLEEPERS = "(setsid sleep 600 &) </dev/null >/dev/null 2>&1; "
TRIALS = {
    "that passes": ((), "true", 0),
    "that fails": ((), "exit 7", 7),
    "that leaves a daemon": ((), f"{_SLEEPERS} echo", 0),
    "that is killed": ((), "kill -9 $$", 137),
    "with a crash": (("--fault", "exit_group=crash"), f"{_SLEEPERS} true", 137),
    "with a crash after": (("--fault", "**:mkdir=crash-after"), f"{_SLEEPERS} mkdir x", 137),
    "that is held": (("--fault", "exit_group=hold", "--deadline", "0.3s"), "true", 124),
    "that is stuck": (("--deadline", "0.3s"), "mkfifo f; cat f", 124),
    "that sleeps": (("--deadline", "0.3s"), f"{_SLEEPERS} while :; do sleep 1; done", 124),
    "that spins": (("--deadline", "0.3s"), "while :; do :; done", 124),
    "that never stops calling": (
        ("--steps", "300", "--deadline", "2s"),
        "while :; do pwd >f; done",
        124,
    ),
    "with a fault that does not fire": (("--fault", "mkdir=EIO"), "true", 3),
    "with stopped processes": ((), "sleep 600 & kill -STOP $!; echo", 0),
    "with what ignores signals": ((), f"trap '' TERM INT HUP; {_SLEEPERS} echo", 0),
    # Its children end while it does, which may kill a dash in free mode: docs/explanation/limits.md
    "with a tree": ((), "for i in 1 2 3; do (sleep 600 & sleep 600 &) & done; wait; echo", 0),
    "with sockets, pipes and links": ((), "mkfifo /tmp/a /run/b; ln -s /tmp /dev/shm/l; : >g", 0),
    "with mounts": ((), "mount -t tmpfs x /mnt && : >/mnt/f", 0),
}


@both_modes
@pytest.mark.parametrize("kind", TRIALS)
def test_after_a_trial(kind: str, mode: str, use: Use) -> None:
    options, script, status = TRIALS[kind]
    process = use.start("--mode", mode, *options, "--", "sh", "-c", script)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, b"Traceback" in err) == (status, False), (out, err)
    use.assert_nothing_left()


@pytest.mark.parametrize(
    ("words", "status"),
    [(["/nowhere/at/all"], 127), (["/etc/passwd"], 126), (["./text"], 126), (["sh", "-c"], 2)],
)
def test_after_a_command_that_cannot_run(words: list[str], status: int, use: Use) -> None:
    if words == ["./text"]:
        (use.work / "text").write_text("no program")
        use.before = use._seen()
    if words == ["/etc/passwd"] and os.access("/etc/passwd", os.X_OK):
        pytest.skip("/etc/passwd is executable here")
    process = use.start("--", *words)
    process.communicate(timeout=60)
    assert process.returncode == status
    use.assert_nothing_left()


@both_modes
def test_after_a_service_with_clients(mode: str, use: Use) -> None:
    process = use.start(
        *("--mode", mode, *SHOWN, "--ready", "/run/s"),
        *("--client", client("a b"), "--client", client("c"), "--", *SERVER),
    )
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert sorted(line[2:] for line in out.splitlines()) == [b"A", b"B", b"C"]
    use.assert_nothing_left()


@both_modes
def test_after_the_reader_of_its_output_has_gone(mode: str, use: Use) -> None:
    process = use.start("--mode", mode, "--", "yes")
    assert read_lines(process, 3) >= 3
    assert process.stdout is not None
    process.stdout.close()
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGPIPE
    use.assert_nothing_left()


@both_modes
def test_who_has_ended_is_not_said_to_be_left(mode: str, runner: Runner) -> None:
    service = plan(*shell("exit 2"), clients={"c": ("true",)}, ready="/run/s", mode=mode)
    outcome = runner.run(service).outcome
    assert (outcome.end, outcome.status, outcome.leftovers) == ("exited", 2 << 8, ())


# ---- After an interruption -----------------------------------------------------------------------


@both_modes
@pytest.mark.parametrize("name", ["INT", "TERM", "HUP"])
def test_after_a_signal_to_the_command_line(name: str, mode: str, use: Use) -> None:
    process = use.start("--mode", mode, "--", "sh", "-c", BUSY)
    read_lines(process, 2)
    process.send_signal(signal.Signals[f"SIG{name}"])
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.Signals[f"SIG{name}"]
    assert err == b"harness: interrupted; nothing is left behind\n"
    assert use.processes() == [], "it says so when it is so"
    use.assert_nothing_left()


@both_modes
@pytest.mark.parametrize("name", ["INT", "TERM", "HUP", "QUIT", "KILL"])
def test_after_a_signal_to_the_whole_group(name: str, mode: str, use: Use) -> None:
    process = use.start("--mode", mode, "--", "sh", "-c", BUSY)
    read_lines(process, 2)
    os.killpg(process.pid, signal.Signals[f"SIG{name}"])
    process.communicate(timeout=60)
    use.assert_nothing_left()


def test_a_hang_up_that_is_ignored_stays_ignored(use: Use) -> None:
    """As nohup(1) asks for."""
    command = use.command("-q", "--", "sh", "-c", "echo 1; read end; exit 6")
    process = subprocess.Popen(
        ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *command],
        env=use.env,
        cwd=use.work,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    read_lines(process, 1)
    process.send_signal(signal.SIGHUP)
    _, err = process.communicate(b"end\n", timeout=60)
    assert (process.returncode, err) == (6, b"")
    use.assert_nothing_left()


def test_after_two_interruptions_in_a_row(use: Use) -> None:
    process = use.start("--", "sh", "-c", BUSY)
    read_lines(process, 1)
    for _ in range(5):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    use.assert_nothing_left()


@both_modes
@pytest.mark.parametrize("keys", ["ctrl-c", "ctrl-backslash", "hang-up"])
def test_after_keys_on_a_terminal(keys: str, mode: str, use: Use) -> None:
    """The trial has the terminal as its standard input, and ignores what it can."""
    script = f"trap '' INT QUIT HUP TERM; {BUSY}"
    command = use.command("--mode", mode, "--", "sh", "-c", script)
    terminal = pexpect.spawn(
        command[0],
        command[1:],
        env=use.env,  # type: ignore[arg-type]
        cwd=str(use.work),
        timeout=GONE_S,
    )
    terminal.expect(r"\b2\r\n")
    if keys == "ctrl-c":
        terminal.sendintr()
        terminal.expect("harness: interrupted; nothing is left behind")
        terminal.expect(pexpect.EOF)
        terminal.wait()
        assert terminal.exitstatus == 130
    elif keys == "ctrl-backslash":
        terminal.sendcontrol("\\")
        terminal.expect(pexpect.EOF)
    terminal.close(force=True)
    use.assert_nothing_left()


@both_modes
def test_after_kill_9_of_a_command_line_that_is_stopped(mode: str, use: Use) -> None:
    process = use.start("--mode", mode, "--", "sh", "-c", BUSY)
    read_lines(process, 1)
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)
    process.kill()
    process.communicate(timeout=60)
    use.assert_nothing_left()


# ---- After kill -9 at random moments -------------------------------------------------------------

TARGETS = ("command line", "runner", "init", "both")
WORKS = {
    "busy": (("--", "sh", "-c", BUSY), 12),
    "held": (("--fault", "**:mkdir=hold", "--deadline", "100s", "--", "sh", "-c", HELD), 1),
    "service": (
        (
            *(*SHOWN, "--ready", "/run/s", "--client", client("a b"), "--client", client("c d")),
            *("--", *SERVER),
        ),
        4,
    ),
}


def _kill(use: Use, process: subprocess.Popen[bytes], target: str) -> None:
    runner = use.runner(process.pid)
    init = use.runner(runner) if runner else None
    chosen = {
        "command line": [process.pid],
        "runner": [runner],
        "init": [init],
        "both": [process.pid, runner],
    }[target]
    for pid in chosen:
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def kills(effort: Effort, record_property: Callable[[str, object], None]) -> int:
    """How often each target is killed: 200 times in all, 24 when CI must be quick."""
    count = 25 if effort == "full" else 3
    record_property("kills", count)
    return count


@pytest.mark.parametrize("target", TARGETS)
def test_after_kill_9_when_it_has_said_something(target: str, use: Use, kills: int) -> None:
    """How many lines it has said decides the moment; the seed decides how many."""
    for number in range(kills):
        rng = random.Random(f"{target} {number}")
        work, mode = rng.choice(sorted(WORKS)), rng.choice(MODES)
        options, lines = WORKS[work]
        process = use.start("--mode", mode, *options)
        read_lines(process, rng.randint(1, lines))
        _kill(use, process, target)
        _, err = process.communicate(timeout=60)
        # It may have been done: with what is held nobody can go on.
        done = process.returncode == 0 or (process.returncode == 124 and b" is stuck" in err)
        if target in ("runner", "init") and not done:
            assert process.returncode == 125, err
            assert re.fullmatch(rb"harness: .*\n", err), err
        use.assert_nothing_left()


@pytest.mark.parametrize("target", TARGETS)
def test_after_kill_9_at_any_moment(target: str, use: Use, kills: int) -> None:
    """From the first instruction to the last: a seeded time after the start, by a clock that
    nothing else waits for."""
    for number in range(kills):
        rng = random.Random(f"{target} at {number}")
        mode = rng.choice(MODES)
        process = use.start("--mode", mode, "--", "sh", "-c", "seq 200 | sort | tail -n 1")
        pidfd = os.pidfd_open(process.pid)
        select.select([pidfd], [], [], rng.uniform(0.0, 0.4))
        os.close(pidfd)
        _kill(use, process, target)
        process.communicate(timeout=60)
        use.assert_nothing_left()


def test_marks_are_found(use: Use) -> None:
    """The look-out itself: a process that is left is seen, and named."""
    needs("setsid")
    left = subprocess.Popen(["setsid", "sleep", "60"], env=use.env)
    assert use.processes() == [left.pid]
    left.kill()
    left.wait()
    use.assert_nothing_left()
    (use.temporary / "file").touch()
    with pytest.raises(AssertionError):
        use.assert_nothing_left()
