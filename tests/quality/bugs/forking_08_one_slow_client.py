"""The timeout restarts at each byte: one slow client stops everybody."""

from __future__ import annotations

import math
import time

from reference.forking_service.connection import Connection
from reference.forking_service.options import Options
from reference.forking_service.server import serve_with
from reference.forking_service.service import ForkingService


class WaitsForTheRest(Connection):
    def receive(self, now: float) -> None:
        self.socket.settimeout(1.0)
        request = None
        try:
            while request is None:
                data = self.socket.recv(4096)
                request = self._reader.receive(data, now) if data else self._reader.end(now)
        except TimeoutError:
            request = self._reader.expire(math.inf)
        finally:
            self.socket.setblocking(False)
        self._take(request, time.monotonic())


class OneAtATime(ForkingService):
    connection_type = WaitsForTheRest


def serve(path: str, directory: str) -> int:
    return serve_with(Options(path=path, directory=directory), service_type=OneAtATime)
