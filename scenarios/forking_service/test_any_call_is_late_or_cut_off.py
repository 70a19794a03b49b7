"""Each transfer of the service, and of its children, is late, or finds the other end gone: the one
request may fail visibly, and all else is as ever."""

import pytest

from harness._pytest.fixtures import Sweep
from scenarios.forking_service.service import SERVICE
from scenarios.forking_service.workloads import EVERYTHING, says_hello


@pytest.mark.parametrize("kind", ["delay", "pause(10s)", "eof", "reset"])
@pytest.mark.parametrize("work", ["hello", "rocks", "talk"])
def test_others_are_served_and_nothing_is_left(
    sweep: Sweep, work: str, kind: str, effort: str
) -> None:
    calls = "io" if effort == "full" else "recv*"
    sweep(SERVICE, faults=kind, calls=calls, beside=says_hello, it=EVERYTHING[work])
