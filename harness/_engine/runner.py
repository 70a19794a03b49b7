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
import errno
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from .._supervisor.launch import machine_error
from ..errors import HarnessError, MachineError, RunnerError, SubjectError
from ..subject import TrialPlan
from .measured import keep
from .trial import Templates, TrialResult, run_trial

_PACKAGE_PARENT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_LINE = 1 << 16
_QUIT_S = 5.0
#: Beyond a trial's deadline, for what that does not cover: making its world, at most half of
#: this, and taking it down.
_GRACE_S = 60.0


# ---- The process ---------------------------------------------------------------------------------


def main(fd: int) -> None:
    """Serve plans from the socket *fd* until it closes."""
    for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
        signal.signal(number, signal.SIG_IGN)  # our user decides, and closes the socket
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})  # whatever we were started with
    # Each task of a trial takes two or three; the trial itself gets the limit that we were given.
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with (
        socket.socket(fileno=fd) as control,
        contextlib.suppress(KeyboardInterrupt, BrokenPipeError),
    ):
        templates = Templates()
        for line in _lines(control):
            _send(control, _answer(json.loads(line), control.fileno(), templates))
        templates.close()


def _answer(plan_json: dict[str, Any], stop_fd: int, templates: Templates) -> dict[str, Any]:
    plan = TrialPlan.from_json(plan_json)
    passing = _PassingOn(stop_fd)
    try:
        with ended_by_force_after(plan.deadline_s + _GRACE_S):
            result = run_trial(
                plan,
                stop_fd=stop_fd,
                pass_on=passing if plan.pass_output else None,
                clock=passing.clock_ns,
                templates=templates,
            )
    except SubjectError as error:
        return {"error": "subject", "message": error.args[0], "status": error.status}
    except MachineError as error:
        return {"error": "machine", "message": error.args[0], "fix": error.fix}
    except HarnessError as error:
        return {"error": "harness", "message": str(error)}
    except OSError as error:  # the kernel refuses what no part of a trial can do without
        refused = machine_error("the trial cannot be held", error)
        return {"error": "machine", "message": refused.args[0], "fix": refused.fix}
    return {"result": replace(result, not_passed_on=passing.refusals).to_json()}


@contextlib.contextmanager
def ended_by_force_after(seconds: float) -> Iterator[None]:
    """The kernel kills this process by SIGALRM unless the block ends before *seconds* have passed.

    Not by a handler: whatever hangs may never come back to the interpreter. A trial goes with its
    runner."""
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


class _PassingOn:
    """Passes a trial's output on to our own standard output and error.

    Its reader may be slow or stopped: each piece is small enough not to block once the pipe takes
    any, and while it takes none we still see our user go. *refusals* has the errno by which an
    output took no more. The time that a reader takes is not the trial's: `clock_ns` stands still.
    """

    def __init__(self, stop_fd: int) -> None:
        self.refusals: dict[int, int] = {}
        self._stop_fd = stop_fd
        self._waited_ns = 0

    def clock_ns(self) -> int:
        """Nanoseconds, as `time.monotonic_ns` but for the waits."""
        return time.monotonic_ns() - self._waited_ns

    def __call__(self, fd: int, data: bytes) -> bool:
        """Write all of *data*; False when that cannot be, or our user is gone."""
        poll = select.poll()
        poll.register(self._stop_fd, select.POLLIN)
        poll.register(fd, select.POLLOUT)
        while data:
            if any(ready == self._stop_fd for ready, _ in poll.poll(0) or self._wait(poll)):
                return False
            try:
                data = data[os.write(fd, data[: select.PIPE_BUF]) :]
            except BlockingIOError:
                continue
            except OSError as error:
                self.refusals[fd] = error.errno or errno.EIO
                return False
        return True

    def _wait(self, poll: select.poll) -> list[tuple[int, int]]:
        left_s, _ = signal.setitimer(signal.ITIMER_REAL, 0)
        began = time.monotonic_ns()
        ready = poll.poll()
        self._waited_ns += time.monotonic_ns() - began
        signal.setitimer(signal.ITIMER_REAL, left_s)
        return ready


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
            # Nobody misses what it could have read, nor our diagnostics; but output must not be
            # lost quietly: a write to it fails as it would have.
            how = os.O_RDONLY if number == 1 else os.O_RDWR
            os.set_inheritable(os.open(os.devnull, how), True)  # it gets the lowest number


