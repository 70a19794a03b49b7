"""Each call for which the kernel needs memory, or a buffer, finds that there is none."""

import pytest

from scenarios.bench import Bench, Known
from scenarios.subjects import FILTERS, SERVICES, SOCAT, Subject
from scenarios.trials import failing

KNOWN = (
    Known(
        subject=SOCAT,
        at="service:unlink@stop=ENOMEM",
        what="service: exits 143 with another /trial/s",
        why="socat removes its socket when it is told to end, and does not say when it could not",
    ),
    Known(
        subject=SOCAT,
        at="service:sendto@stop=ENOMEM",
        what="service: is stuck*",
        why="socat's signal handler tells its main loop through a socket pair; what it cannot send"
        " is forgotten, SIGTERM too",
    ),
)


@pytest.mark.parametrize("subject", [*FILTERS, *SERVICES], ids=lambda one: one.name)
def test_a_lack_of_memory_is_reported(bench: Bench, subject: Subject) -> None:
    bench.try_each(subject, failing(bench.points(subject), "memory"), KNOWN)
