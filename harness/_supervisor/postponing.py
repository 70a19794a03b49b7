"""Putting a call off, and coming back to it: the faults `delay`, `pause` and `hold(until=...)`."""

from __future__ import annotations

import signal
from collections.abc import Callable

from .._kernel import process
from .._kernel.uapi import ERESTARTNOINTR
from ..duration import duration_text
from ..fault import DelayFault, HoldFault, PauseFault
from ..trace import path_arg
from .core import Armed
from .postponed import Interrupted, PutOff, memo_of
from .state import Trial
from .tasks import PARKED, Task


class Postponing:
    """The calls of one trial that are put off. *answer* answers the call of a task: `(task, value,
    errno)`."""

    def __init__(self, trial: Trial, answer: Callable[[Task, int, int], None]) -> None:
        self._trial = trial
        self._answer = answer

    def begin(self, task: Task, record: Callable[[str], None]) -> bool:
        """Put the call of *task* off, if a fault asks for it now; *record* writes an action of it
        into the trace."""
        while later := self._trial.core.putting_off(task.due):
            task.due = [watch for watch in task.due if watch is not later]
            if self._begin(task, later, record):
                return True
        return False

    def _begin(self, task: Task, later: Armed, record: Callable[[str], None]) -> bool:
        trial, fault = self._trial, later.at.fault
        if isinstance(fault, HoldFault):
            assert fault.until is not None
            so_far = trial.core.met[later.index]
            if so_far and fault.until.last:
                trial.mark("note", path_arg(f"{later.at}: {fault.until} had been met before"))
                return False
            trial.core.fire(later)
            record("hold")
            self._keep(task, PutOff(f"it {fault.describe()}", index=later.index, met=so_far))
            return True
        assert isinstance(fault, DelayFault | PauseFault)
        if trial.time is not None:
            trial.time.catch_up(task.tid)
        until = trial.now() + fault.time_ns
        trial.core.fire(later)
        record(f"{fault.kind}:{duration_text(fault.time_ns)}")
        if isinstance(fault, DelayFault):
            self._keep(task, PutOff(f"it {fault.describe()}", until=until))
        else:
            self._pause(task, until)
        return True

    def _keep(self, task: Task, put_off: PutOff) -> None:
        task.put_off = put_off
        task.signalled = put_off.minds_signals and task.is_interrupted()
        assert task.role is not None
        task.role.total += 1  # its end is a turn of its own
        task.total = task.role.total
        self._trial.park(task)

    def _pause(self, task: Task, until: int) -> None:
        """Stop the process. Its threads that wait for us stop only when they are answered, and
        those that wait for something are when a signal of their own is there."""
        self._trial.disturbed = True
        self._trial.paused[task] = until
        for other in self._trial.tasks.values():
            if other.tgid == task.tgid and (other is task or other.state == PARKED):
                try:
                    # To the one thread: whoever else took it, this one would see errno 513.
                    process.signal_task(other.tgid, other.tid, signal.SIGSTOP)
                except ProcessLookupError:
                    pass  # it died
        self._leave(task, None)

    def is_over(self, task: Task, put_off: PutOff) -> bool:
        """Whether a call that was put off is made now; else it goes on being put off."""
        is_over = put_off.is_over(self._trial.now(), self._trial.core)
        signalled, task.signalled = task.signalled, False
        if is_over:
            task.put_off = None
        elif signalled and task.is_interrupted():  # or another thread has taken it
            self._trial.tell(task.name, "wake", task.call_name, "interrupted")
            self._leave(task, put_off)
        else:
            self._trial.park(task)
        return is_over

    def _leave(self, task: Task, put_off: PutOff | None) -> None:
        """Let the caller act on a signal that is there, and then make the call again."""
        assert task.call is not None
        task.put_off = None
        task.again = Interrupted(memo_of(task.call), task.nth, task.due, put_off)
        self._answer(task, 0, ERESTARTNOINTR)

    def give_up(self, task: Task) -> None:
        """No fault any more: its call need not be put off."""
        task.put_off = None
        if task.again is not None:
            task.again.put_off = None
