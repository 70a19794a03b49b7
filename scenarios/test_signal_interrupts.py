"""Each call that may have to wait is interrupted by a signal before it has done anything."""

import pytest

from scenarios.bench import Bench
from scenarios.subjects import HTTP, PIPEFAIL, PIPELINE, PREFORK, TAR, TEE, Subject
from scenarios.trials import failing

#: Those that wait for somebody. Not socat: it sleeps for a second before it tries again, and its
#: client gives up before; who is late is the clock's affair.
WAITING = (TEE, TAR, PIPELINE, PIPEFAIL, PREFORK, HTTP)


@pytest.mark.parametrize("subject", WAITING, ids=lambda one: one.name)
def test_an_interruption_is_survived_or_reported(bench: Bench, subject: Subject) -> None:
    bench.try_each(subject, failing(bench.points(subject), "interrupted"))
