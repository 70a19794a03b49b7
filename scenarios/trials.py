"""From fault points to trials: a schedule for each thing that the scenarios let go wrong.

What can go wrong at a point is the harness's own table (harness/failures.tsv). Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness import points
from harness.points import Point
from harness.schedule import Schedule


def failing(these: Iterable[Point], *causes: str) -> Iterator[Schedule]:
    """Each call fails once, with each errno that one of *causes* gives it."""
    for point in these:
        for cause in causes:
            yield from _schedules([point], cause)


def shortened(these: Iterable[Point]) -> Iterator[Schedule]:
    """Each transfer moves one byte only."""
    return _schedules(these, "short")


def killed(these: Iterable[Point]) -> Iterator[Schedule]:
    """The caller is killed at each call that does more than look."""
    return _schedules(these, "crash")


def in_another_order(count: int) -> Iterator[Schedule]:
    """No fault; which task goes next is drawn, from another seed each time."""
    for seed in range(count):
        yield Schedule(seed=seed)


def _schedules(these: Iterable[Point], kind: str) -> Iterator[Schedule]:
    for fault in points.failing(these, kind):
        yield Schedule(faults=(fault,))
