"""The clients of the service: accepted, kept, timed."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator

from reference.forking_service.connection import Connection
from reference.forking_service.listener import WAITING_MAX, Listener, close_socket
from reference.forking_service.loop import READABLE, Loop, Trap

#: How long accept is left alone after it failed, in seconds: doubled each time, up to the second.
_BACK_OFF_S = (0.05, 1.0)
#: How many clients are accepted in one turn.
_ACCEPTED_MAX = 64

#: Errors of accept that concern one client, who is gone.
_CLIENT_GONE = frozenset({errno.ECONNABORTED, errno.EINTR, errno.EPROTO})

#: Makes the connection of a name, a socket and the time.
Connect = Callable[[str, socket.socket, float], Connection]


class Clients:
    """The listening socket, and the connections that came of it and are open."""

    def __init__(
        self, *, loop: Loop, log: Callable[[str], None], trap: Trap, connect: Connect
    ) -> None:
        #: When accept is tried again; None unless it has failed.
        self.accept_again_at: float | None = None
        #: How many have ever been accepted.
        self.count = 0
        self._loop = loop
        self._log = log
        self._trap = trap
        self._connect = connect
        self._listener: Listener | None = None
        self._connections: dict[Connection, None] = {}
        self._back_off_s = 0.0

    def __iter__(self) -> Iterator[Connection]:
        """Those that there are now, in their order; they may be closed meanwhile."""
        return iter(list(self._connections))

    def listen(self, listener: Listener) -> None:
        """Accept from *listener* from now on."""
        self._listener = listener
        self._watch()

    def accept_the_last(self, now: float) -> None:
        """Remove the socket file, and accept all who wait: nobody can come to them any more.

        The other way round, whoever came in between would find the connection broken.
        """
        self.remove_file()
        self.accept(now, most=WAITING_MAX)

    def remove_file(self) -> None:
        """Remove the socket file, if there is one that is ours."""
        if self._listener is not None and (error := self._listener.remove_file()) is not None:
            self._log(f"cannot remove {self._listener.path}: {error}")

    def stop_listening(self) -> None:
        """Remove the socket file and stop listening."""
        if self._listener is None:
            return
        self.remove_file()
        one, self._listener = self._listener, None
        self.accept_again_at = None
        self._loop.unwatch(one.socket.fileno())
        close_socket(one.socket)

    def let_go(self) -> None:
        """In a child: close all of it, which is the service's."""
        if self._listener is not None:
            close_socket(self._listener.socket)
        for connection in self._connections:
            close_socket(connection.socket)

    def look_at_the_time(self, now: float) -> None:
        """Do what is due, and forget who has gone."""
        if self.accept_again_at is not None and self.accept_again_at <= now:
            self.accept_again_at = None
            self._watch()
        for connection in self:
            if connection.deadline is not None and connection.deadline <= now:
                try:
                    connection.time_up(now)
                except Exception as error:
                    self._trap(connection.happened, error)
            if connection.is_closed:
                del self._connections[connection]

    def _watch(self) -> None:
        if self._listener is not None:
            self._loop.watch(self._listener.socket.fileno(), READABLE, self.can_accept)

    def can_accept(self, events: int, now: float) -> None:
        """Clients are waiting."""
        self.accept(now)

    def accept(self, now: float, most: int = _ACCEPTED_MAX) -> None:
        """Accept those who wait, at *most* so many. When that fails, leave it alone for a while: no
        spinning."""
        if self._listener is None:
            return
        try:
            for _ in range(most):
                if not self.accept_one(now):
                    break
        except OSError as error:
            shortest, longest = _BACK_OFF_S
            self._back_off_s = min(max(2 * self._back_off_s, shortest), longest)
            self.accept_again_at = now + self._back_off_s
            self._loop.unwatch(self._listener.socket.fileno())
            self._log(f"accept: {error}; again in {self._back_off_s:.2f} s")
        else:
            self._back_off_s = 0.0

    def accept_one(self, now: float) -> bool:
        """Accept a client; whether there may be more. OSError when accept itself cannot work."""
        assert self._listener is not None
        try:
            sock, _ = self._listener.socket.accept()
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in _CLIENT_GONE:
                return True
            raise
        try:
            sock.setblocking(False)
        except OSError as error:
            self._log(f"a new client cannot be served: {error}")
            close_socket(sock)
            return True
        self.count += 1
        self._connections[self._connect(f"client {self.count}", sock, now)] = None
        return True
