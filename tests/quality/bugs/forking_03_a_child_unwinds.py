"""A child whose command raises unwinds into the service's loop: two services on one socket."""

from __future__ import annotations

import socket
from typing import NoReturn, TextIO

from reference.forking_service import commands
from reference.forking_service.child import ChildLife
from reference.forking_service.directory import ChildDirectory
from reference.forking_service.options import Options
from reference.forking_service.protocol import Fork
from reference.forking_service.server import serve_with
from reference.forking_service.service import ForkingService


class Raises(ChildLife):
    """Leaves only when nothing is raised."""

    def live(self) -> NoReturn:
        self.leave(self.status_of_life())

    def status_of_command(self, stdin: TextIO, stdout: TextIO, stderr: TextIO) -> int:
        return commands.run(self.commands, self.request.argv, stdin, stdout, stderr)


class Unwinds(ForkingService):
    def live_as_child(
        self, request: Fork, made: ChildDirectory, theirs: socket.socket, ours: socket.socket
    ) -> None:
        Raises(
            request=request,
            path=made.path,
            channel=theirs,
            let_go=ours.close,
            commands=self._commands,
            log=self._log,
        ).live()


def serve(path: str, directory: str) -> int:
    return serve_with(Options(path=path, directory=directory), service_type=Unwinds)
