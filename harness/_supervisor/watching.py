"""Looks whether the invariants hold, at the moments when everybody stands still.

What a process has open can only have changed when it has come to another call, and the number of
its zombies when somebody has ended: nothing else is looked at. How long a call waits counts from
when it is let go, and can only be too long when time has passed. In phase settle nobody looks: what
is left there is judged by that."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from .._kernel.seccomp import Notification
from ..invariant import Broken, Invariant
from ..trigger import process_of, role_matches
from .state import Trial
from .tasks import FREE, HELD, PARKED, Task

#: The trial's time goes on a little with each step: so much more is not taken for longer.
_TOLERANCE_NS = 10**6


class Watch:
    """The invariants of one trial, and those that were broken: the first time for each role."""

    def __init__(self, trial: Trial, invariants: Sequence[Invariant]) -> None:
        self.broken: list[Broken] = []
        self._trial = trial
        self._of = {
            kind: [one for one in invariants if one.kind == kind]
            for kind in ("descriptors", "zombies", "waits")
        }
        self._said: set[tuple[Invariant, str]] = set()
        self._seen: dict[Task, Notification | None] = {}  # at which call it was looked at
        self._began: dict[Task, tuple[Notification | None, int]] = {}
        self._looked_ns = 0
        self._gone = 0

    def released(self, task: Task) -> None:
        """*task* has been answered, or its wait begins."""
        if self._of["waits"] and self._call_began(task) is None:
            self._began[task] = task.call, self._trial.now()

    def look(self) -> None:
        """Everybody stands still."""
        trial = self._trial
        if trial.core.phase == "settle":
            return
        if self._of["descriptors"]:
            for task in trial.parked:
                if self._seen.get(task) is not task.call:
                    self._seen[task] = task.call
                    self._count("descriptors", task, _descriptors)
        if self._of["zombies"] and self._gone != (gone := len(trial.known) - len(trial.tasks)):
            self._gone = gone
            for task in trial.alive():
                if task.tid == task.tgid:
                    self._count("zombies", task, _zombies)
        if self._of["waits"] and trial.now() - self._looked_ns > _TOLERANCE_NS:
            self._look_at_waits()
            self._looked_ns = trial.now()

    def stuck(self) -> None:
        """Nobody can ever go on."""
        if self._of["waits"] and self._trial.core.phase != "settle":
            self._look_at_waits(for_ever=True)

    def _count(self, kind: str, task: Task, count: Callable[[Task], int]) -> None:
        role = process_of(task.name)
        mine = [one for one in self._of[kind] if role_matches(one.role, role)]
        number = count(task) if mine else 0
        for one in mine:
            if number > one.at_most:
                self._break(one, role, f"{number} {kind if number > 1 else kind[:-1]}")

    def _look_at_waits(self, *, for_ever: bool = False) -> None:
        trial = self._trial
        for one in self._of["waits"]:
            for task in trial.alive():
                began = self._call_began(task)
                if began is None or not role_matches(one.role, task.name):
                    continue
                waited = trial.now() - began
                if (for_ever or waited > one.at_most + _TOLERANCE_NS) and _waits(task):
                    how_long = "for ever" if for_ever else f"for {waited / 1e9:.3f} s"
                    self._break(one, task.name, f"{task.call_name}#{task.nth} waits {how_long}")

    def _call_began(self, task: Task) -> int | None:
        """When the call was let go that *task* is in; None when it has not been."""
        call, began = self._began.get(task, (None, 0))
        return began if call is not None and call is task.call else None

    def _break(self, invariant: Invariant, role: str, found: str) -> None:
        if (invariant, role) not in self._said:
            self._said.add((invariant, role))
            event = len(self._trial.trace)
            self.broken.append(Broken(invariant=invariant, role=role, event=event, found=found))


def _waits(task: Task) -> bool:
    """Whether it is in its call: parked while it waits, held, or asleep in the kernel."""
    if task.state == PARKED:
        return bool(task.wait or task.put_off or task.waiting)
    return task.state == HELD or (task.state == FREE and task.kernel_state() in "SD")


def _descriptors(task: Task) -> int:
    """How many its process has open. Source: proc_pid_fd(5)."""
    try:
        return len(os.listdir(f"/proc/{task.tgid}/fd"))
    except OSError:
        return 0  # it is gone


def _zombies(task: Task) -> int:
    """How many children of its process have ended, and nobody has waited for them. Source:
    proc_tid_children(5)."""
    count = 0
    try:
        for thread in os.listdir(f"/proc/{task.tgid}/task"):
            with open(f"/proc/{task.tgid}/task/{thread}/children") as file:
                count += sum(_is_zombie(int(child)) for child in file.read().split())
    except OSError:
        pass  # it is gone
    return count


def _is_zombie(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b") ")[2].startswith(b"Z")
    except OSError:
        return False
