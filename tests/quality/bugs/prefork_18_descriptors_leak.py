"""Passed descriptors leak into the next executor when the message is malformed."""

from __future__ import annotations

import os
import socket

from reference.prefork_interpreter.monitor import Monitor
from reference.prefork_interpreter.protocol import Left, Refused, Request
from reference.prefork_interpreter.server import Server
from scenarios.prefork_interpreter.service import Inside, keep


class HasRead(Monitor):
    """A monitor of a request that is there already."""

    request: Request

    def receive(self) -> Request | Refused | Left:
        return self.request


class ReadsItself(Server):
    """Reads the request before it forks, and forgets what came with one that is none."""

    def begin_call(self, connection: socket.socket) -> bool:
        reads = Monitor(
            connection=connection,
            call_timeout_s=self.options.call_timeout_s,
            log=self.log,
            handlers={},
        )
        request = reads.receive()
        if not isinstance(request, Request):
            connection.close()
            return False
        self._read = reads.reader, request
        is_executor = super().begin_call(connection)
        if not is_executor:
            for descriptor in reads.reader.descriptors:
                os.close(descriptor)
        return is_executor

    def become_monitor(self, connection: socket.socket) -> None:
        self.let_go()
        monitor = HasRead(
            connection=connection,
            call_timeout_s=self.options.call_timeout_s,
            log=self.log,
            handlers={},
        )
        monitor.reader, monitor.request = self._read
        monitor.run()


class Launches(Inside):
    server_type = ReadsItself


def serve(directory: str, **options: object) -> int:
    return keep(directory, kind=Launches, **options)
