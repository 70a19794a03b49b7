"""Each call on a connection finds that there is nobody any more at its other end."""

import pytest

from scenarios.bench import Bench, Known
from scenarios.subjects import SERVICES, SOCAT, Subject
from scenarios.trials import failing

KNOWN = (
    Known(
        subject=SOCAT,
        at="service:sendto@stop=*",
        what="service: is stuck*",
        why="socat's signal handler tells its main loop through a socket pair; what it cannot send"
        " is forgotten, SIGTERM too",
    ),
)


@pytest.mark.parametrize("subject", SERVICES, ids=lambda one: one.name)
def test_a_peer_that_is_gone_is_survived_or_reported(bench: Bench, subject: Subject) -> None:
    bench.try_each(subject, failing(bench.points(subject), "peer"), KNOWN)
