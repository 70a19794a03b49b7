"""Each read and each write moves one byte only: read(2) and write(2) may always do less."""

import pytest

from scenarios.bench import Bench, Known
from scenarios.subjects import DD, DD_FULL, FILTERS, SERVICES, Subject
from scenarios.trials import shortened

KNOWN = (
    Known(
        subject=DD,
        at="main:read#*=short(1)",
        what="main: exits 0 with another /trial/copy",
        why="dd counts a partial block as one of count=; documented: use iflag=fullblock",
    ),
)


@pytest.mark.parametrize("subject", [*FILTERS, DD_FULL, *SERVICES], ids=lambda one: one.name)
def test_a_short_transfer_is_not_taken_for_the_whole(bench: Bench, subject: Subject) -> None:
    bench.try_each(subject, shortened(bench.points(subject)), KNOWN)
