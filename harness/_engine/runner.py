"""The runner: a process of its own that runs trials one after another, and the handle by which
others use it.

It is executed, never forked: whoever asks for trials may have threads, and may be pytest. It is
single-threaded and imports nothing of the user's. They talk over a socket, a JSON object a line: a
plan goes in, output and then a result come back. The runner ends when the other end closes, so a
`kill -9` of its user ends the trial too; when the runner itself is killed, the trial's init goes by
its parent-death signal, and with it all the rest.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

from ..errors import HarnessError, MachineError, RunnerError, SubjectError
from ..subject import TrialPlan
from .trial import PassOn, TrialResult, run_trial

_PACKAGE_PARENT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_LINE = 1 << 16
_DOCTOR = "harness doctor says what is missing"
_QUIT_S = 5.0


# ---- The process ---------------------------------------------------------------------------------


def main(fd: int) -> None:
    """Serve plans from the socket *fd* until it closes."""
    for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
        signal.signal(number, signal.SIG_IGN)  # our user decides, and closes the socket
    # Each task of a trial takes two or three; the trial itself gets the limit that we were given.
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with (
        socket.socket(fileno=fd) as control,
        contextlib.suppress(KeyboardInterrupt, BrokenPipeError),
    ):
        for line in _lines(control):
            _send(control, _answer(json.loads(line), control.fileno()))


def _answer(plan_json: dict[str, Any], stop_fd: int) -> dict[str, Any]:
    plan = TrialPlan.from_json(plan_json)
    try:
        result = run_trial(
            plan, stop_fd=stop_fd, pass_on=_passing_on(stop_fd) if plan.pass_output else None
        )
    except SubjectError as error:
        return {"error": "subject", "message": error.args[0], "status": error.status}
    except MachineError as error:
        return {"error": "machine", "message": error.args[0], "fix": error.fix}
    except HarnessError as error:
        return {"error": "harness", "message": str(error)}
    except OSError as error:  # the kernel refuses what no part of a trial can do without
        where = f" ({error.filename})" if error.filename else ""
        message = f"the trial cannot be held: {error.strerror}{where}"
        return {"error": "machine", "message": message, "fix": _DOCTOR}
    return {"result": result.to_json()}


def _passing_on(stop_fd: int) -> PassOn:
    """What passes the trial's output on to our own.

    Its reader may be slow or stopped: each piece is small enough not to block once the pipe takes
    any, and while it takes none we still see our user go.
    """

    def write(fd: int, data: bytes) -> bool:
        while data:
            stopped, writable, _ = select.select([stop_fd], [fd], [])
            if stopped:
                return False
            if writable:
                try:
                    data = data[os.write(fd, data[: select.PIPE_BUF]) :]
                except BlockingIOError:
                    continue
                except OSError:
                    return False  # nobody reads it any more
        return True

    return write


def _lines(control: socket.socket) -> Iterator[bytes]:
    pieces: list[bytes] = []
    while data := control.recv(_LINE):
        *lines, rest = data.split(b"\n")
        for line in lines:
            yield b"".join((*pieces, line))
            pieces.clear()
        pieces.append(rest)


def _send(control: socket.socket, packet: dict[str, Any]) -> None:
    control.sendall(json.dumps(packet).encode() + b"\n")


def open_standard_descriptors() -> None:
    """Open what of standard input, output and error whoever started us has closed: else the next
    socket gets its number, and the subject reads and writes what is ours."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it gets the lowest number


# ---- Its handle ----------------------------------------------------------------------------------


class Runner:
    """A runner process, started at once and ended by `close`. Use it with `with`.

    It inherits standard input, output and error: a plan with `stdin=None` reads the former, one
    with `pass_output` writes the latter two. Errors: `SubjectError`, `MachineError` as in
    `run_trial`; `RunnerError` when the runner itself is gone.
    """

    def __init__(self) -> None:
        open_standard_descriptors()
        ours, theirs = socket.socketpair()
        code = (
            f"import sys; sys.path.insert(0, {_PACKAGE_PARENT!r}); "
            "from harness._engine.runner import main; main(int(sys.argv[1]))"
        )
        with theirs:
            os.set_inheritable(theirs.fileno(), True)
            # -I -S: nothing of the user's environment gets in, and it starts in a third of the
            # time.
            argv = [sys.executable, "-I", "-S", "-c", code, str(theirs.fileno())]
            # setsid: a Ctrl-C on the terminal is for us; we end the runner in our own time.
            self.pid = os.posix_spawn(sys.executable, argv, os.environ, setsid=True)
        self._socket = ours
        self._answers = _lines(ours)

    def run(self, plan: TrialPlan) -> TrialResult:
        """Run one trial and return what it gave."""
        try:
            _send(self._socket, plan.to_json())
            line = next(self._answers)
        except (OSError, StopIteration):
            raise RunnerError(
                f"the runner (process {self.pid}) died in the middle of a trial"
            ) from None
        answer = json.loads(line)
        if "result" in answer:
            return TrialResult.from_json(answer["result"])
        raise _ERRORS[answer["error"]](answer)

    def close(self) -> None:
        """End the runner and whatever it is running; return when all of it is gone."""
        self._socket.close()
        with contextlib.suppress(ChildProcessError):
            pidfd = os.pidfd_open(self.pid)
            try:
                if not select.select([pidfd], [], [], _QUIT_S)[0]:
                    os.kill(self.pid, signal.SIGKILL)  # init follows by its parent-death signal
            finally:
                os.close(pidfd)
            os.waitpid(self.pid, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


_ERRORS: dict[str, Callable[[dict[str, Any]], HarnessError]] = {
    "subject": lambda answer: SubjectError(answer["message"], answer["status"]),
    "machine": lambda answer: MachineError(answer["message"], fix=answer["fix"]),
    "harness": lambda answer: HarnessError(answer["message"]),
}
