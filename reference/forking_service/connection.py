"""One client of the service: its request read, its replies sent, its connection closed.

Nothing here ever waits: what cannot be sent now is sent when the client has made room, or is
dropped when it does not in time.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Callable

from reference.forking_service.listener import close_socket
from reference.forking_service.loop import BROKEN, READABLE, WRITABLE, Loop
from reference.forking_service.protocol import Left, Refused, Request, RequestReader
from reference.forking_service.states import Event, State, after

_PIECE = 64 * 1024
#: How many pieces are thrown away at most before a connection is closed.
_PIECES = 16


class Connection:
    """A client, from accept to close. *serve* is called once, with its request."""

    def __init__(
        self,
        *,
        name: str,
        sock: socket.socket,
        reader: RequestReader,
        loop: Loop,
        patience_s: float,
        serve: Callable[[Connection, Request], None],
        log: Callable[[str], None],
    ) -> None:
        self.name = name
        self.state = State.CONNECTION_READING
        #: When the present state must be over; None for as long as it takes.
        self.deadline: float | None = reader.deadline
        self.socket = sock
        self._reader = reader
        self._loop = loop
        self._patience_s = patience_s
        self._serve = serve
        self._log = log
        self._unsent = bytearray()
        self._is_early = False
        loop.watch(sock.fileno(), READABLE, self.happened)

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self.state is State.CONNECTION_CLOSED

    @property
    def is_replying(self) -> bool:
        """Whether its last reply is on its way."""
        return self.state is State.CONNECTION_ANSWERED

    def happened(self, events: int, now: float) -> None:
        """What poll says of the socket. OSError when the client cannot be talked with."""
        if self.state is State.CONNECTION_READING:
            self.receive(now)
        elif self.state is State.CONNECTION_LINGERING:
            self._linger()
        elif events & BROKEN:
            self._log(f"{self.name}: went away")
            self.close()
        elif events & WRITABLE:
            self._send_unsent()

    def receive(self, now: float) -> None:
        """Read what is there; serve the request when it is complete.

        What is there is in time, or was, before the service had so much to do that it comes late.
        """
        try:
            data = self.socket.recv(_PIECE)
        except BlockingIOError:
            return
        in_time = min(now, math.nextafter(self._reader.deadline, -math.inf))
        request = self._reader.receive(data, in_time) if data else self._reader.end(in_time)
        self._take(request, now)

    def time_up(self, now: float) -> None:
        """The deadline has passed."""
        if self.state is State.CONNECTION_READING:
            self.receive(now)
            if self.state is State.CONNECTION_READING:
                self._take(self._reader.expire(now), now)
        else:
            if self._unsent:
                self._log(f"{self.name}: did not read {len(self._unsent)} bytes of its reply")
            self.close()

    def _take(self, request: Request | None, now: float) -> None:
        if request is None:
            return
        # For the rest of its life: whatever is sent and not taken in this time is dropped.
        self.deadline = now + self._patience_s
        if isinstance(request, Left):
            self._log(f"{self.name}: left without a request")
            self.close()
        elif isinstance(request, Refused):
            self._log(f"{self.name}: {request.reply[:200]!r}")
            self._is_early = request.early
            self.answer(request.reply)
        else:
            self._serve(self, request)

    def forked(self) -> None:
        """There is a child now; this client waits for it as long as it takes."""
        self.state = after(self.state, Event.FORKED)
        self.deadline = None
        self._watch()

    def send(self, reply: bytes) -> None:
        """Send *reply*, with more to come. OSError when the client cannot be talked with."""
        self._unsent += reply
        self._send_unsent()

    def answer(self, reply: bytes, deadline: float | None = None) -> None:
        """Send the last *reply*, then close; drop it at *deadline*, or at the one there is."""
        if self.is_closed:
            return
        self.state = after(self.state, Event.ANSWERED)
        if deadline is not None:
            self.deadline = deadline
        self.send(reply)

    def _send_unsent(self) -> None:
        try:
            while self._unsent:
                count = self.socket.send(self._unsent, socket.MSG_NOSIGNAL)
                del self._unsent[:count]
        except BlockingIOError:
            pass
        if self.is_replying and not self._unsent:
            self._sent()
        else:
            self._watch()

    def _sent(self) -> None:
        if self._is_early:
            # Closed now, the client would be told that its connection broke, not what was wrong.
            self.state = after(self.state, Event.SENT_EARLY)
            self.socket.shutdown(socket.SHUT_WR)
            self._watch()
            return
        self._discard()
        self._end(Event.SENT)

    def _linger(self) -> None:
        if self._discard():
            self.close()

    def _discard(self) -> bool:
        """Throw away what has come: with that unread, close would break the connection instead of
        ending it. Whether the client has ended its side."""
        try:
            for _ in range(_PIECES):
                if not self.socket.recv(_PIECE):
                    return True
        except BlockingIOError:
            return False
        except OSError:
            return True
        return False

    def _watch(self) -> None:
        events = WRITABLE if self._unsent else 0
        if self.state in (State.CONNECTION_READING, State.CONNECTION_LINGERING):
            events |= READABLE
        self._loop.watch(self.socket.fileno(), events, self.happened)

    def close(self) -> None:
        """Close it, in whatever state. What was not sent is dropped."""
        self._end(Event.CLOSED)

    def _end(self, event: Event) -> None:
        was_open = not self.is_closed
        self.state = after(self.state, event)
        self.deadline = None
        if was_open:
            self._loop.unwatch(self.socket.fileno())
            close_socket(self.socket)
