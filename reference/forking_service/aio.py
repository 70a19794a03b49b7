"""The client for asyncio: a child of the service that has the shape of asyncio.subprocess.Process.

Nothing here blocks the loop. Whoever waits for a stream also learns of the child's end, and of the
service's: then the streams are at their ends.
"""

from __future__ import annotations

import asyncio
import io
import os
import signal
import socket
from collections.abc import Mapping

from reference.forking_service import protocol
from reference.forking_service.client import ForkingServiceError, ServiceNotThere
from reference.forking_service.directory import STREAMS
from reference.forking_service.fifo import read_if_alone
from reference.forking_service.log import close_descriptor
from reference.forking_service.protocol import Exited, Failed, ReplyReader, Started

#: Between two attempts at what cannot be waited for, in seconds.
_STEP_S = 0.001


async def create_forked_process(
    *argv: str,
    path: str,
    env: Mapping[str, str] | None = None,
    timeout: float = 30.0,
    limit: int = 64 * 1024,
) -> ForkedProcess:
    """Run *argv* in a child of the service at the socket *path*, with *env* added to its variables.

    *timeout*, in seconds, is for the child to be there and to have opened its streams; *limit* is
    as of asyncio.StreamReader. ServiceNotThere, or another ForkingServiceError; ValueError for what
    no request can say.
    """
    request = protocol.fork_request(argv, env or {})
    conversation = _Conversation()
    try:
        async with asyncio.timeout(timeout):
            loop = asyncio.get_running_loop()
            connection = await _connect(path)
            await loop.create_unix_connection(lambda: conversation, sock=connection)
            conversation.send(request)
            started = await conversation.started
            return await ForkedProcess.opened(started, conversation, limit)
    except TimeoutError:
        conversation.close()
        raise ForkingServiceError(f"no child of {path} after {timeout} s") from None
    except BaseException:
        conversation.close()
        raise


