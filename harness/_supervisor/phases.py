"""Through which phases a trial goes, and when.

start (until ready) -> work (until the clients, or the bare command, have ended) -> recover (where
asked for: no faults any more, a service that has died is started again, and one fresh client is
served) -> stop (the service is told to) -> settle.
"""

from __future__ import annotations

from ..schedule import FRESH, RESTARTED
from .answers import Answers
from .state import Trial
from .tasks import HELD, Task


class Phases:
    """The parts of a trial, one after another: `advance` moves on when a part is over.

    *stop* is the number of the signal that tells the service to end.
    """

    def __init__(self, trial: Trial, answers: Answers, stop: int) -> None:
        self.trial = trial
        self.phase = ""
        self._answers = answers
        self._stop = stop
        self._service, *clients = trial.roots
        self._recovers = FRESH in clients
        self._clients = [name for name in clients if name not in (FRESH, RESTARTED)]

    def begin(self) -> None:
        """Start the service, and the clients too when nothing says when it is ready."""
        self._enter("start")
        self.trial.start(self._service)
        if self.trial.is_ready:
            self._work()

    def advance(self) -> bool:
        """Go to the next phase if this one is over; whether something new was begun."""
        over = {
            "start": self._after_start,
            "work": self._after_work,
            "recover": self._after_recovery,
            "stop": self._after_stop,
        }.get(self.phase)
        return over is not None and over()

    def give_up(self) -> bool:
        """Nobody can go on. Where that is our own doing, what is held is let go; whether it is."""
        is_ours = (
            self.phase in ("start", "work")
            and self._recovers
            and any(map(_is_held, self.trial.tasks.values()))
        )
        if is_ours:
            self._recover()
        return is_ours

    def _enter(self, phase: str) -> None:
        self.phase = phase
        self.trial.enter(phase)

    def _has_ended(self, role: str) -> bool:
        return role in self.trial.statuses

    def _after_start(self) -> bool:
        if self.trial.is_ready:
            self._work()
        elif not self._has_ended(self._service):
            return False
        elif self._recovers:
            self._recover()
        else:
            self.trial.end("exited", f"{self._service} ended before it was ready")
        return True

    def _work(self) -> None:
        self._enter("work")
        for name in self._clients:
            self.trial.start(name)

    def _after_work(self) -> bool:
        if not self._clients:
            return self._has_ended(self._service) and self._settle()
        if not all(map(self._has_ended, self._clients)):
            return False
        if self._recovers:
            self._recover()
        else:
            self._tell_to_stop(self._service)
        return True

    def _recover(self) -> None:
        self._enter("recover")
        self.trial.continue_paused(all_of_them=True)
        for task in list(self.trial.tasks.values()):
            self._answers.relieve(task)
        if self._has_ended(self._service):
            self.trial.is_ready = self.trial.ready is None
            self._service = RESTARTED
            self.trial.start(RESTARTED)
            if self.trial.is_ready:
                self.trial.start(FRESH)
        elif self.trial.is_ready:
            self.trial.start(FRESH)
        # else it was held before it was ready: it goes on now

    def _after_recovery(self) -> bool:
        if FRESH in self.trial.started:
            waiting = [FRESH, *(name for name in self._clients if name in self.trial.started)]
            if not all(map(self._has_ended, waiting)):
                return False
            self._tell_to_stop(self._service)
        elif self.trial.is_ready:
            self.trial.start(FRESH)
        elif self._has_ended(self._service):
            self.trial.end("exited", f"{self._service} ended before it was ready")
        else:
            return False
        return True

    def _tell_to_stop(self, service: str) -> None:
        self._enter("stop")
        if not self._has_ended(service):
            self.trial.signal(service, self._stop)

    def _after_stop(self) -> bool:
        return self._has_ended(self._service) and self._settle()

    def _settle(self) -> bool:
        self._enter("settle")
        return True


def _is_held(task: Task) -> bool:
    return task.state == HELD or (task.put_off is not None and task.put_off.until is None)
