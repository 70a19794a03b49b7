"""The exit line arrives in two pieces: the client takes it for garbage, status 255."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness import Client
from reference.forking_service.client import (
    ForkedProcess,
    ForkingServiceClient,
    ForkingServiceError,
)
from reference.forking_service.protocol import Reply, ReplyReader, fork_request
from scenarios.forking_service.workloads import SOCKET


class InOnePiece(ReplyReader):
    def _next_status(self, is_end: bool) -> Reply | None:
        return super()._next_status(is_end=is_end or bool(self._buffer))


class Process(ForkedProcess):
    reader_type = InOnePiece


class Asker(ForkingServiceClient):
    def fork(self, argv: Sequence[str], env: Mapping[str, str] | None = None) -> ForkedProcess:
        request = fork_request(argv, env or {})
        return Process(self._connect(), request, args=argv, timeout=self.timeout)


def rocks(client: Client) -> None:
    with client.invoke("rocks"):
        try:
            with Asker(client.path(SOCKET)).fork(["rocks"]) as child:
                client.expect(child.communicate()[0], b"It sure does!\n")
        except ForkingServiceError as error:
            client.fail(str(error))
        if child.returncode:
            client.fail(f"it ended with {child.returncode}")
