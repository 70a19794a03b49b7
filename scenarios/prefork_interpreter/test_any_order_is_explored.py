"""Callers, a launcher that starts a server, the server, its monitors and executors, in other and
other orders of events: each call's status is its script's, and nothing is left."""

import pytest

from conftest import Effort
from harness import Subject
from harness._pytest.exploring import Explore
from harness.subject import ClientLike
from scenarios.prefork_interpreter.service import COLD, NARROW, SERVICE
from scenarios.prefork_interpreter.workloads import CALLS, ONE_SERVER, leaves

TOGETHER: dict[str, tuple[Subject, list[ClientLike]]] = {
    "first callers": (COLD, [ONE_SERVER, ONE_SERVER]),
    "one at once": (NARROW, [CALLS["exit"], CALLS["copy"], leaves]),
    "a fresh server": (SERVICE, [CALLS["fresh"], CALLS["killed"]]),
}


@pytest.mark.parametrize("who", TOGETHER)
def test_no_order_makes_a_difference(explore: Explore, who: str, effort: Effort) -> None:
    subject, clients = TOGETHER[who]
    explore(subject, *clients, trials=1700 if effort == "full" else 20)
