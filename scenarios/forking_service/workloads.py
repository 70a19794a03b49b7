"""What clients ask of the forking service: each function here is one client of a trial.

An answer that no fault excuses is `expect`ed; one by which the service says that it could not is a
failure of that client (`fail`), which a fault may excuse.
"""

from __future__ import annotations

import io
import os
import socket
import time
from collections.abc import Mapping, Sequence
from functools import partial

import pytest

from harness import Client
from harness.subject import ClientLike
from reference.forking_service.client import ForkingServiceClient
from reference.forking_service.client import ForkingServiceError as Refusal
from reference.forking_service.directory import PREFIX

SOCKET = "{dir}/socket"
ALIVE = "ok\nyep, still alive\n"
#: As subprocess has it: the service has died, and nobody knows how the child ends.
UNKNOWN = 255
_PIECE = 4096
_PAUSE_S = 0.001


# ---- Through the shipped client ------------------------------------------------------------------


def says_hello(client: Client) -> None:
    with client.invoke("hello"):
        try:
            reply = _service(client).hello()
        except Refusal as error:
            client.fail(str(error))
        client.expect(reply, "yep, still alive")


def sets_the_timeout(client: Client, seconds: int = 60) -> None:
    with client.invoke("child_connect_timeout"):
        try:
            _service(client).set_child_connect_timeout(seconds)
        except Refusal as error:
            client.fail(str(error))


def quits(client: Client) -> None:
    with client.invoke("quit"):
        try:
            reply = _service(client).quit()
        except Refusal as error:
            client.fail(str(error))
        client.expect(reply, "quit command requested... exiting")


def runs(
    client: Client,
    argv: Sequence[str] = ("rocks",),
    env: dict[str, str] | None = None,
    stdin: str = "",
    stdout: str = "",
    stderr: str = "",
    returncode: int = 0,
    is_alone: bool = True,
) -> None:
    """Run *argv*; *is_alone*: nobody else has a child, so a directory that stays is of this one."""
    with client.invoke(argv[0]):
        before = _directories(client)
        try:
            with _service(client).spawn([*argv], env) as child:
                out, err = child.communicate(stdin.encode())
        except Refusal as error:
            client.fail(str(error))
        if is_alone and child.returncode != UNKNOWN:
            client.expect(_directories(client) - before, set())
        if child.returncode != returncode:
            # To say that all went well is a lie; any other status says that it did not.
            client.expect(child.returncode != 0, True)
            client.fail(f"it ended with {child.returncode}: {err.decode()}")
        client.expect(out, stdout.encode())
        client.expect(err, stderr.encode())


def talks(client: Client) -> None:
    """Ask and answer, in turn: a child that serves while its client waits."""
    with client.invoke("talk"):
        try:
            with _service(client).spawn(["lp-serve", "--inet", "7"]) as child:
                for _ in range(2):
                    _write(child.stdin, b"hello\n")
                    client.expect(child.stdout.readline(), b"ok\x012\n")
        except (Refusal, BrokenPipeError) as error:
            client.fail(str(error))
        if child.returncode:
            client.fail(f"it ended with {child.returncode}")


def ends_its_child(client: Client) -> None:
    """Terminate a child that waits for input."""
    with client.invoke("terminate"):
        try:
            with _service(client).spawn(["replay"]) as child:
                _write(child.stdin, b"1 ready\n")
                client.expect(child.stdout.readline(), b"ready\n")
                child.terminate()
                child.wait()
        except (Refusal, BrokenPipeError) as error:
            client.fail(str(error))
        if child.returncode != -15:
            client.fail(f"it ended with {child.returncode}")


def _service(client: Client) -> ForkingServiceClient:
    return ForkingServiceClient(client.path(SOCKET))


def _directories(client: Client) -> set[str]:
    return {name for name in os.listdir(client.directory) if name.startswith(PREFIX)}


def _write(stream: io.FileIO, data: bytes) -> None:
    """All of it: a pipe may take less at once."""
    while data:
        data = data[stream.write(data) :]


# ---- Byte by byte --------------------------------------------------------------------------------


