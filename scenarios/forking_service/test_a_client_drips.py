"""A client sends a byte now and then: the time for a request is for all of it."""

from functools import partial

import pytest

from harness._pytest.fixtures import Trial
from scenarios.forking_service.service import SERVICE
from scenarios.forking_service.workloads import TOGETHER, drips, says_hello

REQUEST = "fork-env whoami\nBZR_EMAIL: a@weekend\nend\n"


@pytest.mark.parametrize("every_ms", [90, 900])
def test_it_is_cut_off_and_delays_nobody(trial: Trial, every_ms: int) -> None:
    slow = {f"slow{n}": partial(drips, request=REQUEST, every_ms=every_ms) for n in range(3)}
    trial(SERVICE, TOGETHER["rocks"], hello=says_hello, deadline_s=100, **slow)
