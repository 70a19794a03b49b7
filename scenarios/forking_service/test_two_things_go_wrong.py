"""A second thing goes wrong in what the service, or a child, does only after the first."""

import pytest

from harness._pytest.fixtures import Sweep
from harness.subject import ClientLike
from scenarios.forking_service.service import SERVICE
from scenarios.forking_service.workloads import ONE, each

pytestmark = pytest.mark.full


@each(ONE)
def test_each_is_told_or_its_connection_ends(sweep: Sweep, work: ClientLike) -> None:
    sweep(SERVICE, work, faults="errno", phases=["work"], pairs=True)
