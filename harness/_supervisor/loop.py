"""When a parked task is released, and through which phases a trial goes: controlled, one task at a
time; or free.

start (until ready) -> work (until the clients, or the bare command, have ended) -> stop (a service
is told to) -> settle.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .answers import Answers
from .burst import serve_row
from .intake import CLONES, Intake
from .quiescence import anyone_runs, wait_until_quiescent
from .scheduler import Scheduler
from .state import Trial
from .stuck import may_wake_by_itself
from .tasks import Task

_IDLE_MS = 20.0
_LOOK_AGAIN_MS = 1.0
_BATCH = 50  # events in free mode between two looks at the clock


class Limits(NamedTuple):
    """Where a trial ends, whatever it does: nanoseconds by *clock*, and events of its trace."""

    deadline_ns: int
    step_limit: int
    clock: Callable[[], int]


class Phases:
    """The parts of a trial, one after another: `advance` moves on when a part is over."""

    def __init__(self, trial: Trial, stop: int) -> None:
        self.trial = trial
        self.service, *self.clients = trial.roots
        self._stop = stop
        self.phase = ""

    def begin(self) -> None:
        """Start the service, and the clients too when nothing says when it is ready."""
        self._enter("start")
        self.trial.start(0)
        if self.trial.is_ready:
            self._work()

    def _enter(self, phase: str) -> None:
        self.phase = phase
        self.trial.enter(phase)

    def _work(self) -> None:
        self._enter("work")
        for number in range(1, len(self.clients) + 1):
            self.trial.start(number)

    def advance(self) -> bool:
        """Go to the next phase if this one is over; whether it was."""
        ended = self.trial.statuses
        if self.phase == "start" and self.trial.is_ready:
            self._work()
        elif self.phase == "start" and self.service in ended:
            self.trial.end("exited", f"{self.service} ended before it was ready")
        elif self.phase == "work" and self.clients and all(name in ended for name in self.clients):
            self._enter("stop")
            if self.service not in ended:
                self.trial.signal(self.service, self._stop)
        elif self.service in ended and (
            self.phase == "stop" or (self.phase == "work" and not self.clients)
        ):
            self._enter("settle")
        else:
            return False
        return True


def run_controlled(
    trial: Trial,
    intake: Intake,
    answers: Answers,
    phases: Phases,
    scheduler: Scheduler,
    limits: Limits,
    *,
    outside_may_act: bool,
) -> None:
    """One task at a time: answer one, wait until nobody can run, choose the next.

    *outside_may_act*: a terminal, a pipe or a network beyond the trial may wake a task, so it is
    never called stuck.
    """
    end = limits.clock() + limits.deadline_ns
    phases.begin()
    looked_again = False
    while not trial.is_over():
        quiet = wait_until_quiescent(trial, intake, lambda: limits.clock() > end)
        trial.has_listened()
        if trial.is_over() or phases.advance():
            continue
        if not quiet or limits.clock() > end:
            trial.end("deadline")
        elif len(trial.trace) > limits.step_limit:
            trial.end("steps")
        elif candidates := _candidates(trial, answers):
            looked_again = False
            answers.release(scheduler.choose(candidates))
        elif not looked_again and (trial.alive() or phases.phase != "settle"):
            # The kernel finishes some work, as a delayed acknowledgement, a little later.
            looked_again = not intake.pump(_LOOK_AGAIN_MS)
        elif phases.phase == "settle":
            trial.end("exited")
        elif outside_may_act or may_wake_by_itself(trial):
            intake.pump(min(_IDLE_MS, max(0.0, (end - limits.clock()) / 1e6)))
        else:
            trial.end("stuck")


def _candidates(trial: Trial, answers: Answers) -> list[Task]:
    parked = trial.parked
    if len(parked) > 1:
        parked = sorted(parked, key=_birth)
    if any(task.waiting for task in parked):
        parked = [task for task in parked if not task.waiting or answers.is_transfer_ready(task)]
    return parked


def _birth(task: Task) -> int:
    assert task.role is not None
    return task.role.order


def run_free(
    trial: Trial, intake: Intake, answers: Answers, phases: Phases, limits: Limits
) -> None:
    """Everyone at once, in real time: a call is answered when it comes."""
    end = limits.clock() + limits.deadline_ns
    intake.at_once = answers.release
    phases.begin()
    while not trial.is_over():
        for _ in range(_BATCH):
            came = intake.pump(_LOOK_AGAIN_MS if trial.parked or trial.cloning else _IDLE_MS)
            if trial.parked:
                _release_all(trial, intake, answers)
            if not came or trial.ended:
                break
        else:
            serve_row(trial, intake)
        if phases.advance():
            continue
        if limits.clock() > end:
            trial.end("deadline")
        elif len(trial.trace) > limits.step_limit:
            trial.end("steps")
        elif not came and _all_asleep(trial, intake):
            trial.has_listened()
            if phases.phase == "settle":
                trial.end("exited")


def _release_all(trial: Trial, intake: Intake, answers: Answers) -> None:
    """Answer everyone who is parked, but let only one clone(2) at a time through: the next new task
    is then its child."""
    for task in list(trial.parked):
        if task.call is not None and task.call[3] in CLONES and not intake.find_child():
            continue
        answers.release(task)


def _all_asleep(trial: Trial, intake: Intake) -> bool:
    """Whether nobody is parked and nobody runs; those that are gone are forgotten on the way."""
    return not trial.parked and intake.find_child() and not anyone_runs(trial)
