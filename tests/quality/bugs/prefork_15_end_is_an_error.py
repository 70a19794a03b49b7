"""EOF before the first byte is reported as an error."""

from __future__ import annotations

from reference.prefork_interpreter.monitor import FAILED, Monitor
from reference.prefork_interpreter.protocol import Left, Refused
from reference.prefork_interpreter.server import Server
from scenarios.prefork_interpreter.service import Logged, keep


class Complains(Monitor):
    def report(self, ended: Refused | Left) -> int:
        status = super().report(ended)
        if isinstance(ended, Left) and not self.reader.descriptors:
            self.log.error("EOF where the first byte should be")
            return FAILED
        return status


class Serves(Server):
    monitor_type = Complains


class Launches(Logged):
    server_type = Serves


def serve(directory: str, **options: object) -> int:
    return keep(directory, kind=Launches, **options)
