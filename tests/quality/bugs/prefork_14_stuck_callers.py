"""Callers that stall after connecting occupy all servers for ever."""

from __future__ import annotations

from reference.prefork_interpreter.monitor import Monitor
from reference.prefork_interpreter.protocol import Left, Refused, Request
from reference.prefork_interpreter.server import Server
from scenarios.prefork_interpreter.service import Inside, keep


class IsPatient(Monitor):
    def receive(self) -> Request | Refused | Left:
        self.reader.deadline = 1e9
        return super().receive()


class Serves(Server):
    monitor_type = IsPatient


class Launches(Inside):
    server_type = Serves


def serve(directory: str, **options: object) -> int:
    return keep(directory, kind=Launches, **options)
