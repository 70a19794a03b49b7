"""Each call of a launcher fails once, beside another caller, who is served as ever. A launcher that
starts a server, because a fresh one is asked for, is one of them."""

from conftest import Effort
from harness._pytest.fixtures import Sweep
from harness.subject import ClientLike
from scenarios.prefork_interpreter.service import SERVICE
from scenarios.prefork_interpreter.workloads import CALLS, each


@each(CALLS)
def test_that_is_nobody_elses_trouble(sweep: Sweep, work: ClientLike, effort: Effort) -> None:
    calls = "*" if effort == "full" else "net"
    sweep(SERVICE, faults="errno", roles="client/it**", calls=calls, beside=CALLS["hello"], it=work)
