"""A launcher is killed at each call, or right after it: its executor ends, nothing of it is left,
nothing is logged, and another caller is served as ever."""

from harness._pytest.fixtures import Sweep
from harness.subject import ClientLike
from scenarios.prefork_interpreter.service import LOGGED, SERVICE
from scenarios.prefork_interpreter.workloads import CALLS, each


@each(CALLS)
def test_nothing_of_it_is_left(sweep: Sweep, work: ClientLike) -> None:
    # A server that it starts itself has no such log.
    service = SERVICE if work is CALLS["fresh"] else LOGGED
    sweep(service, faults="crash,crash-after", roles="client/it**", beside=CALLS["hello"], it=work)