# ---- Its handle ----------------------------------------------------------------------------------


class Runner:
    """A runner process, started at once and ended by `close`. Use it with `with`.

    It inherits standard input, output and error: a plan with `stdin=None` reads the former, one
    with `pass_output` writes the latter two. Errors: `SubjectError`, `MachineError` as in
    `run_trial`; `RunnerError` when the runner itself is gone.
    """

    def __init__(self) -> None:
        code = (
            f"import sys; sys.path.insert(0, {_PACKAGE_PARENT!r}); "
            "from harness._engine.runner import main; main(int(sys.argv[1]))"
        )
        try:
            open_standard_descriptors()
            ours, theirs = socket.socketpair()
        except OSError as error:
            raise machine_error("no runner can be started", error) from None
        with contextlib.ExitStack() as unless_started, theirs:
            unless_started.callback(ours.close)
            os.set_inheritable(theirs.fileno(), True)
            # -I -S: nothing of the user's environment gets in, and it starts in a third of the
            # time.
            argv = [sys.executable, "-I", "-S", "-c", code, str(theirs.fileno())]
            # setsid: a Ctrl-C on the terminal is for us; we end the runner in our own time.
            self.pid = os.posix_spawn(sys.executable, argv, os.environ, setsid=True)
            unless_started.pop_all()
        self._socket = ours
        self._answers = _lines(ours)

    def run(self, plan: TrialPlan) -> TrialResult:
        """Run one trial and return what it gave."""
        try:
            _send(self._socket, plan.to_json())
            line = next(self._answers)
        except (OSError, StopIteration):
            raise RunnerError(self._how_it_died(plan)) from None
        answer = json.loads(line)
        if "result" in answer:
            result = TrialResult.from_json(answer["result"])
            if plan.coverage:
                keep(result.measured, plan.coverage)
            return replace(result, measured=())
        raise _ERRORS[answer["error"]](answer)

    def _how_it_died(self, plan: TrialPlan) -> str:
        if self._wait(_QUIT_S):
            died = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            if died is not None and (died.si_code, died.si_status) == (
                os.CLD_KILLED,
                signal.SIGALRM,
            ):
                return (
                    f"the trial did not end {_GRACE_S:g} s after its deadline of "
                    f"{plan.deadline_s:g} s, and was ended by force: a file system that hangs?"
                )
        return f"the runner (process {self.pid}) died in the middle of a trial"

    def _wait(self, seconds: float) -> bool:
        """Whether the runner has ended, or does within *seconds*."""
        pidfd = os.pidfd_open(self.pid)
        try:
            poll = select.poll()  # not select: the number of the descriptor may be of any size
            poll.register(pidfd, select.POLLIN)
            return bool(poll.poll(seconds * 1000))
        finally:
            os.close(pidfd)

    def give_up(self) -> None:
        """End the trial that runs, from another thread or a signal handler: `run` raises
        `RunnerError`, and the runner ends."""
        with contextlib.suppress(OSError):  # it is closed
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End the runner and whatever it is running; return when all of it is gone. Raises
        `RunnerError` when the kernel does not let go of it."""
        self._socket.close()
        with contextlib.suppress(ChildProcessError, ProcessLookupError):
            if not self._wait(_QUIT_S):
                os.kill(self.pid, signal.SIGKILL)  # init follows by its parent-death signal
                if not self._wait(_QUIT_S):
                    raise RunnerError(
                        f"process {self.pid} does not end even when killed; "
                        f"/proc/{self.pid}/stack says where in the kernel it hangs"
                    )
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
