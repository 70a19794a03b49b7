"""The server, a monitor or an executor is killed at each call, or right after it: one call fails at
most, and the next caller starts another server where there is none."""

from conftest import Effort
from harness._pytest.fixtures import Sweep
from harness.subject import ClientLike
from scenarios.prefork_interpreter.service import SERVICE
from scenarios.prefork_interpreter.workloads import CALLS, each


@each(CALLS)
def test_the_next_call_is_served(sweep: Sweep, work: ClientLike, effort: Effort) -> None:
    calls = "*" if effort == "full" else "net"
    sweep(SERVICE, work, faults="crash,crash-after", phases=["work"], calls=calls)


def test_so_it_is_when_that_was_at_the_start(sweep: Sweep, effort: Effort) -> None:
    calls = "*" if effort == "full" else "process"
    sweep(SERVICE, CALLS["hello"], faults="crash,crash-after", phases=["start"], calls=calls)
