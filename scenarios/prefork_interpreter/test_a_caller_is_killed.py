"""A launcher is killed at each call, or right after it: its executor ends, nothing of it is left,
and another caller is served as ever."""

from harness._pytest.fixtures import Sweep
from harness.subject import ClientLike
from scenarios.prefork_interpreter.service import SERVICE
from scenarios.prefork_interpreter.workloads import CALLS, each


@each(CALLS)
def test_nothing_of_it_is_left(sweep: Sweep, work: ClientLike) -> None:
    sweep(SERVICE, faults="crash,crash-after", roles="client/it**", beside=CALLS["hello"], it=work)
