"""Two first callers start two servers."""

from __future__ import annotations

import socket

from reference.prefork_interpreter.states import Event, after
from scenarios.prefork_interpreter.service import Inside, keep


class DoesNotLock(Inside):
    def connect_or_start(self) -> socket.socket:
        call = self.connect()
        if call is None:
            self.state = after(after(self.state, Event.NOBODY), Event.NOBODY)
            call = self.start()
        self.state = after(self.state, Event.GREETED)
        return call


def serve(directory: str, **options: object) -> int:
    return keep(directory, kind=DoesNotLock, **options)
