"""Each transfer, on whatever side, moves one byte only: nobody may notice."""

from harness._pytest.fixtures import Sweep
from harness.subject import ClientLike
from scenarios.prefork_interpreter.service import SERVICE
from scenarios.prefork_interpreter.workloads import CALLS, each


@each(CALLS)
def test_what_was_cut_short_goes_on(sweep: Sweep, work: ClientLike) -> None:
    sweep(SERVICE, work, faults="short", roles="**")
