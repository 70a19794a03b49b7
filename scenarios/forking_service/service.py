"""The forking service as a subject."""

from __future__ import annotations

from harness import Subject, listening
from scenarios.forking_service.workloads import SOCKET


def service(**options: object) -> Subject:
    """The service with *options*; its limits are so long that they decide nothing, unless given."""
    patient = {"connect_timeout": 30.0, "request_timeout": 30.0, "children_timeout": 30.0}
    return Subject.process(
        "reference.forking_service.server:serve",
        kwargs={"path": SOCKET, "directory": "{dir}", **patient, **options},
        ready=listening(SOCKET),
    )


#: For faults at the service and its children: whoever came at all comes in time.
PATIENT = service()
#: For faults at a client, that never comes any more. What waits for it is ended soon after the
#: service is told to stop, and only there is time short: nobody else has anything to do then.
STOPS_SOON = service(request_timeout=0.5, children_timeout=0.05)
#: A child whose client has not come is given up when it is ready.
AT_ONCE = service(connect_timeout=0.0)
#: It has more to do when it starts.
TELLS = service(log_file="{dir}/service.log", preload=["json", "no.such.module"])
