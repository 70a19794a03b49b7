"""Clocks of processor time: counted in calls, not in work, so they show the same in each run.

A process has used a microsecond, as ordinary calls go, for each that it has made and each time that
it has asked, and no more memory than a small one. Source: getrusage(2), times(2), clock_getres(2).
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Collection

from .._kernel.seccomp import ARGS
from ..calls import NR
from ..trigger import process_of
from .tasks import Task
from .timers import Answer
from .virtual_time import STEP_NS, VirtualTime, ticks

_CHILDREN = -1  # RUSAGE_CHILDREN; RUSAGE_SELF is 0, RUSAGE_THREAD 1
_PROCESS, _THREAD = 2, 3  # CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID
_MONOTONIC = 1
_SECOND = 10**9
_MICROSECOND = 1000
_CLOCK_TICK = 10**7  # sysconf(_SC_CLK_TCK) is 100
_RESIDENT_KIB = 8192


class ProcessorTime:
    """That of the tasks of one trial. *others* answers for the clocks that are none of these;
    *tasks* are those that live. Each
    call takes *step_ns*."""

    def __init__(
        self,
        time: VirtualTime,
        others: Callable[[Task], Answer],
        tasks: Callable[[], Collection[Task]],
        step_ns: int = STEP_NS,
    ) -> None:
        self._step_ns = step_ns
        self._time = time
        self._others = others
        self._tasks = tasks
        self._asked: dict[int, int] = {}
        self._threads_ended: dict[int, int] = {}
        self._children_ended: dict[str, int] = {}

    def calls(self) -> Collection[int]:
        """The calls that `answer` is for."""
        return NR["clock_gettime"], NR["getrusage"], NR["times"]

    def answer(self, task: Task) -> Answer:
        """What the call of *task* returns; None when that is the kernel's to say."""
        assert task.call is not None
        nr, args = task.call[3], task.call[ARGS:]
        if nr == NR["clock_gettime"] and args[0] & 0xFFFFFFFF not in (_PROCESS, _THREAD):
            return self._others(task)
        self._asked[task.tid] = self._asked.get(task.tid, 0) + 1
        try:
            if nr == NR["clock_gettime"]:
                own = args[0] & 0xFFFFFFFF == _THREAD
                shown = self._of_thread(task) if own else self._of_process(task)
                task.memory().write(args[1], struct.pack("=qq", *divmod(shown, _SECOND)))
                return 0, 0
            return self._getrusage(task, args) if nr == NR["getrusage"] else self._times(task, args)
        except OSError:
            return 0, errno.EFAULT

    def ended(self, task: Task) -> None:
        """*task* is gone: what it has used is its process's, or its parent's."""
        if task.role is None:
            return
        if task.tid != task.tgid:
            used = self._threads_ended.get(task.tgid, 0) + self._of_thread(task)
            self._threads_ended[task.tgid] = used
        else:
            parent = process_of(task.name.rpartition("/")[0])
            used = self._of_process(task) + self._children_ended.pop(task.name, 0)
            self._children_ended[parent] = self._children_ended.get(parent, 0) + used
            self._threads_ended.pop(task.tgid, None)
        self._asked.pop(task.tid, None)

    def _of_thread(self, task: Task) -> int:
        calls = task.role.total if task.role is not None else 0
        return calls * self._step_ns + ticks(self._asked.get(task.tid, 0))

    def _of_process(self, task: Task) -> int:
        living = (one for one in self._tasks() if one.tgid == task.tgid)
        return sum(map(self._of_thread, living)) + self._threads_ended.get(task.tgid, 0)

    def _of_children(self, task: Task) -> int:
        return self._children_ended.get(process_of(task.name), 0)

    def _getrusage(self, task: Task, args: tuple[int, ...]) -> Answer:
        (who,) = struct.unpack("=i", struct.pack("=I", args[0] & 0xFFFFFFFF))
        if who not in (_CHILDREN, 0, 1):
            return 0, errno.EINVAL
        used = (self._of_process, self._of_thread, self._of_children)[who](task)
        seconds, rest = divmod(used, _SECOND)
        resident = _RESIDENT_KIB if used else 0
        fields = seconds, rest // _MICROSECOND, 0, 0, resident, *(0,) * 13
        task.memory().write(args[1], struct.pack("=18q", *fields))
        return 0, 0

    def _times(self, task: Task, args: tuple[int, ...]) -> Answer:
        own, children = self._of_process(task), self._of_children(task)
        if args[0]:
            fields = own // _CLOCK_TICK, 0, children // _CLOCK_TICK, 0
            task.memory().write(args[0], struct.pack("=4q", *fields))
        up = self._time.on_clock(_MONOTONIC, self._time.read(task.tid))
        assert up is not None
        return up // _CLOCK_TICK, 0
