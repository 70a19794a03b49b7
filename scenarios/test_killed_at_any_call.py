"""A task is killed at each call that does more than look."""

import pytest

from scenarios.bench import Bench, Known
from scenarios.subjects import FILTERS, IN_PLACE, SERVICES, SORT_IN_PLACE, Subject
from scenarios.trials import killed

KNOWN = (
    Known(
        subject=SORT_IN_PLACE,
        at="main/0:*=crash",
        what="main: exits 0 with another output",
        why="sort -o writes over its input, not beside it; documented under -o",
    ),
)


@pytest.mark.parametrize("subject", [*FILTERS, *SERVICES], ids=lambda one: one.name)
def test_who_is_killed_leaves_nobody_waiting(bench: Bench, subject: Subject) -> None:
    bench.try_each(subject, killed(bench.points(subject)))


@pytest.mark.parametrize("subject", IN_PLACE, ids=lambda one: one.name)
def test_what_is_killed_while_it_changes_a_file_has_not_lost_it(
    bench: Bench, subject: Subject
) -> None:
    bench.try_each(subject, killed(bench.points(subject)), KNOWN)
