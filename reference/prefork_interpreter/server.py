"""The server: it accepts calls, forks a monitor for each, and ends when it is of no more use.

It never talks with a caller, so none can hold it up.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import time

from reference.prefork_interpreter import reload
from reference.prefork_interpreter.log import Log
from reference.prefork_interpreter.monitor import FAILED, WAIT_MAX_S, Monitor
from reference.prefork_interpreter.names import Identity, Names, close_descriptor
from reference.prefork_interpreter.options import Options
from reference.prefork_interpreter.states import Event, State, after

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import NoReturn

    from reference.prefork_interpreter.executor import Handlers

#: How long accepting is left alone after it failed, in seconds.
_BACK_OFF_S = 0.05
#: How often to look for the end of a monitor that cannot be watched, in seconds.
_LOOK_S = 1.0
#: The most of the watcher's last words that is read, in bytes.
_WORDS_MAX = 2048

_HEARD = {
    State.SERVER_SERVING: select.EPOLLIN,
    State.SERVER_FULL: select.EPOLLIN | select.EPOLLET,
}

#: Errors of accept that concern one caller, who is gone.
_CALLER_GONE = frozenset({errno.ECONNABORTED, errno.EINTR, errno.EPROTO})


class Server:
    """A server on *listener*. `run` returns in executors only.

    *watch_err* is where the watcher's end is seen, *watch_in* what it sees ours by. *paths* are
    the program's files, out of date when newer than *started_ns*.
    """

    monitor_type: type[Monitor] = Monitor

    def __init__(
        self,
        *,
        listener: socket.socket,
        watch_in: int,
        watch_err: int,
        options: Options,
        paths: Iterable[str],
        started_ns: int,
        names: Names,
        identity: Identity | None,
        log: Log,
        handlers: Handlers,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.state = State.SERVER_SERVING
        self.options = options
        self.log = log
        self.listener = listener
        self._watch_in = watch_in
        self._watch_err = watch_err
        self._paths = tuple(paths)
        self._started_ns = started_ns
        self._names = names
        self._identity = identity
        self._handlers = handlers
        self._clock = clock
        self._epoll = select.epoll()
        self._heard = 0
        #: The monitors that run, each with a descriptor that tells its end, if there is one.
        self._monitors: dict[int, int | None] = {}
        self._error_count = 0
        self._idle_since = clock()

    def run(self, call: socket.socket) -> None:
        """All of the server's life, or the beginning of an executor's; *call* is the first one."""
        is_executor = False
        status = FAILED
        try:
            os.setsid()
            is_executor = self.begin_call(call) or self.serve()
            status = 0
        except Exception as error:
            self.log.error(f"server: {type(error).__name__}: {error}")
        finally:
            # Whatever was raised: nothing of the server goes on in the script's code.
            if not is_executor:
                self.leave(status)

    def leave(self, status: int) -> NoReturn:
        """The only way out: no exit handler and no `finally` of the script is run."""
        os._exit(status)

    def serve(self) -> bool:
        """Serve until there is no use in it. Whether this has become an executor."""
        if not self._monitors:
            return False  # the first one could not be forked, and the log has said so
        self.leave_standard_streams()
        self._epoll.register(self._watch_err, select.EPOLLIN)
        self._epoll.register(self.listener, self._heard)
        while self.state is not State.SERVER_ENDED:
            if self.turn():
                return True
        return False

    def leave_standard_streams(self) -> None:
        """Put 0, 1 and 2 on /dev/null; they were the first caller's."""
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for number in range(3):
            os.dup2(null, number)
        close_descriptor(null)
        self.log.leave_standard_error()

    # One turn of the loop

    def turn(self) -> bool:
        """Wait for something to happen, and handle it. Whether this has become an executor."""
        self.choose_what_to_hear()
        ready = self.wait()
        self.reap()
        if self._watch_err in ready:
            self.read_watcher()
            return False
        is_called = self.listener.fileno() in ready
        if is_called:
            self.look_at_the_program()
        if self.state is State.SERVER_BACKING_OFF:
            self.state = after(self.state, Event.AGAIN)
        elif self.state is State.SERVER_SERVING and is_called:
            return self.accept()
        self.look_at_the_time()
        return False

    def choose_what_to_hear(self) -> None:
        """Hear of calls as long as they wait; when full, of each once, when it comes: it may be the
        first after the program has changed. Otherwise there would be no waiting."""
        heard = _HEARD.get(self.state, 0)
        if heard != self._heard:
            self._heard = heard
            self._epoll.modify(self.listener, heard)

    def wait(self) -> list[int]:
        """The descriptors at which something has happened."""
        timeout_s: float | None = None
        if self.state is State.SERVER_BACKING_OFF:
            timeout_s = _BACK_OFF_S
        elif None in self._monitors.values():
            timeout_s = _LOOK_S
        elif not self._monitors and self.options.idle_timeout_s is not None:
            timeout_s = self._idle_since + self.options.idle_timeout_s - self._clock()
            timeout_s = min(max(timeout_s, 0.0), WAIT_MAX_S)
        return [descriptor for descriptor, _ in self._epoll.poll(timeout_s)]

    def reap(self) -> None:
        """Learn of the monitors that have ended."""
        while self._monitors:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            self.forget(pid)
            self._idle_since = self._clock()
            if status not in (0, signal.SIGPIPE):
                self.log.warning(f"monitor {pid} ended with wait status {status}")
            self.state = after(self.state, Event.REAPED)

    def forget(self, pid: int) -> None:
        """A monitor has gone."""
        watch = self._monitors.pop(pid, None)
        if watch is not None:
            self._epoll.unregister(watch)
            close_descriptor(watch)

    def read_watcher(self) -> None:
        """The watcher says that the socket is no more, by ending, or that it failed, in words."""
        try:
            words = os.read(self._watch_err, _WORDS_MAX)
        except BlockingIOError:
            return
        if words:
            self.log.error(f"watcher: {words.decode('utf-8', 'backslashreplace').strip()}")
        else:
            self.log.information("the socket was removed or replaced; ending")
        self.state = after(self.state, Event.STOPPED)

    def look_at_the_program(self) -> None:
        """End when a file is newer than the process: the caller then starts another server. So it
        is when one cannot be looked at."""
        try:
            path = reload.newer(self._paths, self._started_ns)
        except OSError as error:
            self.log.error(f"cannot look at {error.filename}: {error.strerror}")
            self.stop("whether the program has changed is not known; ending")
            return
        if path is not None:
            self.stop(f"{path} has changed; ending")

    def look_at_the_time(self) -> None:
        """End when nobody has called for long."""
        limit_s = self.options.idle_timeout_s
        if limit_s is None or self._monitors or self.state is not State.SERVER_SERVING:
            return
        if self._clock() - self._idle_since >= limit_s:
            self.stop("idle; ending")

    def stop(self, why: str) -> None:
        """End in good order: the names go too."""
        self.log.information(why)
        self._names.remove_own(self._identity)
        self.state = after(self.state, Event.STOPPED)

    # Calls

    def accept(self) -> bool:
        """Accept a call, and fork its monitor. Whether this has become an executor."""
        try:
            connection, _ = self.listener.accept()
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in _CALLER_GONE:
                self.accept_failed(f"cannot accept: {error}")
            return False
        return self.begin_call(connection)

    def begin_call(self, connection: socket.socket) -> bool:
        """Fork the monitor of the call on *connection*. Whether this has become its executor."""
        try:
            pid = os.fork()
        except OSError as error:
            connection.close()
            self.accept_failed(f"cannot fork a monitor: {error}")
            return False
        if pid == 0:
            self.become_monitor(connection)
            return True
        connection.close()
        self._error_count = 0
        self._monitors[pid] = self.watch(pid)
        if len(self._monitors) == self.options.max_servers:
            self.state = after(self.state, Event.CALLED)
        return False

    def watch(self, pid: int) -> int | None:
        """A descriptor that tells the end of *pid*; without one it is noticed a little later."""
        try:
            watch = os.pidfd_open(pid)
        except OSError as error:
            self.log.warning(f"cannot watch monitor {pid}: {error}")
            return None
        self._epoll.register(watch, select.EPOLLIN)
        return watch

    def accept_failed(self, why: str) -> None:
        """Leave it alone for a moment; end when it has failed too often in a row."""
        self.log.warning(why)
        self._error_count += 1
        self.state = after(self.state, Event.ACCEPT_FAILED)
        if self._error_count > self.options.max_errors:
            self.stop("too many errors; ending")

    def become_monitor(self, connection: socket.socket) -> None:
        """Let go of all that is the server's, and look after the call; returns in its executor."""
        self.let_go()
        self.monitor_type(
            connection=connection,
            call_timeout_s=self.options.call_timeout_s,
            log=self.log,
            handlers=self._handlers,
            clock=self._clock,
        ).run()

    def let_go(self) -> None:
        """In a monitor: close what is the server's."""
        self._epoll.close()
        self.listener.close()
        watches = [watch for watch in self._monitors.values() if watch is not None]
        for descriptor in (self._watch_in, self._watch_err, *watches):
            close_descriptor(descriptor)
