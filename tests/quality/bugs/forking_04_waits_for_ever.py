"""Nobody opens the FIFOs: the child blocks for ever, and shutdown takes all of its grace."""

from __future__ import annotations

from reference.forking_service.children import Child
from reference.forking_service.options import Options
from reference.forking_service.server import serve_with
from reference.forking_service.service import ForkingService


class Waits(ForkingService):
    def child_is_ready(self, child: Child, now: float) -> bool:
        is_there = super().child_is_ready(child, now)
        child.deadline = None
        return is_there


def serve(path: str, directory: str) -> int:
    return serve_with(Options(path=path, directory=directory), service_type=Waits)
