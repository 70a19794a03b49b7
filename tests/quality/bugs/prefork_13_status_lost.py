"""Status lost: the monitor's SIGINT reaches an executor that closes its files on the way out."""

from __future__ import annotations

import atexit
import os
import select

from reference.prefork_interpreter.monitor import Monitor
from reference.prefork_interpreter.server import Server
from reference.prefork_interpreter.states import Event
from scenarios.prefork_interpreter.service import Inside, keep


class WaitsForThePipe(Monitor):
    """Takes the end of a pipe that the executor holds for the end of the executor."""

    def fork(self) -> int:
        ended, held = os.pipe()
        pid = super().fork()
        if pid == 0:
            os.close(ended)
            atexit.register(os.close, held)
        else:
            os.close(held)
            self.ended = ended
        return pid

    def wait_for_an_end(self, pid: int) -> Event:
        poll = select.poll()
        poll.register(self.ended, select.POLLIN)
        poll.register(self.connection, select.POLLIN)
        ready = [descriptor for descriptor, _ in poll.poll()]
        return Event.EXECUTOR_ENDED if self.ended in ready else Event.CALLER_LEFT


class Serves(Server):
    monitor_type = WaitsForThePipe


class Launches(Inside):
    server_type = Serves


def serve(directory: str, **options: object) -> int:
    return keep(directory, kind=Launches, **options)
