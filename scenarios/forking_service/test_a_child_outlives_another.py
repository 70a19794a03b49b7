"""A child that was forked later lives longer: the earlier one's client sees its connection end."""

from harness._pytest.fixtures import Trial
from scenarios.forking_service.service import SERVICE
from scenarios.forking_service.workloads import has_two, says_hello


def test_it_holds_nothing_of_the_other(trial: Trial) -> None:
    trial(SERVICE, has_two, hello=says_hello)
