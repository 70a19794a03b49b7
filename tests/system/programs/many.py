"""Services with many clients at once, as functions: what the tests of equal digests run."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time

from harness import Client

SOCKET = "{dir}/socket"


def echoes(path: str) -> None:
    """An asyncio server that sends back each line, and ends on SIGTERM."""

    async def serve() -> None:
        server = await asyncio.start_unix_server(_echo, path)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.close)
        try:
            await server.serve_forever()
        except asyncio.CancelledError:
            pass
        os.unlink(path)

    asyncio.run(serve())


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line)
        await writer.drain()
    writer.close()


def says(client: Client, lines: int = 2) -> None:
    """Send lines, and get each back."""
    with (
        client.invoke("says"),
        client.connect(SOCKET) as connection,
        connection.makefile("rwb", buffering=0) as stream,
    ):
        for number in range(lines):
            stream.write(b"%d\n" % number)
            client.expect(stream.readline(), b"%d\n" % number)


def drips(client: Client, request: str = "hello\n", every_s: float = 0.1) -> None:
    """Ask the forking service, a byte at a time."""
    with client.invoke("drips"), client.connect(SOCKET) as connection:
        for byte in request:
            connection.sendall(byte.encode())
            time.sleep(every_s)
        connection.shutdown(socket.SHUT_WR)
        client.expect(connection.recv(100)[:3], b"ok\n")
