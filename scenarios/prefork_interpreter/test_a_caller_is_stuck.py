"""Callers that are held at each of their calls, for ever, do not keep another one from the only
server: they are given up."""

from harness._pytest.fixtures import Sweep
from scenarios.prefork_interpreter.service import NARROW
from scenarios.prefork_interpreter.workloads import CALLS


def test_others_are_served(sweep: Sweep) -> None:
    sweep(NARROW, faults="hold", roles="client/it", beside=CALLS["hello"], it=CALLS["hello"])
