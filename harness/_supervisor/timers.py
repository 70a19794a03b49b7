"""Clocks that are read and timers that are set: answered from the trial's own time, and not carried
out.

Source: clock_gettime(2), gettimeofday(2), time(2), alarm(2), setitimer(2), timer_create(2),
timerfd_create(2).
"""

from __future__ import annotations

import errno
import os
import select
import signal
import struct
from collections.abc import Callable, Collection
from dataclasses import dataclass

from .._kernel import process
from .._kernel.seccomp import ARGS
from ..calls import NR
from .tasks import Task
from .virtual_time import VirtualTime

_SECOND = 10**9
_MICROSECOND = 1000
_ITIMER_REAL = 0
_OVERRUN_MAX = 2**31 - 1  # DELAYTIMER_MAX, timer_getoverrun(2)
_MONOTONIC = 1
_ABSTIME = 1  # TIMER_ABSTIME, TFD_TIMER_ABSTIME
_SIGEV_SIGNAL, _SIGEV_NONE, _SIGEV_THREAD_ID = 0, 1, 4  # <asm-generic/siginfo.h>
_TFD_CLOEXEC, _TFD_NONBLOCK = 0o2000000, 0o4000

#: result and errno; None when the kernel is to carry the call out
Answer = tuple[int, int] | None
_EFAULT = (0, errno.EFAULT)
_EINVAL = (0, errno.EINVAL)


@dataclass(slots=True)
class Timer:
    """When it goes off next (None: not set), and every how many nanoseconds after that (0: once).
    *ring* is told how many times it has. *overrun*: how many of them its last signal stands for
    beside its own; *is_pending* asks whether that has not been taken yet."""

    ring: Callable[[int], None]
    is_pending: Callable[[], bool] = lambda: False
    overrun: int = 0
    clock: int = 1
    due: int | None = None
    interval: int = 0


