"""When a parked task is released: controlled, one task at a time; or free."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .answers import Answers
from .burst import serve_row
from .intake import CLONES, Intake
from .phases import Phases
from .quiescence import anyone_runs, wait_until_quiescent
from .scheduler import Scheduler
from .state import Trial
from .stuck import may_wake_by_itself, sleeps_with_a_limit
from .tasks import FREE, Task
from .watching import Watch

_IDLE_MS = 20.0
_LOOK_AGAIN_MS = 1.0
_QUIET_NS = 10**9
_BATCH = 50  # events in free mode between two looks at the clock


class Limits(NamedTuple):
    """Where a trial ends, whatever it does: nanoseconds by *clock*, and events of its trace."""

    deadline_ns: int
    step_limit: int
    clock: Callable[[], int]


def run_controlled(
    trial: Trial,
    intake: Intake,
    answers: Answers,
    phases: Phases,
    scheduler: Scheduler,
    limits: Limits,
    *,
    outside_may_act: bool,
    watch: Watch | None = None,
) -> None:
    """One task at a time: answer one, wait until nobody can run, choose the next.

    *outside_may_act*: a terminal, a pipe or a network beyond the trial may wake a task, so it is
    never called stuck. *watch* is shown each moment at which nobody can run.
    """
    end = limits.clock() + limits.deadline_ns
    phases.begin()
    looked_again = False
    still = False  # quiescent, and nobody was let go since
    while not trial.is_over():
        quiet = still or wait_until_quiescent(trial, intake, lambda: limits.clock() > end)
        still = False
        trial.has_listened()
        if watch is not None and quiet:
            watch.look()
        if trial.is_over() or phases.advance():
            continue
        if not quiet or limits.clock() > end:
            trial.end("deadline")
        elif len(trial.trace) - trial.steps_before > limits.step_limit:
            trial.end("steps")
        elif candidates := _candidates(trial, answers):
            looked_again = False
            task = scheduler.choose(candidates)
            if watch is not None:
                watch.released(task)
            answers.release(task)
            is_kept = task.wait is not None or task.put_off is not None
            still = is_kept and not trial.disturbed
            if trial.time is not None:
                trial.time.step()
                trial.ring()
        elif not looked_again and _kernel_may_act(trial, phases):
            # The kernel finishes some work, as a delayed acknowledgement, a little later.
            looked_again = not intake.pump(_LOOK_AGAIN_MS)
        elif trial.pass_time():
            looked_again = False
            still = not trial.disturbed
        elif phases.phase == "settle" and not trial.spinning:
            trial.end("exited")
        elif trial.spinning or outside_may_act or may_wake_by_itself(trial):
            intake.pump(min(_IDLE_MS, max(0.0, (end - limits.clock()) / 1e6)))
        elif not phases.give_up():
            trial.end("stuck")
            if watch is not None:
                watch.stuck()


def _candidates(trial: Trial, answers: Answers) -> list[Task]:
    parked = trial.parked
    if len(parked) > 1:
        parked = sorted(parked, key=_birth)
    if any(task.waiting or task.wait or task.put_off for task in parked):
        parked = [task for task in parked if answers.can_go_on(task)]
    return parked


def _kernel_may_act(trial: Trial, phases: Phases) -> bool:
    """Whether somebody sleeps in the kernel, who may be woken by what it does later."""
    if any(task.state == FREE for task in trial.alive()):
        return True
    return phases.phase != "settle" and not trial.parked


def _birth(task: Task) -> int:
    assert task.role is not None
    return task.role.order


def run_free(
    trial: Trial, intake: Intake, answers: Answers, phases: Phases, limits: Limits
) -> None:
    """Everyone at once, in real time: a call is answered when it comes.

    What is held is let go for phase recover when nobody has done anything for a second and nobody
    sleeps with a limit in time; or else when half of the time is over, lest it be the trial's end.
    """
    began = asleep_since = limits.clock()
    end = began + limits.deadline_ns
    trial.real_time = limits.clock
    intake.at_once = answers.release
    phases.begin()
    while not trial.is_over():
        for _ in range(_BATCH):
            someone_waits = trial.parked or trial.cloning or trial.paused
            came = intake.pump(_LOOK_AGAIN_MS if someone_waits else _IDLE_MS)
            if trial.paused:
                trial.continue_paused()
            if trial.parked:
                _release_all(trial, intake, answers)
            if not came or trial.ended:
                break
        else:
            serve_row(trial, intake)
        if phases.advance():
            continue
        now = limits.clock()
        is_asleep = not came and _all_asleep(trial, intake)
        if is_asleep:
            trial.has_listened()
        else:
            asleep_since = now
        if now > end:
            trial.end("deadline")
        elif len(trial.trace) > limits.step_limit:
            trial.end("steps")
        elif is_asleep and phases.phase == "settle":
            trial.end("exited")
        elif now - began > limits.deadline_ns // 2 or _is_quiet(trial, now - asleep_since):
            phases.give_up()


def _release_all(trial: Trial, intake: Intake, answers: Answers) -> None:
    """Answer everyone who is parked, but let only one clone(2) at a time through: the next new task
    is then its child."""
    for task in list(trial.parked):
        if task.put_off is not None and not _is_over(trial, task):
            continue
        if task.call is not None and task.call[3] in CLONES and not intake.find_child():
            continue
        answers.release(task)


def _is_over(trial: Trial, task: Task) -> bool:
    """Whether a call need not be put off any more: who has been killed meanwhile is forgotten, and
    a signal is looked for, which nothing tells us of."""
    assert task.put_off is not None
    if task.kernel_state() in "ZX":
        trial.forget(task)
        return False
    task.signalled = task.put_off.minds_signals and task.is_interrupted()
    return task.signalled or task.put_off.is_over(trial.now(), trial.core)


def _all_asleep(trial: Trial, intake: Intake) -> bool:
    """Whether nobody is parked and nobody runs; those that are gone are forgotten on the way."""
    waits = any(map(_may_be_answered, trial.parked)) or trial.paused
    return not waits and intake.find_child() and not anyone_runs(trial)


def _may_be_answered(task: Task) -> bool:
    return task.put_off is None or task.put_off.until is not None


def _is_quiet(trial: Trial, asleep_ns: int) -> bool:
    return asleep_ns > _QUIET_NS and not any(map(_may_wake, trial.alive()))


def _may_wake(task: Task) -> bool:
    return task.state == FREE and sleeps_with_a_limit(task)
