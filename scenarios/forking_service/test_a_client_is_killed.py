"""A client is killed at each of its calls, or right after it: that is nobody's trouble but its own.

Another client is there at the same time, and is served as ever."""

from harness._pytest.fixtures import Sweep
from harness.subject import ClientLike
from scenarios.forking_service.service import SERVICE
from scenarios.forking_service.workloads import EVERYTHING, each, says_hello


@each(EVERYTHING)
def test_nothing_of_it_is_left(sweep: Sweep, work: ClientLike) -> None:
    sweep(SERVICE, faults="crash,crash-after", roles="client/it**", beside=says_hello, it=work)
