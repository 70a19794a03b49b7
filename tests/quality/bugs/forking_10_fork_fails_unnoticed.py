"""fork fails with EAGAIN: the directory is left, and the client is given no answer."""

from __future__ import annotations

from reference.forking_service.connection import Connection
from reference.forking_service.directory import ChildDirectory
from reference.forking_service.options import Options
from reference.forking_service.server import serve_with
from reference.forking_service.service import ForkingService


class Forgets(ForkingService):
    def fork_failed(
        self, connection: Connection, why: str, made: ChildDirectory | None = None
    ) -> None:
        self.log(f"{connection.name}: {why}")
        connection.close()


def serve(path: str, directory: str) -> int:
    return serve_with(Options(path=path, directory=directory), service_type=Forgets)
