"""Each call that needs a descriptor or a process is refused one."""

import pytest

from scenarios.bench import Bench, Known
from scenarios.subjects import FILTERS, PIPELINE, SERVICES, SORT, Subject
from scenarios.trials import TABLES_ARE_FULL, failing

KNOWN = (
    Known(
        subject=SORT,
        at="main:dup2=EBUSY",
        what="main: exits 0 with another output",
        why="sort -o does not look at what dup2(2) says, and writes to its standard output instead",
    ),
    Known(
        subject=PIPELINE,
        at="main/*:dup2*=EBUSY",
        what="main: exits 0 with another output",
        why="dash does not look at what dup2(2) says, and lets the command have its own",
    ),
)


@pytest.mark.parametrize("subject", [*FILTERS, *SERVICES], ids=lambda one: one.name)
def test_a_lack_of_descriptors_or_processes_is_reported(bench: Bench, subject: Subject) -> None:
    bench.try_each(subject, failing(bench.points(subject), TABLES_ARE_FULL), KNOWN)
