"""The forking service as a subject, with the limits in time that it has unless told otherwise: in a
trial they cost nothing, and end only what nobody else would end."""

from __future__ import annotations

import sys
from pathlib import Path

from harness import Subject, listening
from scenarios.forking_service.workloads import SOCKET

PROJECT = str(Path(__file__).parents[2])


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
#: The same, with its clients as threads of its process.
THREADS = Subject.thread(
    "reference.forking_service.server:serve",
    kwargs={"path": SOCKET, "directory": "{dir}"},
    ready=listening(SOCKET),
)
#: The same, as one starts it.
COMMAND = Subject.command(
    [
        *(sys.executable, "-m", "reference.forking_service"),
        *("--path", SOCKET, "--directory", "{dir}"),
    ],
    ready=listening(SOCKET),
    environment={"PYTHONPATH": PROJECT},
    bind=[sys.prefix, PROJECT],
)
