"""An exception while serving one request ends the service."""

from __future__ import annotations

from reference.forking_service.options import Options
from reference.forking_service.server import serve_with
from reference.forking_service.service import ForkingService


class Ends(ForkingService):
    def trapped(self, handler: object, error: Exception) -> None:
        raise error


def serve(path: str, directory: str) -> int:
    return serve_with(Options(path=path, directory=directory), service_type=Ends)
