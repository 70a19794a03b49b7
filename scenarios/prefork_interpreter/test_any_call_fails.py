"""Each call of the server, its monitors and executors fails once, with each errno that it may
meet; so does each of the launcher that starts them."""

from conftest import Effort
from harness._pytest.fixtures import Sweep
from harness.subject import ClientLike
from scenarios.prefork_interpreter.service import SERVICE
from scenarios.prefork_interpreter.workloads import CALLS, each


@each(CALLS)
def test_one_call_at_most_fails_and_says_so(sweep: Sweep, work: ClientLike, effort: Effort) -> None:
    calls = "*" if effort == "full" else "net"
    sweep(SERVICE, work, faults="errno", phases=["work"], calls=calls)


def test_it_starts_or_says_why_not(sweep: Sweep, effort: Effort) -> None:
    calls = "*" if effort == "full" else "process"
    sweep(SERVICE, CALLS["hello"], faults="errno", phases=["start"], calls=calls)
