"""What clients ask of the forking service: each function here is one client of a trial.

An answer that no fault excuses is `expect`ed; one by which the service says that it could not is a
failure of that client (`fail`), which a fault may excuse.
"""

from __future__ import annotations

import io
import os
import select
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import BinaryIO

import pytest

from conftest import effort_asked_for
from harness import Client
from harness.subject import ClientLike
from reference.forking_service.client import ForkingServiceClient
from reference.forking_service.client import ForkingServiceError as Refusal
from reference.forking_service.directory import PREFIX
from scenarios.forking_service.programs.commands import FLOOD, FLOOD_LINES

SOCKET = "{dir}/socket"
ALIVE = "ok\nyep, still alive\n"
#: As subprocess has it: the service has died, and nobody knows how the child ends.
UNKNOWN = 255
_PIECE = 4096


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
    """Send *pieces* (Latin-1), one by one, and read to the end: that is *reply*.

    *is_slow*: not before the service has read the one before, and has served another."""
    with client.invoke("ask"), client.connect(SOCKET) as connection:
        _send(client, connection, pieces, is_slow)
        client.expect(_all_of(connection), reply.encode("latin-1"))


def leaves(client: Client, pieces: Sequence[str] = (), is_slow: bool = False) -> None:
    """Send *pieces*, which are no request yet, and go."""
    with client.invoke("leave"), client.connect(SOCKET) as connection:
        _send(client, connection, pieces, is_slow)


def babbles(client: Client, pieces: Sequence[str]) -> None:
    """Send *pieces*, whatever they are, and end this side; there may be a reply, and is an end."""
    with client.invoke("babble"), client.connect(SOCKET) as connection:
        try:
            _send(client, connection, pieces)
            connection.shutdown(socket.SHUT_WR)
            _all_of(connection)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has heard enough


@contextmanager
def opened(directory: str) -> Iterator[BinaryIO]:
    """Open a child's FIFOs in their order, as old clients do: what it prints."""
    with (
        open(f"{directory}/stdin", "wb"),
        open(f"{directory}/stdout", "rb") as out,
        open(f"{directory}/stderr", "rb"),
    ):
        yield out


def place_of_child(replies: BinaryIO) -> str:
    """Its directory, told after `ok` and its number."""
    replies.readline()
    return os.fsdecode(replies.readline().rstrip(b"\n"))


def forks(client: Client, pieces: Sequence[str], stdout: str, is_slow: bool = False) -> None:
    """Send *pieces*, which ask for a child, and open its FIFOs in their order, as old clients."""
    with client.invoke("fork"), client.connect(SOCKET) as connection:
        _send(client, connection, pieces, is_slow)
        with connection.makefile("rb") as replies:
            client.expect(replies.readline(), b"ok\n")
            with opened(place_of_child(replies)) as out:
                client.expect(out.read(), stdout.encode())
            client.expect(replies.read(), b"exited\n0\n")


def tells_its_status(client: Client, code: int) -> None:
    """Have a child that exits with *code*, or is ended by signal -*code*, and tell each status that
    comes until the connection ends."""
    ends = f"exit {code}" if code >= 0 else f"crash {-code}"
    with client.invoke("status", key=code) as asked, client.connect(SOCKET) as connection:
        _send(client, connection, [f"fork {ends}\n"])
        with connection.makefile("rb") as replies:
            if replies.readline() != b"ok\n":
                client.fail("there is no child")
            with opened(place_of_child(replies)):
                words = replies.read().split()
            for word, status in zip(words[::2], words[1::2], strict=True):
                client.expect(word, b"exited")
                asked.reply(os.waitstatus_to_exitcode(int(status)))


def comes_again(client: Client, times: int) -> None:
    """Have one child after the other."""
    for _ in range(times):
        runs(client, stdout="It sure does!\n", is_alone=False)


def has_two(client: Client) -> None:
    """Have two children at once, and hear the first one's connection end before the second ends."""
    with client.invoke("two"), client.connect(SOCKET) as connection:
        _send(client, connection, ["fork rocks\n"])
        with connection.makefile("rb") as replies:
            client.expect(replies.readline(), b"ok\n")
            directory = place_of_child(replies)
            with _service(client).fork(["replay"]), opened(directory) as out:
                client.expect(out.read(), b"It sure does!\n")
                client.expect(replies.read(), b"exited\n0\n")


def never_comes(client: Client) -> None:
    """Ask for a child and do not open its FIFOs, but read on: it ends with exit status 1."""
    with client.invoke("fork"), client.connect(SOCKET) as connection:
        _send(client, connection, ["fork rocks\n"])
        replies = _all_of(connection).decode().split("\n")
        if replies[0] != "ok" or replies[3:] != ["exited", "256", ""]:
            client.fail(f"replies: {replies}")
        client.expect(os.path.exists(replies[2]), False)


