"""Several runners at once: plans go in, answers come out as they come.

A thread drives each runner, since a trial is one question and one long wait; nothing else happens
in the threads. Each runner has a processor of its own, for as long as there are enough.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

from ..errors import HarnessError, RunnerError
from ..subject import TrialPlan
from .runner import Runner
from .trial import TrialResult

_AGAIN_S = 0.1  # a trial that has just begun is given up too

#: What became of a trial: what it gave, or why it could not be held.
Answer = TrialResult | HarnessError


class Pool:
    """*jobs* runners, started at once and ended by `close`. Use it with `with`. Each gets the next
    one of *cpus*, of all that we may use unless given. Raises `MachineError` when they cannot be
    started."""

    def __init__(self, jobs: int, cpus: Sequence[int] = ()) -> None:
        self._todo: queue.SimpleQueue[tuple[int, TrialPlan] | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[int, Answer | BaseException]] = queue.SimpleQueue()
        # One at a time: a runner that is started inherits what another one must have alone.
        self._starting = threading.Lock()
        self._closing = False
        cpus = cpus or sorted(os.sched_getaffinity(0))
        self._runners = list[Runner | None]()
        self._threads = list[threading.Thread]()
        self._busy, self._given_up = set[Runner](), set[Runner]()
        try:
            for number in range(jobs):
                self._runners.append(Runner())
                thread = threading.Thread(
                    target=self._work, args=(number, cpus[number % len(cpus)]), daemon=True
                )
                thread.start()
                self._threads.append(thread)
        except BaseException:
            self.close()
            raise

    def run(
        self,
        plans: Iterable[tuple[int, TrialPlan]],
        until: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> Iterator[tuple[int, Answer]]:
        """Run the plans; each answer with the number of its plan, in the order in which they end.

        A plan is asked for only when a runner is about to be free for it. What still runs when it
        is *until* by *clock*, in seconds, is given up: its answer is a `RunnerError`."""
        under_way = 0
        for plan in plans:
            self._todo.put(plan)
            under_way += 1
            if under_way > len(self._threads):  # one waits, so that no runner has to
                yield self._next(until, clock)
                under_way -= 1
        for _ in range(under_way):
            yield self._next(until, clock)

    def _next(self, until: float | None, clock: Callable[[], float]) -> tuple[int, Answer]:
        left = None if until is None else max(0.0, until - clock())
        while True:
            try:
                number, answer = self._done.get(timeout=left)
                break
            except queue.Empty:
                self._give_up()
                left = _AGAIN_S
        if isinstance(answer, TrialResult | HarnessError):
            return number, answer
        raise answer

    def _give_up(self) -> None:
        """The time is over: what has not begun never does, and what runs ends."""
        with contextlib.suppress(queue.Empty):
            while (item := self._todo.get_nowait()) is not None:
                self._done.put((item[0], RunnerError("the time was over before it began")))
        for runner in self._busy.copy():
            self._given_up.add(runner)
            runner.give_up()

    def _work(self, index: int, cpu: int) -> None:
        while (item := self._todo.get()) is not None and not self._closing:
            number, plan = item
            answer: Answer | BaseException
            try:
                if self._runners[index] in self._given_up:  # it had ended its trial by itself
                    self._end(index)
                runner = self._runner(index)
                self._busy.add(runner)
                try:
                    answer = runner.run(replace(plan, cpu=cpu))
                finally:
                    self._busy.discard(runner)
            except RunnerError as error:
                self._end(index)  # the next trial gets another
                answer = error
            except BaseException as error:
                answer = error
            self._done.put((number, answer))

    def _runner(self, index: int) -> Runner:
        runner = self._runners[index]
        if runner is None:
            with self._starting:
                runner = self._runners[index] = Runner()
        return runner

    def _end(self, index: int) -> None:
        runner, self._runners[index] = self._runners[index], None
        if runner is not None:
            self._given_up.discard(runner)
            runner.close()

    def close(self) -> None:
        """Give up what runs and end the runners; return when all of them are gone."""
        self._closing = True
        for runner in self._runners:
            if runner is not None:
                runner.give_up()
        for _ in self._threads:
            self._todo.put(None)
        for thread in self._threads:
            thread.join()
        for index in range(len(self._runners)):
            self._end(index)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
