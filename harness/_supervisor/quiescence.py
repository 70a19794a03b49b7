"""Knowing that no task of a trial can run until we answer one.

The supervisor and the trial share one processor. While the supervisor has run without being
switched out, no task of the trial has run: so what it read from /proc in that time is a snapshot.
Whether it was switched out, the kernel counts (ru_nvcsw and ru_nivcsw of getrusage(2)). Real-time
priority, where it is allowed, only makes the wait shorter: the proof is the same for every user.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable

from .._kernel import process
from .intake import Intake
from .spinning import let_others_go_on
from .state import Trial
from .tasks import FREE, PARKED, Task

_YIELDS = 3  # before we sleep instead: a computation takes longer than a call
_SLEEP_MS = 1
_PRIORITY = 1


def share_one_processor(init: int, cpu: int | None) -> bool:
    """Pin ourselves and *init*, which has not forked yet, to one processor: *cpu*, or any that we
    are allowed; whether we run in real time there.

    Where we may, both also run in real time: then busy neighbours cannot slow a step down. At one
    priority, so that sched_yield(2) lets the whole trial go first, and a task that computes for
    ever still leaves us our turns. (Above us it would take the processor for good, and not even
    SIGKILL could end us.)
    """
    allowed = sorted(os.sched_getaffinity(0))
    chosen = cpu if cpu is not None and cpu in allowed else allowed[os.getpid() % len(allowed)]
    process.pin(0, chosen)
    process.pin(init, chosen)
    try:
        process.schedule_in_real_time(init, _PRIORITY)
        process.schedule_in_real_time(0, _PRIORITY)
    except PermissionError:
        return False  # an ordinary user: slower beside busy neighbours, as exact
    return True


def wait_until_quiescent(trial: Trial, intake: Intake, expired: Callable[[], bool]) -> bool:
    """Take in what comes until every task is parked, asleep or gone; False when *expired* says so
    before that."""
    tries = 0
    if trial.spinning:
        intake.pump(_SLEEP_MS)  # it may run now
    while not trial.is_over():
        before = _switches()
        os.sched_yield()  # whoever was answered runs now; what it does next can then be taken in
        # In real time nobody could have run who was not let run by that: who sleeps is off the
        # processor's queue, and need not be asked.
        alone = trial.in_real_time and _switches() == before
        if not alone:
            before = _switches()
        if intake.pump(0):
            tries = 0
            continue
        # In this order: a child found runs.
        if trial.execs.serve() or not intake.find_child() or anyone_runs(trial, off_queue=alone):
            tries += 1
            if tries <= _YIELDS:
                continue
            if expired():
                return False
            let_others_go_on(trial)
            intake.pump(_SLEEP_MS)
        elif _switches() == before:
            if trial.disturbed:
                _note_signals(trial)
            trial.disturbed = False
            trial.moment += 1
            return True
    return False


def anyone_runs(trial: Trial, *, off_queue: bool = False) -> bool:
    """Whether a task may run; those that are gone are forgotten on the way. *off_queue*: it is
    known that nobody stands in the processor's queue.

    A parked task sleeps for us (in D, as only a fatal signal wakes it) and need not be looked at,
    unless something may have killed it. A vfork parent is in D until its child lets it go. Any
    other D is disk or locks, and ends by itself. Who is in S sleeps only when it is off the
    processor's queue too. Who spins is not waited for.
    """
    running = False
    for task in list(trial.tasks.values()):
        if task.state == FREE or trial.disturbed:
            state = task.kernel_state()
            if state in "ZX" and task.role is not None:
                trial.forget(task)
            elif task in trial.spinning:
                continue
            elif (
                state == "R"
                or (
                    task.state == FREE
                    and (
                        not off_queue and task.is_still_awake()
                        if state == "S"
                        else state == "D" and not task.vforking
                    )
                )
                or (task.state == PARKED and not _is_waiting_for_us(trial, task))
            ):
                running = True
    return running


def _is_waiting_for_us(trial: Trial, task: Task) -> bool:
    """Whether a parked task still does: one that has been killed, and sleeps in D for a lock while
    it ends its process, is about to go."""
    return task.call is None or trial.world.listener.is_alive(task.call[0])


def _note_signals(trial: Trial) -> None:
    """Signals have been sent, or a child has ended: some of those who wait may not any more."""
    for task in trial.parked:
        if task.signalled:
            continue
        if task.put_off is not None:
            task.signalled = task.put_off.minds_signals and task.is_interrupted()
        elif task.wait is not None:
            task.signalled = task.is_interrupted(task.wait.blocked)


def _switches() -> int:
    usage = resource.getrusage(resource.RUSAGE_THREAD)
    return usage.ru_nvcsw + usage.ru_nivcsw
