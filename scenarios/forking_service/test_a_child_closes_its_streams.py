"""A child closes its streams long before it ends: its status comes when it has ended."""

from functools import partial

from harness._pytest.fixtures import Trial
from scenarios.forking_service.service import BAD
from scenarios.forking_service.workloads import runs, says_hello


def test_its_client_gets_what_was_written_and_then_the_status(trial: Trial) -> None:
    closes = partial(runs, argv=["closes"], stdout="all\n", returncode=5)
    trial(BAD, closes, hello=says_hello, deadline_s=1000)
