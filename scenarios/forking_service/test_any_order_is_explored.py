"""Clients, the service and its children in other and other orders of events: each client is told
its own child's status, and nothing is left."""

import pytest

from conftest import Effort
from harness._pytest.exploring import Explore
from harness.subject import ClientLike
from scenarios.forking_service.service import SERVICE
from scenarios.forking_service.workloads import CHILDREN, REQUESTS, TOGETHER, tries

TOGETHER_AT_ONCE: dict[str, list[ClientLike]] = {
    "a child and one that is killed": [TOGETHER["rocks"], TOGETHER["crash"]],
    "a child and one that nobody meets": [TOGETHER["replay"], TOGETHER["unmet"]],
    "a child and requests": [CHILDREN["exit"], REQUESTS["slow"], REQUESTS["half"]],
    "two children of one kind": [tries, tries],
}


@pytest.mark.parametrize("who", TOGETHER_AT_ONCE)
def test_no_order_makes_a_difference(explore: Explore, who: str, effort: Effort) -> None:
    explore(SERVICE, *TOGETHER_AT_ONCE[who], trials=500 if effort == "full" else 6)
