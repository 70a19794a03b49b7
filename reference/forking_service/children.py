"""The children that the service has forked: watched, timed, signalled and reaped.

A child's end is learned from its pidfd, which becomes readable then: no signal, no interval. How
far it has come, it says over its channel (child.py).
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator

from reference.forking_service import child as life
from reference.forking_service.connection import Connection
from reference.forking_service.directory import ChildDirectory
from reference.forking_service.listener import close_socket
from reference.forking_service.log import close_descriptor
from reference.forking_service.loop import READABLE, Loop
from reference.forking_service.protocol import STATUS_UNKNOWN
from reference.forking_service.states import Event, State, after

#: How often a call is tried that has to work.
_TRIES = 3
#: How often a child is told that nobody came before it is killed, and how far apart, in seconds.
_TOLD_MAX = 2
_TOLD_EVERY_S = 1.0
#: How long a child waits for a client that has ended its connection, in seconds.
_LEFT_S = 1.0


class Child:
    """One child of the service, from fork until it is reaped."""

    def __init__(
        self,
        *,
        pid: int,
        pidfd: int,
        channel: socket.socket,
        directory: ChildDirectory,
        connection: Connection,
        family: Children,
    ) -> None:
        self.name = f"child {pid}"
        self.state = State.CHILD_PREPARING
        self.pid = pid
        self.directory = directory
        self.connection = connection
        #: Whether its client has been told of it.
        self.was_ready = False
        #: When it must have left its present state; None for as long as it takes.
        self.deadline: float | None = None
        self.pidfd = pidfd
        self.channel: socket.socket | None = channel
        self.told_count = 0
        self.failed_count = 0
        self._family = family

    def has_said(self, events: int, now: float) -> None:
        """Its channel can be read."""
        self._family.listen_to(self, now)

    def has_ended(self, events: int, now: float) -> None:
        """Its pidfd can be read."""
        self._family.end(self, now)

    def let_go(self) -> None:
        """In a child that was forked later: close what is the service's of this one."""
        close_descriptor(self.pidfd)
        self.directory.unlock()
        if self.channel is not None:
            close_socket(self.channel)


