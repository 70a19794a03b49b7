"""A monitor: one call, from the greeting to the status of the executor that it forks.

It leads a process group of its own, in which all of the call is, and lives as long as that. It
never touches the listening socket, and never returns into the server.
"""

from __future__ import annotations

import array
import os
import select
import signal
import socket
import time

from reference.prefork_interpreter import executor, protocol
from reference.prefork_interpreter.log import STANDARD_ERROR, Log, write_all
from reference.prefork_interpreter.names import close_descriptor
from reference.prefork_interpreter.protocol import Left, Refused, Request, RequestReader
from reference.prefork_interpreter.states import Event, State, after

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from reference.prefork_interpreter.executor import Handlers

FAILED = 127
#: How many descriptors are taken with one byte; one is right, and too many are to be noticed.
_DESCRIPTORS_MAX = 8
#: No single wait is longer, in seconds: poll(2) takes its timeout in milliseconds, as an int.
WAIT_MAX_S = 86400.0
_ROOM = socket.CMSG_SPACE(_DESCRIPTORS_MAX * array.array("i").itemsize)


class Monitor:
    """The call on *connection*. `run` returns in the executor only."""

    reader_type: type[RequestReader] = RequestReader

    def __init__(
        self,
        *,
        connection: socket.socket,
        call_timeout_s: float,
        log: Log,
        handlers: Handlers,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.connection = connection
        self.log = log
        self._handlers = handlers
        self._clock = clock
        self.reader = self.reader_type(deadline=clock() + call_timeout_s)
        self.state = self.reader.state

    def run(self) -> None:
        """All of the monitor's life, or the beginning of the executor's."""
        is_executor = False
        try:
            os.setpgid(0, 0)
            request = self.receive()
            self.state = self.reader.state
            if not isinstance(request, Request):
                self.leave(self.report(request))
            pid = self.fork()
            is_executor = pid == 0
            if pid:
                self.look_after(pid)
        except Exception as error:
            self.log.error(f"monitor: {type(error).__name__}: {error}")
            self.leave(FAILED)
        finally:
            # Whatever was raised: nothing of the monitor goes on in the script's code.
            if not is_executor:
                self.leave(FAILED)
        self.become_executor(request)

    def leave(self, status: int) -> NoReturn:
        """The only way out: no exit handler and no `finally` of the script is run."""
        os._exit(status)

    def receive(self) -> Request | Refused | Left:
        """Greet, and read the request. OSError when the connection fails, but not when it ends."""
        try:
            self.connection.sendall(protocol.GREETING, socket.MSG_NOSIGNAL)
        except (BrokenPipeError, ConnectionResetError):
            return Left()
        while True:
            request = self.receive_piece()
            if request is not None:
                return request

    def receive_piece(self) -> Request | Refused | Left | None:
        """Read what is there, as far as it may be read at once; wait when nothing is."""
        flags = socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
        try:
            data, control, got, _ = self.connection.recvmsg(self.reader.wanted, _ROOM, flags)
        except BlockingIOError:
            return self.wait_for_more()
        except ConnectionResetError:
            data, control, got = b"", [], 0
        is_cut = bool(got & socket.MSG_CTRUNC)
        now = self._clock()
        return self.reader.receive(data, descriptors_in(control), now, is_cut=is_cut)

    def wait_for_more(self) -> Refused | None:
        """Wait until there is more to read; the refusal when that takes too long."""
        poll = select.poll()
        poll.register(self.connection, select.POLLIN)
        wait_s = min(self.reader.deadline - self._clock(), WAIT_MAX_S)
        if poll.poll(max(0, int(wait_s * 1000) + 1)):
            return None
        return self.reader.expire(self._clock())

    def report(self, ended: Refused | Left) -> int:
        """Close what has come, and say what was wrong with it; the exit status."""
        for descriptor in self.reader.descriptors:
            close_descriptor(descriptor)
        if isinstance(ended, Left):
            return 0
        self.log.error(f"call refused: {ended.why}")
        return FAILED

    def fork(self) -> int:
        """Fork the executor. SIGINT ends it from its first moment, and never the monitor."""
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            pid = os.fork()
            if pid:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
            return pid
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask - {signal.SIGINT})

    def become_executor(self, request: Request) -> None:
        """Hand the process over to the script."""
        try:
            descriptors = self.reader.descriptors
            self.connection.close()
            executor.take_over(request, descriptors, self._handlers)
        except Exception as error:
            # To the caller: by now that is the one who is concerned.
            text = f"{self.log.name}: prefork: executor: {type(error).__name__}: {error}\n"
            write_all(STANDARD_ERROR, text)
            self.leave(FAILED)

    # While the executor runs

    def look_after(self, pid: int) -> NoReturn:
        """Wait for the end of the executor or of the caller; end what is left; send the status."""
        for descriptor in self.reader.descriptors:
            close_descriptor(descriptor)
        try:
            self.state = after(self.state, self.wait_for_an_end(pid))
        except OSError as error:
            # Nobody could tell when it ends: better no call than one that is not looked after.
            os.kill(pid, signal.SIGKILL)
            self.reap(pid)
            self.log.error(f"cannot watch the executor: {error}")
            self.leave(FAILED)
        self.interrupt_group()
        status = self.reap(pid)
        self.state = after(self.state, Event.EXECUTOR_ENDED)
        assert self.state is State.MONITOR_ENDED
        self.send_status(status)
        self.leave(0)

    def wait_for_an_end(self, pid: int) -> Event:
        """Whose end it was. OSError when the executor cannot be watched.

        The process itself is watched, not a pipe that it holds: that is closed before it has
        exited, and the SIGINT that follows would change the status of one on its way out.
        """
        watch = os.pidfd_open(pid)
        try:
            poll = select.poll()
            poll.register(watch, select.POLLIN)
            poll.register(self.connection, select.POLLIN)
            ready = [descriptor for descriptor, _ in poll.poll()]
            return Event.EXECUTOR_ENDED if watch in ready else Event.CALLER_LEFT
        finally:
            close_descriptor(watch)

    def interrupt_group(self) -> None:
        """End what is left of the call: all that runs in the monitor's process group."""
        os.kill(0, signal.SIGINT)

    def reap(self, pid: int) -> int:
        """The wait status of the executor, once it has ended."""
        return os.waitpid(pid, 0)[1]

    def send_status(self, status: int) -> None:
        """Tell the caller, if it is still there."""
        try:
            self.connection.sendall(protocol.encode_status(status), socket.MSG_NOSIGNAL)
        except (BrokenPipeError, ConnectionResetError):
            pass


def descriptors_in(control: Sequence[tuple[int, int, bytes]]) -> list[int]:
    """The descriptors that came with a message (unix(7), SCM_RIGHTS)."""
    found = array.array("i")
    for level, kind, data in control:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
    return list(found)
