"""A child is killed at each of its calls, or right after it: its client is told so."""

from harness._pytest.fixtures import Sweep
from harness.subject import ClientLike
from scenarios.forking_service.service import AT_ONCE, PATIENT
from scenarios.forking_service.workloads import CHILDREN, UNMET, each


@each(CHILDREN)
def test_its_client_is_told(sweep: Sweep, work: ClientLike) -> None:
    sweep(PATIENT, work, faults="crash,crash-after", roles="service/**")


@each(UNMET)
def test_nobody_is_left_waiting_for_it(sweep: Sweep, work: ClientLike) -> None:
    sweep(AT_ONCE, work, faults="crash,crash-after", roles="service/**")
