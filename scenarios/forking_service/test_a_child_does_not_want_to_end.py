"""The service is told to stop while a child minds no signal: it gets its grace, then SIGINT, then
SIGKILL, and nothing is left."""

from harness._pytest.fixtures import Trial
from scenarios.forking_service.service import BAD
from scenarios.forking_service.workloads import leaves_a_deaf_child, quits_and_waits


def test_it_is_killed_when_its_grace_is_over(trial: Trial) -> None:
    tried = trial(BAD, leaves_a_deaf_child, recovers=False, deadline_s=1000)
    said = tried.outcome.stderr.head
    assert said.index("stopping; waiting for 1 children") < said.index("sending SIGINT")
    assert said.index("sending SIGINT") < said.index("sending SIGKILL")


def test_its_client_is_told_so(trial: Trial) -> None:
    trial(BAD, quits_and_waits, recovers=False, deadline_s=1000)
