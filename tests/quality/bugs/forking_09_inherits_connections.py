"""A later child inherits an earlier request's connection: its client never sees the close."""

from __future__ import annotations

from reference.forking_service.log import close_descriptor
from reference.forking_service.options import Options
from reference.forking_service.server import serve_with
from reference.forking_service.service import ForkingService


class Inherits(ForkingService):
    def let_go(self) -> None:
        for child in self._children:
            child.let_go()
        for descriptor in self._wake_pipe or ():
            close_descriptor(descriptor)


def serve(path: str, directory: str) -> int:
    return serve_with(Options(path=path, directory=directory), service_type=Inherits)
