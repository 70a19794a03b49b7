"""Free mode's short cut: calls at which nothing is to be done are counted, traced and let pass in
one small loop.

It looks at nothing but the listener, and sleeps in its receive, which saves the poll(2) before each
call; a timer's tick ends it, so that outputs, init and the clock have their turn.
"""

from __future__ import annotations

import signal

from .._kernel.uapi import AUDIT_ARCH_X86_64
from .answers import SPECIAL
from .decode import POINTED
from .intake import ENDS, Intake
from .state import Trial

_TICK_S = 0.005
#: Calls that mean more than a call, or whose paths must be read while the caller waits.
_NOT_PLAIN = SPECIAL | ENDS | frozenset(POINTED)


def serve_row(trial: Trial, intake: Intake) -> None:
    """Answer calls as long as they come one after another, for one tick at the most.

    The tick interrupts the receive: ioctl(2) is not among the calls that Python repeats by itself
    (PEP 475). Uses SIGALRM and the process's real-time timer; both are put back.
    """
    row = _Row(trial, intake)
    previous = signal.signal(signal.SIGALRM, row.tick)
    # Repeated: one may come just before a receive. What was set before is somebody's watchdog.
    watchdog_s, _ = signal.setitimer(signal.ITIMER_REAL, _TICK_S, _TICK_S)
    try:
        row.serve()
    except OSError:
        pass  # EINTR: the tick; ENOENT: the caller died, or all have; the loop around finds out
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        signal.setitimer(signal.ITIMER_REAL, watchdog_s)


class _Row:
    def __init__(self, trial: Trial, intake: Intake) -> None:
        self._trial = trial
        self._intake = intake
        self._over = False

    def tick(self, _number: int, _frame: object) -> None:
        self._over = True

    def serve(self) -> None:
        trial = self._trial
        receive, proceed = trial.world.listener.receive, trial.world.listener.proceed
        tasks, count, write = trial.tasks, trial.core.count, trial.trace.append
        release = self._intake.at_once
        assert release is not None
        while not self._over:
            notif = receive()
            nr = notif[3]
            task = tasks.get(notif[1])
            if (
                task is None
                or (role := task.role) is None
                or not task.begun
                or task.after
                or task.again is not None
                or nr in _NOT_PLAIN
                or notif[4] != AUDIT_ARCH_X86_64
            ):
                self._intake.take(notif)
                if trial.ended:
                    return
                continue
            due = count(role, nr)
            task.call = notif
            nth = task.nth = role.counts[nr]
            if not due:
                write((role.name, nth, "-", notif, ()))
                proceed(notif[0])
            else:
                task.due = due
                release(task)