def asks(
    client: Client,
    pieces: Sequence[str] = ("hello\n",),
    reply: str = ALIVE,
    is_slow: bool = False,
) -> None:
    """Send *pieces* (Latin-1), one by one, and read to the end: that is *reply*."""
    with client.invoke("ask"), client.connect(SOCKET) as connection:
        _send(connection, pieces, is_slow)
        client.expect(_all_of(connection), reply.encode("latin-1"))


def leaves(client: Client, pieces: Sequence[str] = (), is_slow: bool = False) -> None:
    """Send *pieces*, which are no request yet, and go."""
    with client.invoke("leave"), client.connect(SOCKET) as connection:
        _send(connection, pieces, is_slow)


def never_comes(client: Client) -> None:
    """Ask for a child and do not open its FIFOs, but read on: it ends with exit status 1."""
    with client.invoke("fork"), client.connect(SOCKET) as connection:
        _send(connection, ["fork rocks\n"])
        replies = _all_of(connection).decode().split("\n")
        if replies[0] != "ok" or replies[3:] != ["exited", "256", ""]:
            client.fail(f"replies: {replies}")
        client.expect(os.path.exists(replies[2]), False)


def leaves_its_child(client: Client) -> None:
    """Ask for a child, and go as soon as it is there."""
    with client.invoke("fork"), client.connect(SOCKET) as connection:
        _send(connection, ["fork rocks\n"])
        with connection.makefile("rb") as replies:
            first = replies.readline()
            if first != b"ok\n":
                client.fail(f"there is none: {first!r}")
            replies.readline()
            replies.readline()


def _send(connection: socket.socket, pieces: Sequence[str], is_slow: bool = False) -> None:
    for piece in pieces:
        connection.sendall(piece.encode("latin-1"))
        if is_slow:
            # Whoever waits lets others go on, so the service reads each piece by itself.
            time.sleep(_PAUSE_S)


def _all_of(connection: socket.socket) -> bytes:
    got = bytearray()
    while data := connection.recv(_PIECE):
        got += data
    return bytes(got)


# ---- All of them ---------------------------------------------------------------------------------

#: One client each, by what it does.
REQUESTS: dict[str, ClientLike] = {
    "hello": says_hello,
    "timeout": sets_the_timeout,
    "slow": partial(asks, pieces=[*"hello\r\n"], is_slow=True),
    "garbage": partial(
        asks, pieces=["\0\xff\n"], reply="FAILURE\nunknown request: '\\x00\\xff\\n'\n"
    ),
    "unparsable": partial(
        asks,
        pieces=["fork 'rocks\n"],
        reply="FAILURE\ncommand or env parsing failed: 'No closing quotation'\n",
    ),
    "half": partial(leaves, pieces=["fork-env rocks\n"]),
    "silence": leaves,
}
#: The same, of those that ask for a child.
CHILDREN: dict[str, ClientLike] = {
    "rocks": partial(runs, stdout="It sure does!\n"),
    "replay": partial(
        runs,
        argv=["replay"],
        stdin="1 one\n2 two\n1 three\n",
        stdout="one\nthree\n",
        stderr="two\n",
    ),
    "whoami": partial(
        runs, argv=["whoami"], env={"BZR_EMAIL": "a@weekend"}, stdout="a@weekend\n"
    ),
    "exit": partial(runs, argv=["exit", "3"], returncode=3),
    "crash": partial(runs, argv=["crash", "KILL"], returncode=-9),
    "no-command": partial(
        runs, argv=["none"], returncode=127, stderr="unknown command: 'none'\n"
    ),
    "talk": talks,
    "terminate": ends_its_child,
}
#: Where the client does not come to its child.
UNMET: dict[str, ClientLike] = {"unmet": never_comes, "left": leaves_its_child}
EVERYTHING = REQUESTS | CHILDREN


def each(workloads: Mapping[str, ClientLike]) -> pytest.MarkDecorator:
    """A test with one after the other of *workloads* as its argument `work`."""
    return pytest.mark.parametrize("work", [*workloads.values()], ids=[*workloads])
