"""The service is held up for longer than a request may take to come: those that have come are
served, whenever it gets to them."""

import pytest

from harness._pytest.fixtures import Trial
from scenarios.forking_service.service import SERVICE
from scenarios.forking_service.workloads import TOGETHER, says_hello, sets_the_timeout


@pytest.mark.parametrize("call", ["clone", "mkdir", "accept4", "sendto"])
def test_nobody_is_timed_out(trial: Trial, call: str) -> None:
    others = {"hello": says_hello, "timeout": sets_the_timeout}
    late = f"service:{call}=delay(5s)"
    tried = trial(SERVICE, TOGETHER["rocks"], faults=late, deadline_s=100, **others)
    assert {one.result for one in tried.history} == {"ok"}
