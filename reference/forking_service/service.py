"""The service: one poll loop that accepts, reads, forks, learns of ends and reports them.

It never blocks on a client or a child, installs no signal handler (server.py does), and starts no
thread. What goes wrong with one request is logged and ends that request.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import time
import traceback
from collections.abc import Callable, Mapping

from reference.forking_service import children, commands, directory, listener, protocol
from reference.forking_service.child import ChildLife
from reference.forking_service.children import Child, Children
from reference.forking_service.clients import Clients
from reference.forking_service.commands import Command
from reference.forking_service.connection import Connection
from reference.forking_service.listener import StartError, close_socket
from reference.forking_service.log import Log, close_descriptor
from reference.forking_service.loop import READABLE, Handler, Loop
from reference.forking_service.options import INTERRUPTED_S, KILLED_S, Options
from reference.forking_service.peer import peer_of
from reference.forking_service.start import say_listening
from reference.forking_service.states import Event, State, after

#: How often a wake-up is tried: without it a stop would not be noticed.
_TRIES = 3


class ForkingService:
    """A service at *options.path*. `run` is all of its life; `stop` ends it, from any thread.

    To be run in a thread or as a process. *announce* is called with the path when clients may come;
    what it raises ends the start. What is meant to be replaced by a subclass: the classes
    below, and every method, each of which does one thing.
    """

    reader_type: type[protocol.RequestReader] = protocol.RequestReader
    connection_type: type[Connection] = Connection
    loop_type: type[Loop] = Loop
    life_type: type[ChildLife] = ChildLife

    def __init__(
        self,
        options: Options,
        *,
        commands: Mapping[str, Command] = commands.SHIPPED,
        log: Log | None = None,
        clock: Callable[[], float] = time.monotonic,
        announce: Callable[[str], None] = say_listening,
    ) -> None:
        self.options = options
        self.announce = announce
        self.state = State.SERVICE_SERVING
        self.connect_timeout_s = options.connect_timeout_s
        self._commands = commands
        self._log = log or Log()
        self._clock = clock
        self._loop = self.loop_type(clock=clock, trap=self.trapped)
        self._clients = Clients(
            loop=self._loop,
            log=self.log,
            trap=self.trapped,
            connect=self.make_connection,
        )
        self._children = Children(
            loop=self._loop,
            clock=clock,
            prepare_timeout_s=options.prepare_timeout_s,
            log=self.log,
            ready=self.child_is_ready,
            ended=self.report_end,
        )
        self._paths = directory.names(options.directory)
        self._wake_pipe: tuple[int, int] | None = None
        self._is_stop_asked = False
        self._is_stop_now_asked = False
        self._deadline: float | None = None
        self._started_at = clock()

    # Life

    def run(self) -> int:
        """Start, serve until told to stop, leave nothing behind. The exit status: 0.

        StartError when it cannot start; then nothing is left either.
        """
        self.start()
        try:
            self.serve_until_stopped()
        finally:
            self.finish()
        return 0

    def start(self) -> None:
        """Listen, and say so. StartError when that cannot be."""
        try:
            # Before the socket: a predecessor that is still stopping keeps what is its own.
            directory.remove_stale(self.options.directory, self.log)
            self._wake_pipe = self.make_wake_pipe()
            self._clients.listen(listener.listen(self.options.path, self.options.perms))
            self.announce(self.options.path)
        except OSError as error:
            self.finish()
            raise StartError(f"cannot start: {error}") from None
        except StartError:
            self.finish()
            raise
        self._loop.watch(self._wake_pipe[0], READABLE, self.woken)

    def serve_until_stopped(self) -> None:
        """Turn after turn."""
        now = self._clock()
        while True:
            try:
                self.look_at_the_time(now)
                self.look_at_the_stop(now)
            except Exception as error:
                self.trapped(self.look_at_the_time, error)
            if self.state is State.SERVICE_ENDED:
                return
            now = self._loop.turn(self.next_deadline())

    def stop(self, now: bool = False) -> None:
        """End the service: in good order, or *now*, without waiting for children.

        Can be called from any thread and from a signal handler, any number of times.
        """
        self._is_stop_asked = True
        self._is_stop_now_asked = self._is_stop_now_asked or now
        if self._wake_pipe is not None:
            for _ in range(_TRIES):
                try:
                    os.write(self._wake_pipe[1], b"s")
                except OSError:
                    continue
                break

    def finish(self) -> None:
        """Close all there is, and remove what could not be removed earlier."""
        self._clients.stop_listening()
        for connection in self._clients:
            connection.close()
        for child in self._children:
            self._children.send_signal(child, signal.SIGKILL)
            self._children.forget(child)
            self.remove_directory(child.directory)
        if self._wake_pipe is not None:
            pipe, self._wake_pipe = self._wake_pipe, None
            self._loop.unwatch(pipe[0])
            for descriptor in pipe:
                close_descriptor(descriptor)
        if self.state is not State.SERVICE_SERVING:
            directory.remove_stale(self.options.directory, self.log)

    def log(self, text: str) -> None:
        """Write a line into the log."""
        self._log.line(text)

    def trapped(self, handler: Handler | Callable[..., None], error: Exception) -> None:
        """What one request raised ends that request, and nothing else."""
        owner = getattr(handler, "__self__", None)
        name = owner.name if isinstance(owner, Connection | Child) else "service"
        self.log(f"{name}: {type(error).__name__}: {error}")
        if not isinstance(error, OSError):
            self.log("".join(traceback.format_exception(error)).replace("\n", " | "))
        if isinstance(owner, Connection):
            owner.close()

    # The loop's duties beside its descriptors

    def next_deadline(self) -> float | None:
        """When something is to be done although nothing happens."""
        times = [one.deadline for one in (*self._clients, *self._children)]
        times += [self._deadline, self._clients.accept_again_at]
        return min((one for one in times if one is not None), default=None)

    def look_at_the_time(self, now: float) -> None:
        """Do what is due."""
        self._clients.look_at_the_time(now)
        self._children.look_at_the_time(now)

    def look_at_the_stop(self, now: float) -> None:
        """Go on with stopping, when that was asked for."""
        if self._is_stop_asked and self.state is State.SERVICE_SERVING:
            self.begin_stop(now)
        if self._is_stop_now_asked and self.state is not State.SERVICE_KILLING:
            self._go(Event.STOP_NOW, now)
        if self.state is State.SERVICE_SERVING:
            return
        if not len(self._children) and not any(one.is_replying for one in self._clients):
            self._go(Event.ALL_DONE, now)
        elif self._deadline is not None and self._deadline <= now:
            self._go(Event.TIME_UP, now)

    def begin_stop(self, now: float) -> None:
        """Stop listening, so that a successor can start, and tell those who are still asking."""
        self._go(Event.STOP, now)
        self.log(f"stopping; waiting for {len(self._children)} children")
        self._clients.accept_the_last(now)
        self._clients.stop_listening()
        for connection in self._clients:
            if connection.state is State.CONNECTION_READING:
                self._answer(connection, protocol.failure("the service is stopping"), now)

    def _go(self, event: Event, now: float) -> None:
        before, self.state = self.state, after(self.state, event)
        if self.state is before:
            return
        match self.state:
            case State.SERVICE_WAITING:
                self._deadline = now + self.options.children_timeout_s
            case State.SERVICE_INTERRUPTING:
                self._deadline = now + INTERRUPTED_S
                self.send_signal(signal.SIGINT)
            case State.SERVICE_KILLING:
                self._deadline = now + KILLED_S
                self.send_signal(signal.SIGKILL)
            case _:
                self._deadline = None

    def send_signal(self, number: signal.Signals) -> None:
        """Send it to every child."""
        for child in self._children:
            self.log(f"{child.name}: still there; sending {number.name}")
            self._children.send_signal(child, number)

    def make_wake_pipe(self) -> tuple[int, int]:
        """A pipe through which `stop` is noticed while poll waits. OSError if none can be."""
        pipe = os.pipe()
        try:
            for descriptor in pipe:
                os.set_blocking(descriptor, False)
        except OSError:
            for descriptor in pipe:
                close_descriptor(descriptor)
            raise
        return pipe

    def woken(self, events: int, now: float) -> None:
        """Someone has called `stop`; what that means is looked at after each turn."""
        assert self._wake_pipe is not None
        try:
            os.read(self._wake_pipe[0], 4096)
        except OSError:
            pass  # then it is there in the next turn too

    # Requests

    def make_connection(self, name: str, sock: socket.socket, now: float) -> Connection:
        """The client behind *sock*."""
        patience_s = self.options.request_timeout_s
        return self.connection_type(
            name=name,
            sock=sock,
            reader=self.reader_type(deadline=now + patience_s),
            loop=self._loop,
            # Longer than a request may take: a reply is owed, and its reader may be busy.
            patience_s=max(patience_s, 1.0),
            serve=self.serve_request,
            log=self.log,
        )

    def serve_request(self, connection: Connection, request: protocol.Request) -> None:
        """Serve what *connection* has asked for, if that client may ask."""
        if not self.is_allowed(connection):
            return
        match request:
            case protocol.Hello():
                self.log_information()
                connection.answer(protocol.HELLO_REPLY)
            case protocol.Quit():
                self._is_stop_asked = True
                connection.answer(protocol.QUIT_REPLY)
            case protocol.SetConnectTimeout(seconds=seconds):
                self.connect_timeout_s = float(seconds)
                connection.answer(protocol.OK_REPLY)
            case protocol.Fork():
                self.fork_child(connection, request)

    def is_allowed(self, connection: Connection) -> bool:
        """Whether its client may ask; one that may not is told so."""
        if self.options.allowed.is_empty:
            return True
        peer = peer_of(connection.socket)
        if self.options.allowed.admits(peer):
            return True
        self.log(f"{connection.name}: not allowed: {peer}")
        connection.answer(protocol.failure(f"not allowed: uid {peer.uid}, gid {peer.gid}"))
        return False

    def log_information(self) -> None:
        """What an administrator may want to know."""
        own = resource.getrusage(resource.RUSAGE_SELF)
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.log(
            f"up {self._clock() - self._started_at:.0f} s; "
            f"children: {len(self._children)} running, {self._children.count} spawned; "
            f"own: {own.ru_utime:.2f} s user, {own.ru_stime:.2f} s system, {own.ru_maxrss} KiB; "
            f"ended children: {ended.ru_utime:.2f} s user, {ended.ru_stime:.2f} s system, "
            f"{ended.ru_maxrss} KiB"
        )

    def _answer(self, connection: Connection, reply: bytes, now: float) -> None:
        """The last reply, to someone who may have gone, or may read nothing, in the meantime."""
        try:
            connection.answer(reply, now + max(self.options.request_timeout_s, 1.0))
        except OSError as error:
            self.trapped(connection.happened, error)

    # Children

    def fork_child(self, connection: Connection, request: protocol.Fork) -> None:
        """Fork a child for *connection*, or tell it why not, with nothing left behind."""
        limit = self.options.children_max
        if limit and len(self._children) >= limit:
            connection.answer(protocol.failure(f"too many children: {limit} are running"))
            return
        try:
            made = directory.make(self._paths)
        except OSError as error:
            self.fork_failed(connection, f"cannot make the FIFOs: {error}")
            return
        try:
            child = self.begin_child(connection, request, made)
        except OSError as error:
            self.fork_failed(connection, f"cannot fork: {error}", made)
            return
        self.log(f"{connection.name}: {child.name}: {request.argv!r}")
        connection.forked()

    def fork_failed(
        self, connection: Connection, why: str, made: directory.ChildDirectory | None = None
    ) -> None:
        """Nothing came of the request: remove what was made for it, and say why."""
        if made is not None:
            self.remove_directory(made)
        self.log(f"{connection.name}: {why}")
        connection.answer(protocol.failure(why))

    def remove_directory(self, made: directory.ChildDirectory) -> None:
        """Remove what may be left of a child's directory, and let go of it."""
        if (error := directory.remove(made.path)) is not None:
            self.log(f"cannot remove {made.path}: {error}")
        made.unlock()

    def begin_child(
        self, connection: Connection, request: protocol.Fork, made: directory.ChildDirectory
    ) -> Child:
        """Fork the child and watch it. OSError when that cannot be; then there is none."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            ours.setblocking(False)
            children.flush_standard_streams()
            # A signal between the fork and the child's own handlers would be the service's.
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            try:
                pid = self.fork()
                if pid == 0:
                    self.live_as_child(request, made, theirs, ours)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            return self._children.add(pid=pid, channel=ours, directory=made, connection=connection)
        except OSError:
            close_socket(ours)
            raise
        finally:
            close_socket(theirs)

    def fork(self) -> int:
        """As os.fork."""
        return os.fork()

    def live_as_child(
        self,
        request: protocol.Fork,
        made: directory.ChildDirectory,
        theirs: socket.socket,
        ours: socket.socket,
    ) -> None:
        """The child's whole life. It does not return."""

        def let_go() -> None:
            close_socket(ours)
            made.unlock()
            self.let_go()

        try:
            self.life_type(
                request=request,
                path=made.path,
                channel=theirs,
                let_go=let_go,
                commands=self._commands,
                log=self._log,
            ).live()
        finally:
            os._exit(1)

    def let_go(self) -> None:
        """In a child: close all descriptors that are the service's."""
        self._clients.let_go()
        for child in self._children:
            child.let_go()
        for descriptor in self._wake_pipe or ():
            close_descriptor(descriptor)

    def child_is_ready(self, child: Child, now: float) -> bool:
        """Tell the client; whether there is one still."""
        child.deadline = now + self.connect_timeout_s
        if child.connection.is_closed:
            return False
        try:
            child.connection.send(protocol.ready_reply(child.pid, child.directory.path))
        except OSError as error:
            self.trapped(child.connection.happened, error)
            return False
        return True

    def report_end(self, child: Child, status: int, now: float) -> None:
        """*child* was reaped: remove what it has left, and only then tell its client."""
        self.log(f"{child.name}: ended with status {status}")
        self.remove_directory(child.directory)
        self.tell_end(child, status, now)

    def tell_end(self, child: Child, status: int, now: float) -> None:
        """Tell the client, if it has not gone: the status, or that the child was never ready."""
        if child.was_ready:
            self._answer(child.connection, protocol.exited_reply(status), now)
        else:
            self._answer(child.connection, protocol.died_early_reply(status), now)
