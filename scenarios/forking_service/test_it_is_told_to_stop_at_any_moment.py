"""The service is told to stop while clients ask: each of them is served, or is told so."""

from hypothesis import given

from harness._pytest.fixtures import Sweep, Trial
from scenarios.forking_service.properties import few, seeds
from scenarios.forking_service.service import SERVICE
from scenarios.forking_service.workloads import quits, tries


@few
@given(seed=seeds)
def test_in_any_order_of_events(trial: Trial, seed: int) -> None:
    trial(SERVICE, tries, tries, quits, seed=seed, recovers=False)


def test_by_a_signal_at_any_of_its_calls(sweep: Sweep) -> None:
    stops = {"roles": "service", "phases": ["work"], "recovers": False}
    sweep(SERVICE, tries, faults="signal(TERM)", **stops)
