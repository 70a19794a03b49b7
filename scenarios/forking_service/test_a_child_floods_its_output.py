"""A child writes more than its FIFOs hold: that is between it and its client."""

from harness._pytest.fixtures import Trial
from scenarios.forking_service.service import BAD
from scenarios.forking_service.workloads import floods, reads_all_of_a_flood, says_hello


def test_all_of_it_arrives(trial: Trial) -> None:
    trial(BAD, reads_all_of_a_flood, hello=says_hello)


def test_who_reads_nothing_of_it_keeps_nobody_else(trial: Trial) -> None:
    trial(BAD, floods, hello=says_hello, deadline_s=1000)
