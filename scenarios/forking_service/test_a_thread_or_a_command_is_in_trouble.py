"""The same service with its clients as threads of its process, and as the command that one starts:
the same calls go wrong, and the same must hold."""

import pytest

from harness import Subject
from harness._pytest.fixtures import Sweep, Trial
from scenarios.forking_service.service import COMMAND, THREADS
from scenarios.forking_service.workloads import CHILDREN, ONE, says_hello

kinds = pytest.mark.parametrize("service", [THREADS, COMMAND], ids=["threads", "command"])


@kinds
@pytest.mark.parametrize(
    "fault",
    [
        "service:clone@work=EAGAIN",
        "service:mknod*@work=ENOSPC",
        "service/0:openat@work=EMFILE",
        "service:sendto#*@work=short(1)",
        "service/0:sendto@work=crash-after",
    ],
)
def test_one_request_at_most_fails_and_says_so(trial: Trial, service: Subject, fault: str) -> None:
    trial(service, CHILDREN["rocks"], faults=fault, hello=says_hello)


@kinds
def test_so_it_is_at_every_call(sweep: Sweep, effort: str, service: Subject) -> None:
    # In each size the same is done with the service as a process, at every call and in every way.
    size = {} if effort == "full" else {"faults": "short", "calls": "sendto"}
    sweep(service, ONE["rocks"], roles="service**", phases=["work"], **size)
