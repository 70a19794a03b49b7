"""Tasks that wait by computing: they look again and again at memory that another task is to change.

No call shows that, so who computes for long and shares memory is taken to do it, and is let compute
beside the others from then on, until its next call. How far the others have come by then is chance.
Who shares none can only be busy, and is waited for: what it computes is the same in each run.
"""

from __future__ import annotations

import contextlib

from .._kernel import process
from .state import Trial
from .tasks import FREE, Task

_LONG_S = 0.3  # of processor time, without a call
_VERY_LONG_S = 1.0
_PRIORITY = 1
_REASON = "computes for long, and others that share its memory go on meanwhile"


def let_others_go_on(trial: Trial) -> None:
    """Look at who runs, and no longer wait for those that may wait for others."""
    for task in trial.alive():
        if task.state != FREE or task in trial.spinning or task.kernel_state() != "R":
            continue
        used_s = task.processor_time_s()
        call, before_s = task.computing or (None, 0.0)
        if task.computing is None or call is not task.call:
            task.computing = task.call, used_s
        elif used_s - before_s >= _VERY_LONG_S:
            _leave_real_time(trial)
        elif used_s - before_s >= _LONG_S and _shares_memory(trial, task):
            trial.spinning.add(task)
            trial.weaken(task.name, _REASON)
            if trial.in_real_time:  # it gets what the others leave
                with contextlib.suppress(ProcessLookupError):
                    process.schedule_ordinarily(task.tid)


def stops_spinning(trial: Trial, task: Task) -> None:
    """It has made a call: from now on it takes its turn as the others do."""
    trial.spinning.discard(task)
    trial.turn = None  # that it ran beside others has been said
    if trial.in_real_time:
        with contextlib.suppress(ProcessLookupError):
            process.schedule_in_real_time(task.tid, _PRIORITY)


def _leave_real_time(trial: Trial) -> None:
    """Who computes for ever, until the deadline, would starve all that is ordinary on its
    processor, and let each step of another trial there wait a tenth of a second for its turn."""
    if not trial.in_real_time:
        return
    trial.in_real_time = False
    for task in trial.tasks.values():
        with contextlib.suppress(ProcessLookupError):
            process.schedule_ordinarily(task.tid)


def _shares_memory(trial: Trial, task: Task) -> bool:
    if trial.weaknesses.shares_memory(task):
        return True
    return any(one.tgid == task.tgid and one is not task for one in trial.alive())