async def _connect(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        # Not loop.sock_connect: it takes the EAGAIN of a full queue for a connection under way.
        while True:
            try:
                connection.connect(path)
                return connection
            except BlockingIOError:
                await asyncio.sleep(_STEP_S)
    except OSError as error:
        connection.close()
        reason = f"no forking service at {path}: {error.strerror or error}"
        raise ServiceNotThere(reason) from None
    except BaseException:
        connection.close()
        raise


class _Conversation(asyncio.Protocol):
    """The connection to the service: *started* and then *ended*, which is the wait status."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.started: asyncio.Future[Started] = loop.create_future()
        self.ended: asyncio.Future[int] = loop.create_future()
        self._replies = ReplyReader()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def send(self, request: bytes) -> None:
        assert self._transport is not None
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        for reply in self._replies.receive(data):
            match reply:
                case Started() if not self.started.done():
                    self.started.set_result(reply)
                case Failed(message=message) if not self.started.done():
                    self.started.set_exception(ForkingServiceError(message))
                case Exited(status=status) if not self.ended.done():
                    self.ended.set_result(status)
                    self.close()

    def connection_lost(self, error: Exception | None) -> None:
        self.data_received(b"")

    def close(self) -> None:
        self.started.cancel()
        if self._transport is not None:
            self._transport.close()


class ForkedProcess:
    """A child of the service, as asyncio.subprocess.Process would show it; all streams are pipes.

    *returncode* is None while it runs, then its exit status, or -N for signal N; 255 when the
    service has died and nobody knows.
    """

    def __init__(self, started: Started, conversation: _Conversation) -> None:
        self.pid = started.pid
        self._conversation = conversation
        self._pidfd = -1
        self._opened: list[int] = []
        self.stdin: asyncio.StreamWriter
        self.stdout: asyncio.StreamReader
        self.stderr: asyncio.StreamReader

    @classmethod
    async def opened(
        cls, started: Started, conversation: _Conversation, limit: int
    ) -> ForkedProcess:
        """The child that has *started*, with its streams open. ForkingServiceError if not."""
        process = cls(started, conversation)
        try:
            process._open_pidfd()
            await process._open_streams(started.directory, limit)
        except BaseException as error:
            for descriptor in process._opened:
                close_descriptor(descriptor)
            process._close_pidfd()
            if isinstance(error, OSError):
                ended = "" if process.returncode is None else f"; it ended: {process.returncode}"
                why = f"cannot talk to child {process.pid}: {error}{ended}"
                raise ForkingServiceError(why) from None
            raise
        return process

    def __repr__(self) -> str:
        """For a person."""
        return f"<ForkedProcess: pid {self.pid} returncode {self.returncode}>"

    @property
    def returncode(self) -> int | None:
        """None while it runs."""
        ended = self._conversation.ended
        return os.waitstatus_to_exitcode(ended.result()) if ended.done() else None

    def _open_pidfd(self) -> None:
        try:
            self._pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return  # it has died already, which the service will tell
        self._conversation.ended.add_done_callback(lambda _: self._close_pidfd())

    def _close_pidfd(self) -> None:
        descriptor, self._pidfd = self._pidfd, -1
        if descriptor >= 0:
            close_descriptor(descriptor)

    async def _open_streams(self, directory: str, limit: int) -> None:
        stdin, stdout, stderr = (os.path.join(directory, name) for name in STREAMS)
        flags = os.O_NONBLOCK | os.O_CLOEXEC
        self._opened.append(await self._open_stdin(stdin, flags))
        self._opened.append(os.open(stdout, os.O_RDONLY | flags))
        self._opened.append(os.open(stderr, os.O_RDONLY | flags))
        self.stdin = await _writer(self._opened.pop(0))
        self.stdout = await self._reader(self._opened.pop(0), limit)
        self.stderr = await self._reader(self._opened.pop(0), limit)

    async def _open_stdin(self, path: str, flags: int) -> int:
        while True:
            try:
                return os.open(path, os.O_WRONLY | flags)
            except OSError:
                # The child is not there yet, unless it has ended meanwhile.
                if self._conversation.ended.done():
                    raise
            await asyncio.sleep(_STEP_S)

    async def _reader(self, descriptor: int, limit: int) -> asyncio.StreamReader:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=limit, loop=loop)
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader, loop=loop),
            io.FileIO(descriptor, "r"),
        )

        def child_has_ended(_: object) -> None:
            data = None if transport.is_closing() else read_if_alone(descriptor)
            if data:
                reader.feed_data(data)
            elif data is not None:
                transport.close()
                reader.feed_eof()

        self._conversation.ended.add_done_callback(child_has_ended)
        return reader

    async def wait(self) -> int:
        """Wait for the end; the returncode."""
        return os.waitstatus_to_exitcode(await asyncio.shield(self._conversation.ended))

    async def communicate(self, input: bytes | None = None) -> tuple[bytes, bytes]:
        """Write *input*, read all, wait: what it wrote to stdout and to stderr."""
        _, out, err = await asyncio.gather(
            self._feed(input), self.stdout.read(), self.stderr.read()
        )
        await self.wait()
        return out, err

    async def _feed(self, input: bytes | None) -> None:
        try:
            if input:
                self.stdin.write(input)
                await self.stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            pass  # it does not want more, as subprocess has it
        self.stdin.close()

    def send_signal(self, number: int) -> None:
        """Send it. ProcessLookupError when the child has ended, as asyncio's."""
        if self._pidfd < 0 or self._conversation.ended.done():
            raise ProcessLookupError
        signal.pidfd_send_signal(self._pidfd, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


async def _writer(descriptor: int) -> asyncio.StreamWriter:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(loop=loop)
    transport, writing = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(reader, loop=loop),
        io.FileIO(descriptor, "w"),
    )
    return asyncio.StreamWriter(transport, writing, reader, loop)