def leaves_its_child(client: Client) -> None:
    """Ask for a child, and go as soon as it is there."""
    with client.invoke("fork"), client.connect(SOCKET) as connection:
        _send(client, connection, ["fork rocks\n"])
        with connection.makefile("rb") as replies:
            first = replies.readline()
            if first != b"ok\n":
                client.fail(f"there is none: {first!r}")
            replies.readline()
            replies.readline()


def drips(client: Client, request: str, every_ms: int) -> None:
    """Send a byte of *request* every *every_ms* of the trial's time, until there is a reply."""
    with client.invoke("drip"), client.connect(SOCKET) as connection:
        poll = select.poll()
        poll.register(connection, select.POLLIN)
        for byte in request.encode():
            if poll.poll(every_ms):
                break
            connection.sendall(bytes([byte]))
        client.expect(_all_of(connection), b"FAILURE\nrequest timed out\n")


def reads_nothing(client: Client, request: str, for_ms: int = 300_000) -> None:
    """Send *request*, and stay without reading."""
    with client.invoke("nothing"), client.connect(SOCKET) as connection:
        _send(client, connection, [request])
        select.poll().poll(for_ms)


def floods(client: Client) -> None:
    """Have a child that writes much, read none of it for a minute, and go."""
    with client.invoke("flood"):
        child = _service(client).fork(["floods"])
        select.poll().poll(60_000)
        for stream in (child.stdout, child.stderr, child.stdin):
            stream.close()
        client.expect(child.wait(), 1)


def reads_all_of_a_flood(client: Client) -> None:
    """Have the same child, and read all of it."""
    with client.invoke("flood"), _service(client).fork(["floods"]) as child:
        out, err = child.communicate()
        client.expect(out == err == FLOOD.encode() * FLOOD_LINES, True)
        client.expect(child.wait(), 0)


def leaves_a_deaf_child(client: Client) -> None:
    """Have a child that does not mind signals, and go."""
    with client.invoke("leave"):
        child = _service(client).fork(["deaf"])
        client.expect(child.stdout.readline(), b"ready\n")


def quits_and_waits(client: Client) -> None:
    """Have a child that does not mind signals, and tell the service to stop."""
    with client.invoke("quit"):
        with _service(client).fork(["deaf"]) as child:
            client.expect(child.stdout.readline(), b"ready\n")
            _service(client).quit()
            child.wait()
        client.expect(child.returncode, -9)


def tries(client: Client) -> None:
    """Run a command, or be told that there is no service, or that it stops."""
    with client.invoke("try"):
        try:
            with _service(client).fork(["rocks"]) as child:
                out, _ = child.communicate()
        except Refusal as error:
            client.note(refused=str(error))
            return
        client.expect((out, child.returncode), (b"It sure does!\n", 0))


def _send(
    client: Client, connection: socket.socket, pieces: Sequence[str], is_slow: bool = False
) -> None:
    for number, piece in enumerate(pieces):
        if number and is_slow:
            # Not a sleep: time would decide. When this is answered, what is there has been read.
            _hear(client)
        connection.sendall(piece.encode("latin-1"))


def _hear(client: Client) -> None:
    with client.connect(SOCKET) as connection:
        connection.sendall(b"hello\n")
        client.expect(_all_of(connection), ALIVE.encode())


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
    "slow": partial(asks, pieces=["hel", "lo\r", "\n"], is_slow=True),
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
    "whoami": partial(runs, argv=["whoami"], env={"BZR_EMAIL": "a@weekend"}, stdout="a@weekend\n"),
    "exit": partial(runs, argv=["exit", "3"], returncode=3),
    "crash": partial(runs, argv=["crash", "KILL"], returncode=-9),
    "talk": talks,
    "terminate": ends_its_child,
    "unmet": never_comes,
    "left": leaves_its_child,
}
EVERYTHING = REQUESTS | CHILDREN


#: Whatever the clients do, the service starts and stops in the same way: tried with one of these.
ONE: dict[str, ClientLike] = {"hello": says_hello, "rocks": CHILDREN["rocks"]}

#: With children of others at the same time.
TOGETHER = REQUESTS | {
    name: partial(work, is_alone=False) if isinstance(work, partial) else work
    for name, work in CHILDREN.items()
}


#: They differ from `rocks` or `talk` in a few calls of the child: in the full size only.
_LIKE_ROCKS = frozenset({"replay", "whoami", "exit", "crash", "terminate"})


def each(workloads: Mapping[str, ClientLike]) -> pytest.MarkDecorator:
    """A test with one after the other of *workloads* as its argument `work`."""
    left_out = frozenset() if effort_asked_for() == "full" else _LIKE_ROCKS
    named = {name: work for name, work in workloads.items() if name not in left_out}
    return pytest.mark.parametrize("work", [*named.values()], ids=[*named])
