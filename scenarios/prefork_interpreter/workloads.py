"""What callers want of a script: each function here is one client of a trial, and a launcher."""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Mapping, Sequence
from functools import partial

import pytest

from harness import Client
from harness.subject import ClientLike
from reference.prefork_interpreter.launcher import LauncherError, SetupFailed
from scenarios.prefork_interpreter.service import launcher


def calls(
    client: Client,
    words: Sequence[str] = ("you",),
    stdin: str = "",
    stdout: str = "hello you\n",
    status: int = 0,
    is_fresh: bool = False,
    variables: Sequence[str] = ("A=b",),
) -> None:
    """Call the script, and have its output, all of it, and its wait status."""
    with client.invoke(words[0] if words else "nothing"):
        got, out = call(client, words, stdin, is_fresh=is_fresh, variables=variables)
        if got != status:
            # To say that all went well is a lie; any other status says that it did not.
            client.expect(got != 0, True)
            client.fail(f"it ended with {got}")
        client.expect(out, stdout.encode())


def call(
    client: Client,
    words: Sequence[str],
    stdin: str = "",
    *,
    is_fresh: bool = False,
    variables: Sequence[str] = ("A=b",),
) -> tuple[int, bytes]:
    """The wait status and the output of one call, as they are when the launcher returns."""
    in_read, in_write = os.pipe()
    out_read, out_write = os.pipe()
    os.write(in_write, stdin.encode())
    os.close(in_write)
    os.set_blocking(out_read, False)
    one = launcher(
        client.directory,
        words,
        descriptors=(in_read, out_write, 2),
        is_fresh=is_fresh,
        variables=variables,
    )
    try:
        status = one.run()
    except (LauncherError, SetupFailed) as error:
        client.fail(str(error))
    out = bytearray()
    try:
        while data := os.read(out_read, 65536):
            out += data
    except BlockingIOError:
        pass  # what is not there now was not complete
    for descriptor in (in_read, out_read, out_write):
        os.close(descriptor)
    return status, bytes(out)


def tells_its_status(client: Client, code: int) -> None:
    """Call the script to exit with *code*, and tell the status."""
    with client.invoke("exit", key=code) as asked:
        status, _ = call(client, ["exit", str(code)])
        asked.reply(os.waitstatus_to_exitcode(status))


SEES = "nothing\nA\nTrue\n"

CALLS: dict[str, ClientLike] = {
    "hello": calls,
    "exit": partial(calls, words=["exit", "3"], stdout="", status=3 << 8),
    "killed": partial(calls, words=["die", "9"], stdout="", status=int(signal.SIGKILL)),
    "copy": partial(calls, words=["copy"], stdin="one\ntwo\n", stdout="one\ntwo\n"),
    "sees": partial(calls, words=["sees"], stdout=SEES),
    "fresh": partial(calls, is_fresh=True),
}

#: Each of them says whether its server is the one that served first.
ONE_SERVER: ClientLike = partial(calls, words=["one server"], stdout="")


def is_heard(client: Client) -> None:
    """Call a script that waits, and end its input, which it waits for."""
    calls(client, ["waits"], stdout="waits\nheard\n")


def leaves(client: Client) -> None:
    """Call a script that waits for ever, and go. Its end is seen at the output that it has."""
    with client.invoke("leave"):
        out_read, out_write = os.pipe()
        in_read, in_write = os.pipe()
        one = launcher(client.directory, ["waits"], descriptors=(in_read, out_write, 2))
        try:
            with one.connect_or_start() as call:
                one.ask(call)
                client.expect(os.read(out_read, 64), b"waits\n")
        except LauncherError as error:
            client.fail(str(error))
        os.close(out_write)
        client.expect(os.read(out_read, 64), b"")
        for descriptor in (in_read, in_write, out_read):
            os.close(descriptor)


def babbles(client: Client, pieces: Sequence[str]) -> None:
    """Connect, and send *pieces* (Latin-1), with a descriptor each, whatever comes of it."""
    with client.invoke("babble"), client.connect("{dir}/sx") as connection:
        for piece in pieces:
            try:
                socket.send_fds(connection, [piece.encode("latin-1")], [connection.fileno()])
            except (BrokenPipeError, ConnectionResetError):
                break


def stalls(client: Client, sent: str = "") -> None:
    """Connect, say no more than *sent*, and wait until the server has enough of it."""
    with client.invoke("stall"), client.connect("{dir}/sx") as connection:
        connection.sendall(sent.encode())
        client.expect(connection.recv(64), b"PFI\n\0\0\0\0")
        client.expect(connection.recv(64), b"")


def edits(client: Client) -> None:
    """Call, edit the script, call again: the server is another one, and only then."""
    with client.invoke("edit"):
        servers = [call(client, ["which server"])[1] for _ in range(2)]
        script = client.path("{dir}/script")
        with open(script, "w", encoding="utf-8"):
            pass
        os.utime(script, ns=(2**62, 2**62))
        servers.append(call(client, ["which server"])[1])
        os.unlink(script)
        client.expect(servers[0] == servers[1] != servers[2], True)


def waits_until_idle(client: Client) -> None:
    """Wait for the end of the server, with whom nobody talks; nothing of it is there then."""
    with client.invoke("wait"):
        server = int(call(client, ["which server"])[1])
        client.expect(sorted(os.listdir(client.directory)), ["lx", "ready", "sx"])
        end = os.pidfd_open(server)
        poll = select.poll()
        poll.register(end, select.POLLIN)
        poll.poll()
        os.close(end)
        client.expect(os.listdir(client.directory), ["ready"])


#: What is tried in each size: they differ little in the calls of servers and monitors.
_IN_CI = ("hello",)


def each(workloads: Mapping[str, ClientLike]) -> pytest.MarkDecorator:
    """A test with one after the other of *workloads* as its argument `work`."""
    is_full = os.environ.get("HARNESS_EFFORT") == "full"
    names = [name for name in workloads if is_full or name in _IN_CI]
    return pytest.mark.parametrize("work", [workloads[name] for name in names], ids=names)