class Timers:
    """The clocks and timers of one trial. *give* puts a descriptor of ours into a task, as the
    answer to its call: `(task, fd, close on exec) -> its number there`."""

    def __init__(self, time: VirtualTime, give: Callable[[Task, int, bool], None]) -> None:
        self._time = time
        self._give = give
        self._of_process: dict[int, Timer] = {}
        self._posix: dict[tuple[int, int], Timer] = {}
        self._files: dict[int, tuple[int, Timer]] = {}  # by eventfd-id: our duplicate, its timer
        self._numbers: dict[int, int] = {}
        self._answers: dict[int, Callable[[Task, tuple[int, ...]], Answer]] = {
            NR["clock_gettime"]: self._clock_gettime,
            NR["gettimeofday"]: self._gettimeofday,
            NR["time"]: self._read_time,
            NR["sysinfo"]: self._sysinfo,
            NR["alarm"]: self._alarm,
            NR["setitimer"]: self._setitimer,
            NR["getitimer"]: self._getitimer,
            NR["timer_create"]: self._timer_create,
            NR["timer_settime"]: self._timer_settime,
            NR["timer_gettime"]: self._timer_gettime,
            NR["timer_getoverrun"]: lambda task, args: self._known(
                task, args, lambda timer: (min(timer.overrun, _OVERRUN_MAX), 0)
            ),
            NR["timer_delete"]: self._timer_delete,
            NR["timerfd_create"]: self._timerfd_create,
            NR["timerfd_settime"]: self._timerfd_settime,
            NR["timerfd_gettime"]: self._timerfd_gettime,
        }

    def calls(self) -> Collection[int]:
        """The calls that `answer` is for."""
        return self._answers.keys()

    def answer(self, task: Task) -> Answer:
        """What the call of *task* returns. With `given` it has been answered already."""
        assert task.call is not None
        try:
            return self._answers[task.call[3]](task, task.call[ARGS:])
        except OSError:
            return _EFAULT

    def next_due(self) -> int | None:
        """When the next timer goes off."""
        return min((one.due for one in self._all() if one.due is not None), default=None)

    def ring(self) -> bool:
        """Let go off what is due; whether anything was. Asked at each step, so cheap for none."""
        rang = False
        if not (self._of_process or self._posix or self._files):
            return rang
        for timer in self._all():
            if timer.due is not None and timer.due <= self._time.now:
                count = 1
                if timer.interval:
                    count += (self._time.now - timer.due) // timer.interval
                    timer.due += count * timer.interval
                else:
                    timer.due = None
                if timer.is_pending():
                    timer.overrun += count
                else:
                    timer.overrun = count - 1
                    timer.ring(count)
                rang = True
        return rang

    def close(self) -> None:
        """Give up the descriptors."""
        for fd, _ in self._files.values():
            os.close(fd)
        self._files.clear()

    def _all(self) -> list[Timer]:
        files = (timer for _, timer in self._files.values())
        return [*self._of_process.values(), *self._posix.values(), *files]

    # Clocks

    def _read(self, task: Task) -> int:
        """A task that reads the clock until its own alarm goes off need make no other call."""
        now = self._time.read(task.tid)
        due = self.next_due() if self._of_process or self._posix else None
        if due is not None and due <= now:
            self._time.catch_up(task.tid)
            self.ring()
        return now

    def _clock_gettime(self, task: Task, args: tuple[int, ...]) -> Answer:
        shown = self._time.on_clock(args[0] & 0xFFFFFFFF, self._read(task))
        if shown is None:
            return None
        task.memory().write(args[1], struct.pack("=qq", *divmod(shown, _SECOND)))
        return 0, 0

    def _gettimeofday(self, task: Task, args: tuple[int, ...]) -> Answer:
        shown = self._time.on_clock(0, self._read(task))
        assert shown is not None
        seconds, rest = divmod(shown, _SECOND)
        if args[0]:
            task.memory().write(args[0], struct.pack("=qq", seconds, rest // _MICROSECOND))
        if args[1]:
            task.memory().write(args[1], bytes(8))
        return 0, 0

    def _read_time(self, task: Task, args: tuple[int, ...]) -> Answer:
        shown = self._time.on_clock(0, self._read(task))
        assert shown is not None
        if args[0]:
            task.memory().write(args[0], struct.pack("=q", shown // _SECOND))
        return shown // _SECOND, 0

    def _sysinfo(self, task: Task, args: tuple[int, ...]) -> Answer:
        """How long the machine is up; and, so that it is the same in each trial and on each
        machine, an idle one of 4 GiB, half of them free. Source: sysinfo(2)."""
        up = self._time.on_clock(_MONOTONIC, self._time.read(task.tid))
        assert up is not None
        loads, memory, swap, processes, unit = (0, 0, 0), (4 << 30, 2 << 30, 0, 0), (0, 0), 1, 1
        fields = up // _SECOND, *loads, *memory, *swap, processes, 0, 0, unit
        task.memory().write(args[0], struct.pack("=q3Q4Q2QH6x2QI4x", *fields))
        return 0, 0

    # One for each process

    def _alarm(self, task: Task, args: tuple[int, ...]) -> Answer:
        timer = self._itimer(task)
        left = self._left(timer)
        seconds = args[0] & 0xFFFFFFFF
        timer.due = self._time.now + seconds * _SECOND if seconds else None
        timer.interval = 0
        # Rounded, but a timer that is set never shows as none.
        return max(1, (left + _SECOND // 2) // _SECOND) if left else 0, 0

    def _setitimer(self, task: Task, args: tuple[int, ...]) -> Answer:
        if args[0] & 0xFFFFFFFF != _ITIMER_REAL:
            return None
        timer = self._itimer(task)
        before = self._packed(timer, _MICROSECOND)
        words = struct.unpack("=qqqq", task.memory().read(args[1], 32)) if args[1] else (0,) * 4
        if not all(0 <= part < 10**6 for part in words[1::2]) or min(words) < 0:
            return _EINVAL
        if args[2]:
            task.memory().write(args[2], before)
        self._set(timer, words, _MICROSECOND, absolute=False)
        return 0, 0

    def _getitimer(self, task: Task, args: tuple[int, ...]) -> Answer:
        if args[0] & 0xFFFFFFFF != _ITIMER_REAL:
            return None
        task.memory().write(args[1], self._packed(self._itimer(task), _MICROSECOND))
        return 0, 0

    def _itimer(self, task: Task) -> Timer:
        pid = task.tgid
        if pid not in self._of_process:
            self._of_process[pid] = Timer(lambda count: _ring_alarm(pid))
        return self._of_process[pid]

    # timer_create

    def _timer_create(self, task: Task, args: tuple[int, ...]) -> Answer:
        clock = args[0] & 0xFFFFFFFF
        if self._time.on_clock(clock, 0) is None:
            return None
        pid = task.tgid
        number = self._numbers.get(pid, 0)
        how, sent, value, thread = _SIGEV_SIGNAL, int(signal.SIGALRM), number, 0
        if args[1]:
            value, sent, how, named = struct.unpack("=Qiii", task.memory().read(args[1], 20))
            if how == _SIGEV_THREAD_ID:
                thread = _thread_named(pid, named)
        if how not in (_SIGEV_SIGNAL, _SIGEV_NONE, _SIGEV_THREAD_ID):
            return _EINVAL
        if how != _SIGEV_NONE and not 0 < sent < signal.NSIG:
            return _EINVAL

        def ring(count: int) -> None:
            if how != _SIGEV_NONE:
                process.queue_timer_signal(pid, thread, sent, number, count - 1, value)

        def is_pending() -> bool:
            return how != _SIGEV_NONE and bool(task.pending_signals() >> sent - 1 & 1)

        task.memory().write(args[2], struct.pack("=i", number))
        self._numbers[pid] = number + 1
        self._posix[pid, number] = Timer(ring, is_pending, clock=clock)
        return 0, 0

    def _known(self, task: Task, args: tuple[int, ...], use: Callable[[Timer], Answer]) -> Answer:
        timer = self._posix.get((task.tgid, args[0] & 0xFFFFFFFF))
        return _EINVAL if timer is None else use(timer)

    def _timer_settime(self, task: Task, args: tuple[int, ...]) -> Answer:
        return self._known(task, args, lambda timer: self._settime(task, timer, args))

    def _timer_gettime(self, task: Task, args: tuple[int, ...]) -> Answer:
        return self._known(task, args, lambda timer: self._gettime(task, timer, args))

    def _timer_delete(self, task: Task, args: tuple[int, ...]) -> Answer:
        def forget(timer: Timer) -> Answer:
            del self._posix[task.tgid, args[0] & 0xFFFFFFFF]
            return 0, 0

        return self._known(task, args, forget)

    def executed(self, task: Task) -> None:
        """A new program has none of the timers that were created. Source: execve(2)."""
        for pid, number in list(self._posix):
            if pid == task.tgid:
                del self._posix[pid, number]
        self._numbers.pop(task.tgid, None)

    def ended(self, task: Task) -> None:
        """A process has none of its timers any more."""
        self.executed(task)
        self._of_process.pop(task.tgid, None)

    # timerfd_create: an eventfd, whose counter is read in the same way

    def _timerfd_create(self, task: Task, args: tuple[int, ...]) -> Answer:
        clock, flags = args[0] & 0xFFFFFFFF, args[1] & 0xFFFFFFFF
        if self._time.on_clock(clock, 0) is None or flags & ~(_TFD_CLOEXEC | _TFD_NONBLOCK):
            return None
        fd = os.eventfd(0, os.EFD_CLOEXEC | (os.EFD_NONBLOCK if flags & _TFD_NONBLOCK else 0))
        ident = _eventfd_id(f"/proc/self/fdinfo/{fd}")

        def ring(count: int) -> None:
            os.eventfd_write(fd, count)

        self._files[ident] = fd, Timer(ring, clock=clock)
        self._give(task, fd, bool(flags & _TFD_CLOEXEC))
        return GIVEN

    def _file(self, task: Task, number: int) -> tuple[int, Timer] | None:
        return self._files.get(_eventfd_id(f"/proc/{task.tid}/fdinfo/{number & 0xFFFFFFFF}"))

    def _timerfd_settime(self, task: Task, args: tuple[int, ...]) -> Answer:
        found = self._file(task, args[0])
        if found is None:
            return None
        answer = self._settime(task, found[1], args)
        if answer == (0, 0):
            _drain(found[0])  # what had gone off and was not read is forgotten
        return answer

    def _timerfd_gettime(self, task: Task, args: tuple[int, ...]) -> Answer:
        found = self._file(task, args[0])
        return None if found is None else self._gettime(task, found[1], args)

    # What they have in common

    def _settime(self, task: Task, timer: Timer, args: tuple[int, ...]) -> Answer:
        words = struct.unpack("=qqqq", task.memory().read(args[2], 32))
        if not all(0 <= part < _SECOND for part in words[1::2]) or min(words) < 0:
            return _EINVAL
        if args[3]:
            task.memory().write(args[3], self._packed(timer, 1))
        self._set(timer, words, 1, absolute=bool(args[1] & _ABSTIME))
        return 0, 0

    def _gettime(self, task: Task, timer: Timer, args: tuple[int, ...]) -> Answer:
        task.memory().write(args[1], self._packed(timer, 1))
        return 0, 0

    def _set(self, timer: Timer, words: tuple[int, ...], unit: int, *, absolute: bool) -> None:
        interval, value = (words[at] * _SECOND + words[at + 1] * unit for at in (0, 2))
        timer.interval = interval
        if not value:
            timer.due = None
        elif absolute:
            timer.due = self._time.of_clock(timer.clock, value)
        else:
            timer.due = self._time.now + value

    def _left(self, timer: Timer) -> int:
        return 0 if timer.due is None else max(1, timer.due - self._time.now)

    def _packed(self, timer: Timer, unit: int) -> bytes:
        words: list[int] = []
        for value in (timer.interval, self._left(timer)):
            seconds, rest = divmod(value, _SECOND)
            words += [seconds, rest // unit]
        return struct.pack("=qqqq", *words)


#: The answer went with a descriptor.
GIVEN = (-1, 0)


def _thread_named(pid: int, number: int) -> int:
    """The thread of process *pid* that has *number* in its own namespace; 0 when there is none.
    Source: proc_pid_status(5)."""
    for tid in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{tid}/status") as file:
            for line in file:
                if line.startswith("NSpid:") and int(line.split()[-1]) == number:
                    return int(tid)
    return 0


def _ring_alarm(pid: int) -> None:
    process.kill(pid, signal.SIGALRM)


def _eventfd_id(fdinfo: str) -> int:
    """Source: proc_pid_fdinfo(5). -1 when it is none."""
    try:
        with open(fdinfo) as file:
            for line in file:
                if line.startswith("eventfd-id:"):
                    return int(line.split()[1])
    except OSError:
        pass
    return -1


def _drain(fd: int) -> None:
    if select.select([fd], [], [], 0)[0]:
        os.eventfd_read(fd)
