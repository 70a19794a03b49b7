"""Each call that may meet a failing device gets EIO, close(2) included."""

import pytest

from scenarios.bench import Bench, Known
from scenarios.subjects import FILTERS, SERVICES, SOCAT, Subject
from scenarios.trials import failing

KNOWN = (
    Known(
        subject=SOCAT,
        at="service:unlink@stop=EIO",
        what="service: exits 143 with another /trial/s",
        why="socat removes its socket when it is told to end, and does not say when it could not",
    ),
)


@pytest.mark.parametrize("subject", [*FILTERS, *SERVICES], ids=lambda one: one.name)
def test_a_failing_device_is_reported(bench: Bench, subject: Subject) -> None:
    bench.try_each(subject, failing(bench.points(subject), "device"), KNOWN)
