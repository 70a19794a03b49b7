"""The client for Twisted (extra `twisted`): a ProcessProtocol cannot tell a child of the service
from a process that `reactor.spawnProcess` has made.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from twisted.internet import error
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProcessProtocol, IProcessTransport
from twisted.internet.process import ProcessReader, ProcessWriter
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.python import log
from twisted.python.failure import Failure
from zope.interface import implementer

from reference.forking_service import protocol
from reference.forking_service.client import ForkingServiceError, ServiceNotThere
from reference.forking_service.directory import STREAMS
from reference.forking_service.fifo import read_if_alone
from reference.forking_service.log import close_descriptor
from reference.forking_service.protocol import Exited, Failed, ReplyReader, Started

#: Between two attempts to open a FIFO that the child has not come to yet, in seconds.
_STEP_S = 0.001


def spawn_forked_process(
    reactor: Any,
    process_protocol: Any,
    argv: Sequence[str],
    env: Mapping[str, str] | None = None,
    *,
    path: str,
    timeout: float = 30.0,
) -> Deferred[ForkedProcessTransport]:
    """Run *argv* in a child of the service at *path*, for *process_protocol* (IProcessProtocol).

    The Deferred gives the transport when the child is there and `connectionMade` has been called,
    or fails with a ForkingServiceError within *timeout* seconds; the protocol hears nothing then.
    ValueError for what no request can say.
    """
    request = protocol.fork_request(argv, env or {})
    transport = ForkedProcessTransport(reactor, process_protocol, request)
    factory = _Factory(transport, path)
    connector = reactor.connectUNIX(path, factory, timeout=timeout)
    transport.wait(timeout, connector.disconnect)
    return transport.begun


class _Factory(ClientFactory):
    """Makes the one conversation; says when there is none."""

    noisy = False

    def __init__(self, transport: ForkedProcessTransport, path: str) -> None:
        self._transport = transport
        self._path = path

    def buildProtocol(self, address: Any) -> Protocol:
        return _Conversation(self._transport)

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        why = f"no forking service at {self._path}: {reason.getErrorMessage()}"
        self._transport.failed(ServiceNotThere(why))


class _Conversation(Protocol):
    """The connection to the service, for one child."""

    def __init__(self, transport: ForkedProcessTransport) -> None:
        self._transport = transport
        self._replies = ReplyReader()

    def connectionMade(self) -> None:
        self.transport.write(self._transport.request)

    def dataReceived(self, data: bytes) -> None:
        for reply in self._replies.receive(data):
            match reply:
                case Started():
                    self._transport.started(reply)
                case Failed(message=message):
                    self._transport.failed(ForkingServiceError(message))
                case Exited(status=status):
                    self._transport.exited(status)
                    self.transport.loseConnection()

    def connectionLost(self, reason: Failure) -> None:
        self.dataReceived(b"")


@implementer(IProcessTransport)
class ForkedProcessTransport:
    """A child of the service as IProcessTransport: what is not told here is as there."""

    def __init__(self, reactor: Any, process_protocol: Any, request: bytes) -> None:
        self.pid: int | None = None
        self.proto = IProcessProtocol(process_protocol)
        self.request = request
        self.pipes: dict[int, Any] = {}
        self._reactor = reactor
        self.begun: Deferred[ForkedProcessTransport] = Deferred()
        self._is_connected = False
        self._time_out: Any = None
        self._give_up: Callable[[], None] = _nothing
        self._status: int | None = None
        self._has_ended = False
        self._pidfd = -1

    # The beginning

    def wait(self, timeout: float, give_up: Callable[[], None]) -> None:
        """Wait for the child, at most *timeout* seconds; *give_up* ends the connection."""
        self._give_up = give_up
        if not self.begun.called:
            late = ForkingServiceError(f"no child after {timeout} s")
            self._time_out = self._reactor.callLater(timeout, self.failed, late)

    def started(self, reply: Started) -> None:
        """The child is ready."""
        if self.begun.called:
            return
        self.pid = reply.pid
        try:
            self._pidfd = os.pidfd_open(reply.pid)
        except ProcessLookupError:
            pass  # it has died already, which the service will tell
        except OSError as problem:
            self.failed(ForkingServiceError(f"cannot watch the child {reply.pid}: {problem}"))
            return
        self._open_streams(reply.directory)

    def _open_streams(self, directory: str) -> None:
        if self.begun.called:
            return
        flags = os.O_NONBLOCK | os.O_CLOEXEC
        stdin, stdout, stderr = (os.path.join(directory, name) for name in STREAMS)
        opened: list[int] = []
        try:
            opened.append(os.open(stdin, os.O_WRONLY | flags))
            opened.append(os.open(stdout, os.O_RDONLY | flags))
            opened.append(os.open(stderr, os.O_RDONLY | flags))
        except OSError as problem:
            for descriptor in opened:
                close_descriptor(descriptor)
            if opened or self._status is not None:
                self.failed(ForkingServiceError(f"cannot talk to child {self.pid}: {problem}"))
            else:
                # The child is not there yet.
                self._reactor.callLater(_STEP_S, self._open_streams, directory)
            return
        self._connected(opened)

    def _connected(self, opened: Sequence[int]) -> None:
        self._is_connected = True
        self._stop_the_clock()
        self.pipes = {
            0: ProcessWriter(self._reactor, self, 0, opened[0]),
            1: ProcessReader(self._reactor, self, 1, opened[1]),
            2: ProcessReader(self._reactor, self, 2, opened[2]),
        }
        self._call(self.proto.makeConnection, self)
        self.begun.callback(self)
        if self._status is not None:
            self._end(self._status)

    def failed(self, problem: ForkingServiceError) -> None:
        """There is no child to talk with."""
        if not self.begun.called:
            self._stop_the_clock()
            self._close_pidfd()
            self.begun.errback(Failure(problem))
            self._give_up()

    def _stop_the_clock(self) -> None:
        if self._time_out is not None and self._time_out.active():
            self._time_out.cancel()

    # The end

    def exited(self, status: int) -> None:
        """The child has ended with this wait *status*."""
        self._status = status
        if self._is_connected:
            self._end(status)

    def _end(self, status: int) -> None:
        if self._has_ended:
            return
        self._has_ended = True
        self.pid = None
        self._close_pidfd()
        self._call(self.proto.processExited, Failure(_reason_of(status)))
        for number in (1, 2):
            self._end_if_alone(number)
        self._maybe_all_over()

    def _end_if_alone(self, number: int) -> None:
        """Close a FIFO that nobody has ever opened, or will: no reactor tells of its end."""
        if number in self.pipes:
            data = read_if_alone(self.pipes[number].fileno())
            if data:
                self.childDataReceived(number, data)
            elif data is not None:
                self.closeChildFD(number)

    def _maybe_all_over(self) -> None:
        if self._has_ended and not self.pipes and self._status is not None:
            status, self._status = self._status, None
            self._call(self.proto.processEnded, Failure(_reason_of(status)))

    def _close_pidfd(self) -> None:
        descriptor, self._pidfd = self._pidfd, -1
        if descriptor >= 0:
            close_descriptor(descriptor)

    def _call(self, method: Callable[..., object], *words: object) -> None:
        """As Twisted's: what the protocol raises is logged, and the process goes on."""
        try:
            method(*words)
        except Exception:
            log.err()

    # What the pipes say

    def childDataReceived(self, name: int, data: bytes) -> None:
        """*data* has come from stdout or stderr."""
        self.proto.childDataReceived(name, data)

    def childConnectionLost(self, childFD: int, reason: Failure) -> None:
        """One of 0, 1 and 2 is closed, by the child or by us."""
        close_descriptor(self.pipes.pop(childFD).fileno())
        self._call(self.proto.childConnectionLost, childFD)
        self._maybe_all_over()

    # What the protocol says

    def signalProcess(self, signalID: str | int) -> None:
        """Send it, by name (HUP, STOP, INT, KILL, TERM) or number. ProcessExitedAlready."""
        if isinstance(signalID, str):
            signalID = signal.Signals[f"SIG{signalID}"]
        if self.pid is None or self._pidfd < 0:
            raise error.ProcessExitedAlready
        try:
            signal.pidfd_send_signal(self._pidfd, signalID)
        except ProcessLookupError:
            raise error.ProcessExitedAlready from None

    def closeStdin(self) -> None:
        """Let the child read its end, after what was written."""
        self.closeChildFD(0)

    def closeStdout(self) -> None:
        """Read no more of it."""
        self.closeChildFD(1)

    def closeStderr(self) -> None:
        """Read no more of it."""
        self.closeChildFD(2)

    def closeChildFD(self, descriptor: int) -> None:
        """Close one of 0, 1 and 2."""
        if descriptor not in self.pipes:
            return
        pipe = self.pipes[descriptor]
        if descriptor and not self._has_ended and read_if_alone(pipe.fileno()) == b"":
            # A child that has not come to it yet would wait for another reader.
            pipe.stopReading()
            self._reactor.callLater(_STEP_S, self.closeChildFD, descriptor)
        else:
            pipe.loseConnection()

    def loseConnection(self) -> None:
        """Close all three."""
        for number in range(3):
            self.closeChildFD(number)

    def write(self, data: bytes) -> None:
        """Write to stdin, when it can be written."""
        if 0 in self.pipes:
            self.pipes[0].write(data)

    def writeSequence(self, seq: Iterable[bytes]) -> None:
        """Write each of *seq* to stdin."""
        if 0 in self.pipes:
            self.pipes[0].writeSequence(seq)

    def writeToChild(self, childFD: int, data: bytes) -> None:
        """Write to *childFD*, which is 0. KeyError when that is closed."""
        self.pipes[childFD].write(data)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Let *producer* write to stdin; it is stopped when that is closed."""
        if 0 in self.pipes:
            self.pipes[0].registerProducer(producer, streaming)
        else:
            producer.stopProducing()

    def unregisterProducer(self) -> None:
        """The producer is done."""
        if 0 in self.pipes:
            self.pipes[0].unregisterProducer()

    def pauseProducing(self) -> None:
        """Read nothing for now."""
        for number in (1, 2):
            if number in self.pipes:
                self.pipes[number].stopReading()

    def resumeProducing(self) -> None:
        """Read on."""
        for number in (1, 2):
            if number in self.pipes:
                self.pipes[number].startReading()

    def getHost(self) -> Any:
        """There is none."""
        raise NotImplementedError  # as Twisted's

    def getPeer(self) -> Any:
        """There is none."""
        raise NotImplementedError  # as Twisted's


def _nothing() -> None:
    pass


def _reason_of(status: int) -> error.ProcessDone | error.ProcessTerminated:
    code = os.waitstatus_to_exitcode(status)
    if code == 0:
        return error.ProcessDone(status)
    if code > 0:
        return error.ProcessTerminated(code, None, status)
    return error.ProcessTerminated(None, -code, status)
