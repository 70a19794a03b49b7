"""The time of a trial: it moves by a little with each step, and otherwise only when everybody waits
for it. Pure.

A task that reads the clock again and again before its next step sees it move too; by how much, that
depends on its own reads alone, so it is the same in each run.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from .._kernel.uapi import ERESTARTNOHAND

#: The deadline of a wait that has none.
NEVER = 1 << 63
#: How long a call takes.
STEP_NS = 1_000
_TICK_NS = 1_000
#: After so many reads in one step the program is taken to wait for the clock, and it runs faster.
_PATIENCE = 1_000
_FAST_TICK_NS = 1_000_000
#: How long the machine is said to have been up when a trial starts.
_UP_NS = 100_000 * 10**9
_REALTIME = frozenset({0, 5, 8, 11})  # CLOCK_REALTIME, _COARSE, _ALARM, TAI: <linux/time.h>
_MONOTONIC = frozenset({1, 4, 6, 7, 9})  # _MONOTONIC, _RAW, _COARSE, _BOOTTIME, _BOOTTIME_ALARM


class VirtualTime:
    """Nanoseconds since the trial began, which was at *start* and *fraction_ns*: `now`. Each step
    takes *step_ns*."""

    def __init__(self, start: str, fraction_ns: int = 0, step_ns: int = STEP_NS) -> None:
        began = datetime.fromisoformat(start.replace("Z", "+00:00"))
        self.now = 0
        self._epoch_ns = int(began.timestamp()) * 10**9 + fraction_ns
        self._up_ns = _UP_NS + fraction_ns
        self._reads: dict[int, int] = {}
        self._step_ns = step_ns

    def step(self) -> None:
        """One event has been answered."""
        if self._reads:
            self.now += max(map(ticks, self._reads.values()))
            self._reads.clear()
        self.now += self._step_ns

    def read(self, task: int) -> int:
        """`now` as *task* sees it, a tick after it last saw it."""
        reads = self._reads[task] = self._reads.get(task, 0) + 1
        return self.now + ticks(reads)

    def catch_up(self, task: int) -> None:
        """It is now what *task* saw when it last read the clock."""
        if reads := self._reads.pop(task, 0):
            self.now += ticks(reads)

    def jump(self, to: int) -> None:
        """Everybody waits: it is *to* now."""
        self.now = max(self.now, to)

    def on_clock(self, clock: int, now: int) -> int | None:
        """What the clock shows at *now*; None for one that is not modelled, as those of processor
        time."""
        if clock in _REALTIME:
            return self._epoch_ns + now
        return self._up_ns + now if clock in _MONOTONIC else None

    def of_clock(self, clock: int, shown: int) -> int | None:
        """When the clock shows *shown*."""
        zero = self.on_clock(clock, 0)
        return None if zero is None else shown - zero


def ticks(reads: int) -> int:
    """How far a clock goes that has been read so often, in nanoseconds."""
    slow = min(reads, _PATIENCE)
    return slow * _TICK_NS + (reads - slow) * _FAST_TICK_NS


class Wait:
    """A call with a limit in time that is under way: a sleep, a poll.

    *ready* asks whether it could go on. When its time is over *expire* writes what the call would,
    and *over* is (result, errno) of it.
    """

    __slots__ = (
        "_looked",
        "_was_ready",
        "blocked",
        "deadline",
        "expire",
        "interrupted",
        "over",
        "passing",
        "ready",
        "restart",
        "value",
    )

    def __init__(
        self,
        deadline: int,
        over: tuple[int, int],
        ready: Callable[[], bool] = lambda: False,
        *,
        expire: Callable[[], None] | None = None,
        passing: Callable[[int], None] | None = None,
        interrupted: Callable[[int], None] | None = None,
        value: tuple[int, int] | None = None,
        blocked: int | None = None,
        restart: int = ERESTARTNOHAND,
    ) -> None:
        self.deadline = deadline
        self.over = over
        self.ready = ready
        self.expire = expire
        #: What to write, given the time that is left, before the kernel carries the call out.
        self.passing = passing
        #: What to write when a signal ends it, given the time that is left; the answer then is
        #: -*restart*. None: the kernel carries the call out, and ends it by that signal.
        self.interrupted = interrupted
        self.restart = restart
        #: The answer when it is ready; None: the kernel carries the call out, and does not wait.
        self.value = value
        #: The signals that are blocked meanwhile; None: those that are blocked anyway.
        self.blocked = blocked
        self._looked, self._was_ready = -1, False

    def is_ready(self, moment: int) -> bool:
        """*ready*, asked once in a *moment*: while nobody runs the answer stays."""
        if self._looked != moment:
            self._looked, self._was_ready = moment, self.ready()
        return self._was_ready
