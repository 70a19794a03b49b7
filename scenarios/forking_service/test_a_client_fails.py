"""Each call of a client fails once, or moves one byte only: that is nobody's trouble but its own.

Another client is there at the same time, and is served as ever."""

from harness._pytest.fixtures import Sweep
from harness.subject import ClientLike
from scenarios.forking_service.service import SERVICE
from scenarios.forking_service.workloads import EVERYTHING, each, says_hello


@each(EVERYTHING)
def test_nothing_of_it_is_left(sweep: Sweep, work: ClientLike) -> None:
    sweep(SERVICE, faults="errno,short", roles="client/it**", beside=says_hello, it=work)
