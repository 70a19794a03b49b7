"""Clients ask and never read what they are told: others are, and the service stops all the same."""

from functools import partial

import pytest

from harness._pytest.fixtures import Trial
from scenarios.forking_service.service import SERVICE
from scenarios.forking_service.workloads import TOGETHER, reads_nothing, says_hello


@pytest.mark.parametrize("request_", ["hello\n", "what\n", "fork rocks\n"])
def test_others_are_served(trial: Trial, request_: str) -> None:
    bad = {f"bad{n}": partial(reads_nothing, request=request_) for n in range(3)}
    trial(SERVICE, TOGETHER["rocks"], hello=says_hello, deadline_s=1000, **bad)
