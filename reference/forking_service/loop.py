"""The poll loop: descriptors, and who is called when something happens to them.

It knows nothing of the service. A handler that is removed while a turn lasts is not called any more
in that turn, even when its descriptor's number has come to another.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable

#: Called with poll(2)'s events and the time.
Handler = Callable[[int, float], None]
#: Called with what a handler raised.
Trap = Callable[[Handler, Exception], None]

READABLE = select.POLLIN
WRITABLE = select.POLLOUT
BROKEN = select.POLLHUP | select.POLLERR | select.POLLNVAL

#: No single wait is longer, in seconds: poll(2) takes its timeout in milliseconds, as an int.
_WAIT_MAX_S = 86400.0
#: How long to wait, in seconds, when poll itself fails.
_FAILED_S = 0.05


class Loop:
    """What is watched, and one turn of waiting for it."""

    def __init__(self, *, clock: Callable[[], float], trap: Trap) -> None:
        self._clock = clock
        self._trap = trap
        self._poll = select.poll()
        self._handlers: dict[int, Handler] = {}

    def watch(self, descriptor: int, events: int, handler: Handler) -> None:
        """Call *handler* at *events* of *descriptor*, and whenever it breaks. Replaces another."""
        self._poll.register(descriptor, events)
        self._handlers[descriptor] = handler

    def unwatch(self, descriptor: int) -> None:
        """Forget *descriptor*. To be called before it is closed."""
        if self._handlers.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    def turn(self, deadline: float | None) -> float:
        """Wait until *deadline* for something to happen, handle all that has; the time then."""
        happened = self.wait(deadline)
        now = self._clock()
        for descriptor, events, handler in happened:
            if self._handlers.get(descriptor) is handler:
                try:
                    handler(events, now)
                except Exception as error:
                    self._trap(handler, error)
        return now

    def wait(self, deadline: float | None) -> list[tuple[int, int, Handler]]:
        """What has happened: descriptor, events, handler."""
        timeout_ms = None
        if deadline is not None:
            wait_s = min(max(deadline - self._clock(), 0.0), _WAIT_MAX_S)
            # Rounded up, or a turn just before the deadline would be followed by many empty ones.
            timeout_ms = int(wait_s * 1000) + 1 if wait_s else 0
        try:
            happened = self._poll.poll(timeout_ms)
        except OSError:
            # Out of memory, most likely. Nothing is lost: what has happened is still there then.
            nap(_FAILED_S)
            return []
        return [(fd, events, self._handlers[fd]) for fd, events in happened if fd in self._handlers]


def nap(seconds: float) -> None:
    """Sleep for about *seconds*, or not at all."""
    try:
        time.sleep(seconds)
    except OSError:
        pass
