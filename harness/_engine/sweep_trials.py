"""Running the cases of a sweep, in rounds: what a round has is decided by those before it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from ..errors import RunnerError
from ..subject import TrialPlan
from .pool import Answer, Pool
from .sweep_cases import in_turn
from .sweep_tally import Tally
from .trial import TrialResult


class Trials:
    """Runs cases of *tally* by their numbers, each as *plan* with its faults, in *pool*.

    It ends when it is *until* by *clock*, and what runs then is given up; with *exitfirst* also at
    the first finding. *ended* is called after each trial."""

    def __init__(
        self,
        plan: TrialPlan,
        pool: Pool,
        tally: Tally,
        *,
        until: float | None,
        exitfirst: bool,
        clock: Callable[[], float],
        ended: Callable[[], None],
    ) -> None:
        self.tally = tally
        self._plan, self._pool, self._clock = plan, pool, clock
        self._until, self._exitfirst, self._ended = until, exitfirst, ended

    def run(self, these: Iterable[int]) -> Iterator[tuple[int, TrialResult | None]]:
        """Run these cases. Each that has ended, with what it gave, or None when that tells nothing;
        none that there was no time for."""
        order = in_turn(self.tally.cases, these)
        answers = self._pool.run(self._plans(order), self._until, self._clock)
        if self._exitfirst:  # so that which is the first does not depend on the runners
            answers = in_order(order, answers)
        for number, answer in answers:
            if self._is_over() and isinstance(answer, RunnerError):
                continue  # given up
            tells = self.tally.take(number, answer)
            yield number, answer if tells and isinstance(answer, TrialResult) else None
            self._ended()
            if self._is_enough():
                break
        for _ in answers:
            pass  # those that had begun; whoever runs next must not get their answers

    @property
    def is_at_its_end(self) -> bool:
        """Whether no other trial will be run."""
        return self._is_over() or self._is_enough()

    def _plans(self, order: Sequence[int]) -> Iterator[tuple[int, TrialPlan]]:
        schedule = self._plan.schedule
        for number in order:
            if self.is_at_its_end:
                return
            faults = (*schedule.faults, *self.tally.cases[number].faults)
            yield number, replace(self._plan, schedule=replace(schedule, faults=faults))

    def _is_over(self) -> bool:
        return self._until is not None and self._clock() >= self._until

    def _is_enough(self) -> bool:
        return self._exitfirst and self.tally.findings > 0


def in_order(
    order: Sequence[int], answers: Iterator[tuple[int, Answer]]
) -> Iterator[tuple[int, Answer]]:
    """*answers*, in that order in place of the one in which they come."""
    come = dict[int, Answer]()
    turn = iter(order)
    wanted = next(turn, None)
    for number, answer in answers:
        come[number] = answer
        while wanted is not None and wanted in come:
            yield wanted, come.pop(wanted)
            wanted = next(turn, None)
