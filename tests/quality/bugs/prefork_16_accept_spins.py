"""Errors of accept are never counted: the loop spins on EMFILE."""

from __future__ import annotations

from reference.prefork_interpreter.server import Server
from scenarios.prefork_interpreter.service import Inside, keep


class Spins(Server):
    def accept_failed(self, why: str) -> None:
        self.log.warning(why)


class Launches(Inside):
    server_type = Spins


def serve(directory: str, **options: object) -> int:
    return keep(directory, kind=Launches, **options)
