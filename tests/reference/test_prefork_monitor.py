"""Callers that speak the protocol badly, slowly or not at all: the monitor of each deals with it,
and the server serves on."""

from __future__ import annotations

import json
import os
import resource
import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reference.prefork_interpreter import protocol
from tests.reference.prefork import Direct, all_of, send_request
from tests.reference.support import PATIENCE_S

MESSAGE = protocol.encode_message([b"A=b"], [b"python3", b"logs.py", b"you"])
SERVED = protocol.GREETING + protocol.encode_status(0)


def options(**given: object) -> str:
    return json.dumps({"autoreload_modules": False, **given})


@pytest.fixture(scope="module")
def direct() -> Iterator[Direct]:
    with Direct("logs.py", options(max_servers=1)) as server:
        server.call.close()
        yield server


def ask(direct: Direct) -> bytes:
    """All that the monitor of an ordinary caller says."""
    with direct.connect() as connection:
        send_request(connection, MESSAGE)
        return all_of(connection)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"GET / HTTP/1.1\r\n", "the first byte is 0x47, not zero"),
        (b"\0\0\0\0\0", "no descriptor came for standard input"),
    ],
)
def test_a_caller_that_talks_nonsense_is_logged_and_left(
    direct: Direct, data: bytes, why: str
) -> None:
    with direct.connect() as connection:
        connection.sendall(data)
        assert all_of(connection) == protocol.GREETING
    assert ask(direct) == SERVED
    assert direct.lines()[-2].endswith(f"call refused: {why}")
    assert direct.lines()[-1].endswith("wait status 32512")


def test_a_caller_may_leave_at_any_point_and_nothing_is_logged(direct: Direct) -> None:
    before = len(direct.lines())
    request = b"\0\0\0\0" + MESSAGE
    for size in range(len(request)):
        with direct.connect() as connection, open(os.devnull) as null:
            for at in range(size):
                sent = [null.fileno()] if at in (1, 2, 3) else []
                socket.send_fds(connection, [request[at : at + 1]], sent)
            connection.shutdown(socket.SHUT_WR)
            assert all_of(connection) == protocol.GREETING
    assert ask(direct) == SERVED
    assert direct.lines()[before:] == []


def test_a_caller_that_sends_more_than_its_request_has_gone(direct: Direct) -> None:
    with direct.connect() as connection:
        send_request(connection, MESSAGE + b"more")
        said = all_of(connection)
    # SIGINT came before its end, or after it.
    assert said[: len(protocol.GREETING)] == protocol.GREETING
    assert ask(direct) == SERVED


pieces = st.lists(
    st.tuples(
        st.one_of(
            st.binary(min_size=1, max_size=12),
            st.sampled_from([b"\0", b"\0\0\0\0", MESSAGE[:4], MESSAGE, b"\xff\xff\xff\xff"]),
        ),
        st.integers(0, 10).map(lambda count: max(0, count - 6)),
    ),
    max_size=8,
)


