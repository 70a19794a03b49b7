"""Each transfer of the service, and of its children, moves one byte only: nobody may notice."""

from harness._pytest.fixtures import Sweep
from harness.subject import ClientLike
from scenarios.forking_service.service import AT_ONCE, PATIENT
from scenarios.forking_service.workloads import EVERYTHING, UNMET, each


@each(EVERYTHING)
def test_what_was_cut_short_goes_on(sweep: Sweep, work: ClientLike) -> None:
    sweep(PATIENT, work, faults="short", roles="service**")


@each(UNMET)
def test_so_it_does_for_a_child_that_nobody_meets(sweep: Sweep, work: ClientLike) -> None:
    sweep(AT_ONCE, work, faults="short", roles="service**")
