"""A trial in which nothing can happen any more: whether that is so, and who waits for what."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Sequence

from .._kernel.seccomp import ARGS
from ..calls import NR, numbers
from .decode import POINTED, arguments, read_pointed
from .state import Trial
from .tasks import FREE, HELD, IDLE, Task
from .virtual_time import NEVER

_ALWAYS_TIMED = numbers("nanosleep clock_nanosleep")
#: call -> the argument with its time-out: a number of milliseconds, or a pointer that is 0 for none
_MILLISECONDS = {NR["poll"]: 2, NR["epoll_wait"]: 3, NR["epoll_pwait"]: 3}
_POINTER = (
    dict.fromkeys(numbers("ppoll rt_sigtimedwait"), 2)
    | dict.fromkeys(numbers("epoll_pwait2 futex futex_waitv semtimedop"), 3)
    | dict.fromkeys(
        numbers("select pselect6 mq_timedsend mq_timedreceive recvmmsg io_getevents"), 4
    )
)
_ON_DESCRIPTOR = numbers(
    "read readv pread64 write writev recvfrom recvmsg sendto sendmsg accept accept4 connect flock"
    " fcntl epoll_wait epoll_pwait sendfile splice"
)
_WAITS = numbers("wait4 waitid")
_EVENTS_SHOWN = 20


def may_wake_by_itself(trial: Trial) -> bool:
    """Whether time alone may wake a task: one sleeps with a time-out, or the trial has set
    timers."""
    return trial.timers or any(_is_timed(task) for task in trial.alive() if task.state == FREE)


def _is_timed(task: Task) -> bool:
    if task.call is None or not task.begun:
        return True
    return _has_a_limit(task.call[3], task.call[ARGS:])


def _has_a_limit(nr: int, args: Sequence[int]) -> bool:
    if nr in _ALWAYS_TIMED:
        return True
    if nr in _MILLISECONDS:
        return not args[_MILLISECONDS[nr]] & 0x80000000
    return nr in _POINTER and args[_POINTER[nr]] != 0


def sleeps_with_a_limit(task: Task) -> bool:
    """Whether it may wake by itself, going by the call that it sleeps in now: in free mode that may
    be one that was not trapped. Source: proc_pid_syscall(5)."""
    try:
        with open(f"/proc/{task.tid}/syscall") as file:
            words = file.read().split()
    except OSError:
        return True  # may not be asked (Yama), or is gone
    if not words or not words[0].isdecimal():
        return True  # it runs
    return _has_a_limit(int(words[0]), [int(word, 16) for word in words[1:7]])


def report(trial: Trial) -> str:
    """Every task's role, what it waits for, its wait channel, and its last events."""
    lines = [] if trial.is_ready else [f"nobody has listened on {trial.ready} yet"]
    tasks = [task for task in trial.alive() if task.state != IDLE]
    events = trial.text().events
    for task in tasks:
        lines.append(f"{task.name} {_where(task, tasks)}")
        own = [event.line() for event in events if event.role == task.name][-_EVENTS_SHOWN:]
        lines += [f"    {line}" for line in own]
    return "\n".join(lines) or "no task is left"


def _where(task: Task, tasks: list[Task]) -> str:
    if task.call is None:
        return "has not made a call yet"
    paths: tuple[bytes | None, ...] = ()
    if task.call[3] in POINTED:
        try:
            paths = read_pointed(task.call, task.memory())
        except OSError:
            pass
    shown = " ".join((f"{task.call_name}#{task.nth}", *arguments(task.call, paths)))
    if task.state == HELD:
        return f"is held at {shown}"
    if task.put_off is not None:
        return f"is put off at {shown}: {task.put_off.what}"
    if task.wait is not None and task.wait.deadline < NEVER:
        return f"waits in {shown}, which has a limit in time{_on_what(task, tasks)}"
    if task.wait is not None:
        return f"is blocked in {shown}{_on_what(task, tasks)}"
    if task.state != FREE:
        return f"waits for its turn at {shown}"
    state = task.kernel_state()
    if state == "R":
        return f"computes since {shown}"
    if state == "T":
        return f"is stopped since {shown}"
    return f"is blocked in {shown}{_on_what(task, tasks)}{_wait_channel(task)}"


def _wait_channel(task: Task) -> str:
    try:
        with open(f"/proc/{task.tid}/wchan") as file:
            channel = file.read().strip()
    except OSError:
        return ""
    return f" [{channel}]" if channel not in ("", "0") else ""


def _on_what(task: Task, tasks: list[Task]) -> str:
    assert task.call is not None
    nr = task.call[3]
    if nr in _WAITS:
        children = [other.name for other in tasks if other.name.rpartition("/")[0] == task.name]
        return f", for {', '.join(children)}" if children else ", for a child"
    if nr not in _ON_DESCRIPTOR:
        return ""
    fd = _signed(task.call[ARGS])
    target = _target(task, fd)
    if target is None:
        return ""
    holders = sorted(
        {other.name for other in tasks if other.tgid != task.tgid and target in _targets(other)}
    )
    kind = re.sub(r":\[\d+\]$", "", target)
    return f" on {kind}" + (
        f", open in {', '.join(holders)} too" if holders else ", open in no other task"
    )


def _signed(value: int) -> int:
    return int(struct.unpack("=i", struct.pack("=I", value & 0xFFFFFFFF))[0])


def _target(task: Task, fd: int) -> str | None:
    try:
        return os.readlink(f"/proc/{task.tid}/fd/{fd}")
    except OSError:
        return None


def _targets(task: Task) -> set[str]:
    try:
        fds = os.listdir(f"/proc/{task.tid}/fd")
    except OSError:
        return set()
    return {target for fd in fds if (target := _target(task, int(fd))) is not None}
