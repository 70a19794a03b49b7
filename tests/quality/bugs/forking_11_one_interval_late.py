"""A SIGCHLD between the check and the wait is noticed one poll interval late."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from reference.forking_service.children import Child
from reference.forking_service.connection import Connection
from reference.forking_service.directory import ChildDirectory
from reference.forking_service.loop import Handler, Loop
from reference.forking_service.options import Options
from reference.forking_service.protocol import Fork
from reference.forking_service.server import serve_with
from reference.forking_service.service import ForkingService

_INTERVAL_S = 1.0


class InIntervals(Loop):
    """Whoever is told something by a signal looks at it after each wait."""

    is_waiting = False
    look: Callable[[], None]

    def wait(self, deadline: float | None) -> list[tuple[int, int, Handler]]:
        turn = self._clock() + _INTERVAL_S
        self.is_waiting = True
        happened = super().wait(turn if deadline is None else min(deadline, turn))
        self.is_waiting = False
        self.look()
        return happened


class IsToldBySignals(ForkingService):
    loop_type = InIntervals
    has_one_ended = False

    def start(self) -> None:
        super().start()
        self._loop.look = self.look_at_the_children
        signal.signal(signal.SIGCHLD, self.noticed)

    def noticed(self, number: int, frame: object) -> None:
        """Who does not wait will look by itself."""
        self.has_one_ended = True
        if self._loop.is_waiting:
            os.write(self._wake_pipe[1], b"c")

    def look_at_the_children(self) -> None:
        while self.has_one_ended:
            self.has_one_ended = False
            for child in self._children:
                self._children.end(child, self._clock())

    def begin_child(self, connection: Connection, request: Fork, made: ChildDirectory) -> Child:
        child = super().begin_child(connection, request, made)
        self._loop.unwatch(child.pidfd)
        return child


def serve(path: str, directory: str) -> int:
    return serve_with(Options(path=path, directory=directory), service_type=IsToldBySignals)
