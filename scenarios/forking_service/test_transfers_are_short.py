"""Each transfer of the service, and of its children, moves one byte only: nobody may notice."""

from harness._pytest.fixtures import Sweep
from harness.subject import ClientLike
from scenarios.forking_service.service import SERVICE
from scenarios.forking_service.workloads import EVERYTHING, each


@each(EVERYTHING)
def test_what_was_cut_short_goes_on(sweep: Sweep, work: ClientLike) -> None:
    sweep(SERVICE, work, faults="short")
