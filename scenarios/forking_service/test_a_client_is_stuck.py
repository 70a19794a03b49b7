"""A client is held at each of its calls, for ever: the service does not wait for it."""

import pytest

from harness._pytest.fixtures import Sweep
from scenarios.forking_service.service import SERVICE
from scenarios.forking_service.workloads import EVERYTHING, says_hello


@pytest.mark.parametrize("work", ["hello", "talk", "left"])
def test_others_are_served_and_nothing_is_left(sweep: Sweep, work: str) -> None:
    sweep(SERVICE, faults="hold", roles="client/it**", beside=says_hello, it=EVERYTHING[work])
