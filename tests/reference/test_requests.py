"""The wire protocol of a running service, row by row, spoken with a raw socket."""

from __future__ import annotations

import os
import socket

import pytest

from tests.reference.support import Raw, Service, ask

SIMPLE = [
    (b"hello\n", b"ok\nyep, still alive\n"),
    (b"hello\r\n", b"ok\nyep, still alive\n"),
    (b"hello\nand more that nobody asked for\n", b"ok\nyep, still alive\n"),
    (b"child_connect_timeout 120\n", b"ok\n"),
    (b"child_connect_timeout soon\n", b"FAILURE: not an integer >= 0: 'soon'\n"),
    (b"what\n", b"FAILURE\nunknown request: 'what\\n'\n"),
    (b"fork 'x\n", b"FAILURE\ncommand or env parsing failed: 'No closing quotation'\n"),
    (
        b"fork-env x\nnot a variable\nend\n",
        b"FAILURE\ncommand or env parsing failed: \"Not a variable: 'not a variable'\"\n",
    ),
]


@pytest.mark.parametrize(("request_", "reply"), SIMPLE)
def test_a_request_gets_its_reply_and_the_end(
    shared: Service, request_: bytes, reply: bytes
) -> None:
    assert ask(shared, request_) == reply


@pytest.mark.parametrize(("request_", "reply"), SIMPLE)
def test_so_does_one_that_comes_byte_by_byte(
    shared: Service, request_: bytes, reply: bytes
) -> None:
    end = len(request_) if request_.startswith(b"fork-env") else request_.index(b"\n") + 1
    with Raw(shared) as raw:
        for place in range(end):
            raw.send(request_[place : place + 1])
        assert raw.rest() == reply


def run(shared: Service, request: bytes, piece: int = 65536) -> tuple[bytes, bytes, bytes]:
    """What a child wrote to stdout and stderr, and what the service said at its end."""
    with Raw(shared) as raw:
        for place in range(0, len(request), piece):
            raw.send(request[place : place + piece])
        _, directory = raw.started()
        open(os.path.join(directory, "stdin"), "wb").close()
        with (
            open(os.path.join(directory, "stdout"), "rb") as stdout,
            open(os.path.join(directory, "stderr"), "rb") as stderr,
        ):
            out, err = stdout.read(), stderr.read()
        rest = raw.rest()
        assert not os.path.exists(directory)
        return out, err, rest


@pytest.mark.parametrize(
    "request_",
    [
        b"fork whoami\n",
        b"fork-env whoami\nend\n",
        b"fork-env whoami\r\nend\r\n",
        b"fork 'whoami'\r\n",
    ],
)
def test_a_child_without_variables_knows_nobody(shared: Service, request_: bytes) -> None:
    out, err, rest = run(shared, request_)
    assert (out, err, rest) == (b"", b"whoami: BZR_EMAIL is not set\n", b"exited\n256\n")


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("who", [b"me", b"weekend", b"end", b"a: b", "é".encode(), b""])
def test_a_child_gets_its_variables(shared: Service, who: bytes, end: bytes) -> None:
    request = end.join([b"fork-env whoami", b"X: 1", b"BZR_EMAIL: " + who, b"end", b""])
    assert run(shared, request) == (who + b"\n", b"", b"exited\n0\n")


def test_one_childs_variables_are_not_the_next_ones(shared: Service) -> None:
    run(shared, b"fork-env whoami\nBZR_EMAIL: me\nend\n")
    assert run(shared, b"fork whoami\n")[0] == b""


def test_a_request_byte_by_byte_runs_a_child(shared: Service) -> None:
    request = b"fork-env whoami\r\nBZR_EMAIL: me\r\nend\r\n"
    assert run(shared, request, piece=1) == (b"me\n", b"", b"exited\n0\n")


def test_a_request_that_does_not_come_is_timed_out() -> None:
    with Service("--request-timeout", "0.1") as service, Raw(service) as raw:
        assert raw.send(b"hel").rest() == b"FAILURE\nrequest timed out\n"


def test_a_client_that_drips_is_timed_out_and_delays_nobody() -> None:
    with Service("--request-timeout", "0.3") as service, Raw(service) as slow:
        slow.socket.settimeout(0.01)
        reply = b""
        while not reply:
            assert ask(service, b"hello\n").startswith(b"ok\n")
            try:
                slow.send(b"x")
                reply = slow.line()
            except TimeoutError:
                pass
            except BrokenPipeError:
                reply = slow.line()
        assert reply + slow.rest() == b"FAILURE\nrequest timed out\n"


def test_a_request_that_is_too_long_is_refused_while_it_still_comes(shared: Service) -> None:
    with Raw(shared) as raw:
        try:
            raw.send(b"x" * 400_000)
        except BrokenPipeError:
            pass
        assert raw.line() + raw.line() == b"FAILURE\nrequest too long: more than 65536 bytes\n"


def test_a_client_that_only_ends_its_side_gets_its_reply(shared: Service) -> None:
    with Raw(shared) as raw:
        raw.send(b"hello").socket.shutdown(socket.SHUT_WR)
        assert raw.rest() == b"FAILURE\nunknown request: 'hello'\n"
    with Raw(shared) as raw:
        raw.send(b"hello\n").socket.shutdown(socket.SHUT_WR)
        assert raw.rest() == b"ok\nyep, still alive\n"


@pytest.mark.parametrize("said", [b"", b"hel", b"fork-env x\n", b"hello\n", b"fork rocks\n"])
def test_clients_that_vanish_leave_the_service_alone(service: Service, said: bytes) -> None:
    for _ in range(10):
        with Raw(service) as raw:
            raw.send(said)
    assert ask(service, b"hello\n") == b"ok\nyep, still alive\n"
    ask(service, b"child_connect_timeout 0\n")


def test_what_the_service_does_is_told_to_the_log_only(service: Service) -> None:
    assert ask(service, b"hello\n") == b"ok\nyep, still alive\n"
    assert service.until(r"^up \d+ s; children: 0 running, 0 spawned; own: .* KiB; ended ")


def test_fuzzed_requests_never_end_the_service(service: Service) -> None:
    requests = [bytes([n % 256, *b"ork-env \n'\"\\: end\n"]) * (n % 7) + b"\n" for n in range(300)]
    for request in [*requests, b"\0" * 1000 + b"\n", b"\xff" * 60000 + b"\n"]:
        reply = ask(service, request)
        assert reply.startswith(b"FAILURE\n"), (request, reply)
    assert ask(service, b"hello\n") == b"ok\nyep, still alive\n"
