"""A child is killed at each of its calls, or right after it: its client is told so."""

from harness._pytest.fixtures import Sweep
from harness.subject import ClientLike
from scenarios.forking_service.service import SERVICE
from scenarios.forking_service.workloads import CHILDREN, each


@each(CHILDREN)
def test_its_client_is_told(sweep: Sweep, work: ClientLike) -> None:
    sweep(SERVICE, work, faults="crash,crash-after", roles="service/**")
