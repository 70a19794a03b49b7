"""A child is held at each of its calls, for ever: the service gives it up, and tells its client."""

from harness._pytest.fixtures import Sweep
from scenarios.forking_service.service import SERVICE
from scenarios.forking_service.workloads import CHILDREN, says_hello


def test_others_are_served_and_nothing_is_left(sweep: Sweep) -> None:
    sweep(SERVICE, faults="hold", roles="service/**", beside=says_hello, it=CHILDREN["rocks"])
