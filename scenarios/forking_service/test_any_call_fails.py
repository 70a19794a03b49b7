"""Each call of the service, and of its children, fails once with each errno that it may meet."""

from harness._pytest.fixtures import Sweep
from harness.subject import ClientLike
from scenarios.forking_service.service import SERVICE, TELLS
from scenarios.forking_service.workloads import EVERYTHING, ONE, each, quits


@each(EVERYTHING)
def test_one_request_at_most_fails_and_says_so(sweep: Sweep, work: ClientLike) -> None:
    sweep(SERVICE, work, faults="errno", phases=["work"])


@each(ONE)
def test_it_starts_or_says_why_not_and_stops(sweep: Sweep, work: ClientLike) -> None:
    sweep(SERVICE, work, faults="errno", phases=["start", "stop"])


def test_so_it_does_with_a_log_and_modules_to_load(sweep: Sweep) -> None:
    sweep(TELLS, ONE["hello"], faults="errno")


def test_it_stops_when_it_is_told_to_quit(sweep: Sweep) -> None:
    sweep(SERVICE, quits, faults="errno,short,crash,crash-after", recovers=False, phases=["work"])
