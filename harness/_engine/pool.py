"""Several runners at once: plans go in, answers come out as they come.

A thread drives each runner, since a trial is one question and one long wait; nothing else happens
in the threads. Each runner has a processor of its own, for as long as there are enough.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

from ..errors import HarnessError, RunnerError
from ..subject import TrialPlan
from .runner import Runner
from .trial import TrialResult

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

    def run(self, plans: Iterable[tuple[int, TrialPlan]]) -> Iterator[tuple[int, Answer]]:
        """Run the plans; each answer with the number of its plan, in the order in which they end.

        A plan is asked for only when a runner is about to be free for it."""
        under_way = 0
        for plan in plans:
            self._todo.put(plan)
            under_way += 1
            if under_way > len(self._threads):  # one waits, so that no runner has to
                yield self._next()
                under_way -= 1
        for _ in range(under_way):
            yield self._next()

    def _next(self) -> tuple[int, Answer]:
        number, answer = self._done.get()
        if isinstance(answer, TrialResult | HarnessError):
            return number, answer
        raise answer

    def _work(self, index: int, cpu: int) -> None:
        while (item := self._todo.get()) is not None and not self._closing:
            number, plan = item
            answer: Answer | BaseException
            try:
                answer = self._runner(index).run(replace(plan, cpu=cpu))
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
