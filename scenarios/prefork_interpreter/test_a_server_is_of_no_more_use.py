"""A server ends when it is idle, when its program has changed, and when it can accept no more."""

import pytest

from harness._pytest.fixtures import Trial
from harness.subject import ClientLike
from scenarios.prefork_interpreter.service import SERVICE, service
from scenarios.prefork_interpreter.workloads import CALLS, calls, edits, waits_until_idle

IDLE = service(idle_timeout_s=3000.0)
STRICT = service(max_errors=3)


def then_is_served(client: object) -> None:
    """After the idle time; another server is started for it."""
    waits_until_idle(client)  # type: ignore[arg-type]
    calls(client)  # type: ignore[arg-type]


@pytest.mark.parametrize("work", [waits_until_idle, then_is_served])
def test_an_idle_server_leaves_nothing(trial: Trial, work: ClientLike) -> None:
    # A fresh client would look for the server that the first one has seen end.
    trial(IDLE, work, recovers=False)


def test_an_edited_script_is_seen_by_the_next_call(trial: Trial) -> None:
    trial(SERVICE, edits)


def test_a_server_that_cannot_accept_any_more_is_replaced(trial: Trial) -> None:
    trial(STRICT, CALLS["hello"], faults="service/1/0:accept4#*=EMFILE")