class Children:
    """All of them.

    *ready* is called when one is ready, and says whether its client is still there; *ended* when
    one was reaped, with its wait status.
    """

    def __init__(
        self,
        *,
        loop: Loop,
        clock: Callable[[], float],
        prepare_timeout_s: float,
        log: Callable[[str], None],
        ready: Callable[[Child, float], bool],
        ended: Callable[[Child, int, float], None],
    ) -> None:
        #: How many there have ever been.
        self.count = 0
        self._loop = loop
        self._clock = clock
        self._prepare_timeout_s = prepare_timeout_s
        self._log = log
        self._ready = ready
        self._ended = ended
        self._children: dict[int, Child] = {}

    def __len__(self) -> int:
        """How many there are now."""
        return len(self._children)

    def __iter__(self) -> Iterator[Child]:
        """Those that there are now; they may be removed meanwhile."""
        return iter(list(self._children.values()))

    def add(
        self,
        *,
        pid: int,
        channel: socket.socket,
        directory: ChildDirectory,
        connection: Connection,
    ) -> Child:
        """Watch the new child *pid*. OSError when that cannot be: then it is dead and reaped."""
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            kill_and_reap(pid, channel)
            raise
        child = Child(
            pid=pid,
            pidfd=pidfd,
            channel=channel,
            directory=directory,
            connection=connection,
            family=self,
        )
        child.deadline = self._clock() + self._prepare_timeout_s
        self.count += 1
        self._children[pid] = child
        self._loop.watch(channel.fileno(), READABLE, child.has_said)
        self._loop.watch(pidfd, READABLE, child.has_ended)
        return child

    def listen_to(self, child: Child, now: float) -> None:
        """Read what *child* says, to the end."""
        while child.channel is not None:
            try:
                said = child.channel.recv(16)
            except BlockingIOError:
                return
            except OSError as error:
                self.cannot_listen_to(child, error)
                return
            if not said:
                self.close_channel(child)
            for number in said:
                self.has_come_to(child, bytes([number]), now)

    def cannot_listen_to(self, child: Child, error: OSError) -> None:
        """Its channel fails. Tried again in the next turn, but not for ever."""
        self._log(f"{child.name}: {error}")
        child.failed_count += 1
        if child.failed_count >= _TRIES:
            self.close_channel(child)
            if child.state is not State.CHILD_RUNNING:
                self.send_signal(child, signal.SIGKILL)

    def has_come_to(self, child: Child, what: bytes, now: float) -> None:
        """*child* says that it is ready, or connected."""
        if what == life.READY:
            child.state = after(child.state, Event.READY)
            child.was_ready = self._ready(child, now)
            if not child.was_ready:
                self._log(f"{child.name}: its client went away before it was ready")
                self.send_signal(child, signal.SIGKILL)
        elif what == life.CONNECTED:
            child.state = after(child.state, Event.CONNECTED)
            child.deadline = None

    def look_at_the_time(self, now: float) -> None:
        """Do what is due."""
        for child in self:
            if child.state is State.CHILD_AWAITED and child.connection.is_closed:
                self.client_has_left(child, now)
            if child.deadline is not None and child.deadline <= now:
                self.listen_to(child, now)
                self.expire_if_due(child, now)

    def client_has_left(self, child: Child, now: float) -> None:
        """Who ended the connection is hardly coming any more; but it may have opened a FIFO."""
        if child.deadline is not None:
            child.deadline = min(child.deadline, now + _LEFT_S)

    def expire_if_due(self, child: Child, now: float) -> None:
        """Whatever *child* has said up to now has been listened to."""
        if child.deadline is not None and child.deadline <= now:
            self.expire(child, now)

    def expire(self, child: Child, now: float) -> None:
        """*child* has been in its state for too long."""
        child.deadline = now + _TOLD_EVERY_S
        if child.state is State.CHILD_AWAITED and child.told_count < _TOLD_MAX:
            # More than once: a signal in the moment before it blocks in open(2) does not wake it.
            child.told_count += 1
            self.send_signal(child, life.NOBODY_CAME)
        else:
            self._log(f"{child.name}: killed: {child.state.value}, for too long")
            self.send_signal(child, signal.SIGKILL)

    def send_signal(self, child: Child, number: signal.Signals) -> None:
        """Send it. A child that has ended does not mind."""
        failed: OSError | None = None
        for _ in range(_TRIES):
            try:
                signal.pidfd_send_signal(child.pidfd, number)
            except ProcessLookupError:
                return
            except OSError as error:
                failed = error
            else:
                return
        self._log(f"{child.name}: cannot send {number.name}: {failed}")

    def end(self, child: Child, now: float) -> None:
        """*child* has ended: reap it, close what there was for it, and say so."""
        self.listen_to(child, now)
        status = self.reap(child)
        if status is not None:
            self.forget(child)
            child.state = after(child.state, Event.DIED)
            self._ended(child, status, now)

    def reap(self, child: Child) -> int | None:
        """Its wait status; STATUS_UNKNOWN when someone else has taken it; None when it lives."""
        failed: OSError | None = None
        for _ in range(_TRIES):
            try:
                pid, status = os.waitpid(child.pid, os.WNOHANG)
            except OSError as error:
                failed = error
            else:
                return status if pid else None
        self._log(f"{child.name}: its status is lost: {failed}")
        return STATUS_UNKNOWN

    def forget(self, child: Child) -> None:
        """Watch it no more. Its directory is not looked at here."""
        self._children.pop(child.pid, None)
        child.deadline = None
        self.close_channel(child)
        self._loop.unwatch(child.pidfd)
        close_descriptor(child.pidfd)

    def close_channel(self, child: Child) -> None:
        """It says nothing more. One that is waiting for its client is killed by that."""
        if child.channel is not None:
            self._loop.unwatch(child.channel.fileno())
            close_socket(child.channel)
            child.channel = None


def kill_and_reap(pid: int, channel: socket.socket) -> None:
    """End a child that is not to live. *channel* is closed: without it, it ends by itself too."""
    close_socket(channel)
    for _ in range(_TRIES):
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            continue
        break
    for _ in range(_TRIES):
        try:
            os.waitpid(pid, 0)
        except OSError:
            continue
        break


def flush_standard_streams() -> None:
    """Before a fork: what a library has printed must be written once, and not to a client."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            pass
