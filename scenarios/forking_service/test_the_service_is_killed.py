"""The service is killed at each call, or right after it. Started again on what it has left, it
serves, and leaves nothing; who was being served sees the end of the connection, not silence."""

from harness._pytest.fixtures import Sweep
from harness.subject import ClientLike
from scenarios.forking_service.service import SERVICE, TELLS
from scenarios.forking_service.workloads import EVERYTHING, ONE, each


@each(EVERYTHING)
def test_the_next_one_serves_and_leaves_nothing(sweep: Sweep, work: ClientLike) -> None:
    sweep(SERVICE, work, faults="crash,crash-after", roles="service", phases=["work"])


@each(ONE)
def test_so_it_is_when_that_was_while_it_started_or_stopped(sweep: Sweep, work: ClientLike) -> None:
    sweep(SERVICE, work, faults="crash,crash-after", roles="service", phases=["start", "stop"])


def test_so_it_is_with_a_log_and_modules_to_load(sweep: Sweep) -> None:
    sweep(TELLS, ONE["hello"], faults="crash,crash-after")
