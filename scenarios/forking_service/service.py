"""The forking service as a subject, with the limits in time that it has unless told otherwise: in a
trial they cost nothing, and end only what nobody else would end."""

from __future__ import annotations

from harness import Subject, listening
from scenarios.forking_service.workloads import SOCKET


def service(**options: object) -> Subject:
    """The service with *options*."""
    return Subject.process(
        "reference.forking_service.server:serve",
        kwargs={"path": SOCKET, "directory": "{dir}", **options},
        ready=listening(SOCKET),
    )


SERVICE = service()
#: It has more to do when it starts.
TELLS = service(log_file="{dir}/service.log", preload=["no.such.module"])
#: With children that behave badly.
BAD = service(commands=["scenarios.forking_service.programs.commands"])
