"""The test's end of programs/: a process to do things in that a test must not do to itself."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
#: Nothing is judged by time: this is only how long a hang lasts before it has a name.
PATIENCE_S = 60


def command(program: str, *arguments: str) -> list[str]:
    """How programs/*PROGRAM*.py is executed; with `cwd=ROOT`."""
    return [sys.executable, "-m", f"tests.kernel.programs.{program}", *arguments]


def run(program: str, *arguments: object, env: dict[str, str] | None = None) -> Any:
    """Execute a program to its end, with *env* added to ours; the JSON that it printed."""
    done = subprocess.run(
        command(program, *map(str, arguments)),
        cwd=ROOT,
        env=os.environ | (env or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, f"{program} exited {done.returncode}:\n{done.stderr}"
    return json.loads(done.stdout)


def wait_readable(fd: int) -> None:
    """Until *fd* has something to read, or has ended."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    assert poll.poll(PATIENCE_S * 1000), "nothing came"


class Teller:
    """One end of the socket on which programs/servant.py listens."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.control.settimeout(PATIENCE_S)

    def begin(self, expression: str) -> None:
        """Tell it to evaluate an expression; `result` has the value."""
        self.control.send(json.dumps(["eval", expression]).encode())

    def result(self) -> Any:
        """What came of it. An `OSError` there is an `OSError` here."""
        answer = json.loads(self.control.recv(65536))
        if "errno" in answer:
            raise OSError(answer["errno"], answer["error"])
        assert "error" not in answer, answer["error"]
        return answer["value"]

    def ask(self, expression: str) -> Any:
        """The value of an expression, there."""
        self.begin(expression)
        return self.result()

    def do(self, block: str) -> None:
        """Execute a block of statements there; its names stay for later ones."""
        self.control.send(json.dumps(["exec", textwrap.dedent(block)]).encode())
        self.result()

    def take_fd(self, expression: str) -> int:
        """Evaluate to a descriptor there, and get a copy of it here."""
        self.begin(f"hand_over({expression})")
        message, fds, _, _ = socket.recv_fds(self.control, 65536, 1)
        assert fds, message
        self.result()
        return fds[0]


class Servant(Teller):
    """programs/servant.py, executed: it evaluates what it is told to. Killed when the test is
    over."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        super().__init__(ours)
        with theirs:
            self.process = subprocess.Popen(
                command("servant", str(theirs.fileno())),
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self.pid = self.process.pid
        self.pidfd = os.pidfd_open(self.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.control.close()
        os.close(self.pidfd)

    def kill(self) -> None:
        """End it, and return when it is gone."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE_S)

    @contextlib.contextmanager
    def inmate(self, *, own_network: bool = True, mapped: bool = True) -> Iterator[Teller]:
        """A child of the servant's, PID 1 of fresh namespaces; `inmate_pid` is its pid out here."""
        self.do(f"inmate_pid = enter({own_network})")
        with socket.socket(fileno=self.take_fd("inmate.fileno()")) as control:
            self.do("inmate.close()")
            if mapped:
                self.do("namespaces.write_maps(inmate_pid)")
            yield Teller(control)
