"""Clients, the service and its children in other and other orders of events: each client is told
its own child's status, at once, and nothing is left."""

import pytest

from conftest import Effort
from harness._pytest.exploring import Explore
from harness.subject import ClientLike
from scenarios.forking_service.service import SERVICE
from scenarios.forking_service.workloads import CHILDREN, REQUESTS, TOGETHER, tries

#: Here one waits for as long as a child may.
_LONG = "a child and one that nobody meets"

TOGETHER_AT_ONCE: dict[str, list[ClientLike]] = {
    "a child and one that is killed": [TOGETHER["rocks"], TOGETHER["crash"]],
    _LONG: [TOGETHER["replay"], TOGETHER["unmet"]],
    "a child and requests": [CHILDREN["exit"], REQUESTS["slow"], REQUESTS["half"]],
    "two children of one kind": [tries, tries],
}


@pytest.mark.parametrize("who", TOGETHER_AT_ONCE)
def test_no_order_makes_a_difference(explore: Explore, who: str, effort: Effort) -> None:
    bounds = [] if who == _LONG else ["waits(client/**) <= 500ms"]
    trials = 500 if effort == "full" else 6
    explore(SERVICE, *TOGETHER_AT_ONCE[who], trials=trials, invariants=bounds)
