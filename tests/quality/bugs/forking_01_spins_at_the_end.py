"""A client that connects and closes without a newline makes the read loop spin for ever."""

from __future__ import annotations

from reference.forking_service.connection import Connection
from reference.forking_service.options import Options
from reference.forking_service.server import serve_with
from reference.forking_service.service import ForkingService


class ReadsOn(Connection):
    """Reads until it has a request, and takes the end of the connection for no news."""

    def receive(self, now: float) -> None:
        request = None
        while request is None:
            try:
                data = self.socket.recv(4096)
            except BlockingIOError:
                return
            request = self._reader.receive(data, now)
        self._take(request, now)


class Spins(ForkingService):
    connection_type = ReadsOn


def serve(path: str, directory: str) -> int:
    return serve_with(Options(path=path, directory=directory), service_type=Spins)