@settings(
    max_examples=20_000 if os.environ.get("HARNESS_EFFORT") == "full" else 100,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(pieces, st.booleans())
def test_any_bytes_and_descriptors_end_in_status_0_or_127_with_a_message(
    direct: Direct, pieces: list[tuple[bytes, int]], begins_well: bool
) -> None:
    before = len(direct.lines())
    ours, theirs = os.pipe()
    try:
        with direct.connect() as connection:
            try:
                if begins_well:
                    connection.sendall(b"\0")
                    for _ in range(3):
                        socket.send_fds(connection, [b"\0"], [theirs])
                for data, count in pieces:
                    socket.send_fds(connection, [data], [theirs] * count)
                connection.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it has been refused already
            assert all_of(connection)[:8] == protocol.GREETING
    finally:
        os.close(theirs)
    # Whatever has come is closed: nobody holds the pipe's other end any more.
    poll = select.poll()
    poll.register(ours, select.POLLIN)
    while poll.poll(PATIENCE_S * 1000) and os.read(ours, 4096):
        pass
    os.close(ours)
    assert ask(direct) == SERVED
    told = direct.lines()[before:]
    assert len(told) in (0, 2), told
    if told:
        assert "call refused: " in told[0]
        assert told[1].endswith("wait status 32512")


def test_callers_that_stall_are_given_up() -> None:
    with Direct("logs.py", options(max_servers=2, call_timeout_s=0.1)) as server:
        server.call.close()
        stuck = [server.connect() for _ in range(6)]
        for number, connection in enumerate(stuck):
            connection.sendall(b"\0"[:number])
        assert ask(server) == SERVED
        for connection in stuck:
            assert all_of(connection) == protocol.GREETING
            connection.close()
        assert sum("took too long" in line for line in server.lines()) == 6


def test_the_longest_time_a_caller_may_take_and_a_server_be_idle_is_not_too_long() -> None:
    longest = {"call_timeout_s": 1e9, "idle_timeout_s": 1e9}
    with Direct("logs.py", options(**longest)) as server:
        send_request(server.call, MESSAGE)
        assert all_of(server.call) == SERVED
        assert ask(server) == SERVED


def test_accepting_that_fails_for_ever_ends_the_server() -> None:
    with Direct("logs.py", options(max_errors=3)) as server:
        send_request(server.call, MESSAGE)
        assert all_of(server.call) == SERVED
        pid = pid_of_the_server(server)
        # As many as it has: it is to accept, and cannot.
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, 3))
        with server.connect() as connection:
            assert all_of(connection) == b""
        server.until_ended()
        lines = server.lines()
    assert sum("cannot accept: [Errno 24]" in line for line in lines) == 4
    assert lines[-1].endswith("too many errors; ending")
    assert not os.path.exists(server.socket_path)


def pid_of_the_server(server: Direct) -> int:
    """It leads a session, and runs with the path of its log in its environment."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            environ = Path("/proc", name, "environ").read_bytes()
        except OSError:
            continue
        if os.fsencode(server.log) in environ and os.getsid(int(name)) == int(name):
            return int(name)
    raise AssertionError("no server")


def test_the_watchers_end_is_the_servers() -> None:
    with Direct("logs.py", options()) as server:
        os.close(server.watcher)
        server.until_ended()
        assert server.lines()[-1].endswith("the socket was removed or replaced; ending")
        server.watcher = os.dup(2)


def full_server(**more: object) -> Direct:
    """A server that may have one call, and has it: its caller says nothing."""
    server = Direct("logs.py", options(max_servers=1, **more))
    assert server.call.recv(64) == protocol.GREETING
    return server


def test_a_full_server_hears_of_its_watchers_end() -> None:
    with full_server() as server:
        os.close(server.watcher)
        server.until_ended()
        assert server.lines()[-1].endswith("the socket was removed or replaced; ending")
        server.watcher = os.dup(2)


def test_a_full_server_sees_a_change_when_it_is_called(tmp_path: Path) -> None:
    path = tmp_path / "table"
    with full_server(autoreload_extra=[str(path)]) as server:
        path.touch()
        os.utime(path, ns=(2**62, 2**62))
        with server.connect() as connection:
            assert all_of(connection) == b""
        server.until_ended()
        assert server.lines()[-1].endswith(f"{path} has changed; ending")
        # The call that it has goes on without it.
        send_request(server.call, MESSAGE)
        assert all_of(server.call) == protocol.encode_status(0)


def test_the_watchers_words_are_logged() -> None:
    with Direct("logs.py", options()) as server:
        os.write(server.watcher, b"it is broken\n")
        server.until_ended()
        assert server.lines()[-1].endswith("watcher: it is broken")


def test_a_path_that_cannot_be_looked_at_ends_the_server(tmp_path: Path) -> None:
    path = tmp_path / "loop"
    with Direct("logs.py", options(autoreload_extra=[str(path)])) as server:
        send_request(server.call, MESSAGE)
        assert all_of(server.call) == SERVED
        assert ask(server) == SERVED
        path.symlink_to(path)
        with server.connect() as connection:
            assert all_of(connection) == b""
        server.until_ended()
        why = f"cannot look at {path}: Too many levels of symbolic links"
        assert server.lines()[-2].endswith(why)
        assert not os.path.exists(server.socket_path)
