"""Many clients at once, with stuck ones beside them: no wrong byte or status, and nothing grows;
and bytes of all kinds."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.forking_service import protocol
from reference.forking_service.protocol import Fork, Hello, Left, Quit, Refused, RequestReader
from tests.reference.support import Raw, Service, ask

#: As many as in the other tests of this size, or what a service meets in a day.
fuzzed = settings(max_examples=100 if settings.default.max_examples <= 100 else 50_000)

WORDS = [
    *(b"hello", b"fork ", b"fork-env ", b"child_connect_timeout ", b"1", b"end", b"A: b", b"\0"),
    *(b"\n", b"\r\n", b" ", b"'", b'"', b"\\", b"\xff"),
]


@pytest.fixture(scope="module")
def asked() -> Iterator[Service]:
    """A service of its own: what it is asked may be a connect timeout of nothing. What it says of
    each request would fill a pipe that nobody reads."""
    with Service("--log-file", os.devnull) as running:
        yield running


@fuzzed
@given(st.lists(st.one_of(st.sampled_from(WORDS), st.binary(max_size=5)), max_size=20))
def test_whatever_is_asked_is_answered_as_the_core_says(asked: Service, words: list[bytes]) -> None:
    data = b"".join(words)
    reader = RequestReader(deadline=1.0)
    meant = reader.receive(data, 0.0) or reader.end(0.0)
    if isinstance(meant, Quit):
        return
    with Raw(asked) as raw:
        raw.send(data).socket.shutdown(socket.SHUT_WR)
        match meant:
            case Fork():
                raw.started()
            case Refused(reply=reply):
                assert raw.rest() == reply
            case Left():
                assert raw.rest() == b""
            case Hello():
                assert raw.rest() == protocol.HELLO_REPLY
            case _:
                assert raw.rest() == protocol.OK_REPLY


def run(service: Service, number: int) -> tuple[int, bytes, bytes, int | None]:
    child = service.spawn("replay")
    out, err = child.communicate(b"1 out %d\n2 err %d\n" % (number, number))
    return number, out, err, child.returncode


def memory_kib(pid: int) -> int:
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))


def descriptors(service: Service) -> int:
    """How many it has when it has closed all that have been answered."""
    assert ask(service, b"child_connect_timeout 120\n") == b"ok\n"
    return len(os.listdir(f"/proc/{service.process.pid}/fd"))


def test_requests_of_many_clients_beside_stuck_ones(service: Service, effort: str) -> None:
    clients, requests, stuck = (50, 1000, 10) if effort == "full" else (8, 64, 6)
    pid = service.process.pid
    # The log is read, or the service's pipe would fill.
    reader = threading.Thread(target=service.until, args=("^up ",))
    reader.start()
    run(service, 0)
    held = [Raw(service) for _ in range(stuck)]
    try:
        for number, raw in enumerate(held):
            raw.send([b"", b"fork-env x\n", b"fork rocks\n"][number % 3])
        before = descriptors(service)
        with ThreadPoolExecutor(clients) as pool:
            results = [*pool.map(lambda number: run(service, number), range(requests // 2))]
            memory = memory_kib(pid)
            results += pool.map(lambda number: run(service, number), range(requests // 2, requests))
        assert results == [
            (number, b"out %d\n" % number, b"err %d\n" % number, 0) for number in range(requests)
        ]
        assert memory_kib(pid) - memory < 2048
        assert descriptors(service) <= before
    finally:
        for raw in held:
            raw.socket.close()
    assert ask(service, b"child_connect_timeout 0\n") == b"ok\n"
    assert ask(service, b"hello\n").startswith(b"ok\n")
    reader.join()


def test_no_descriptor_stays_open(service: Service) -> None:
    def opened() -> list[str]:
        assert ask(service, b"hello\n").startswith(b"ok\n")
        return sorted(os.listdir(f"/proc/{service.process.pid}/fd"))

    before = opened()
    for number in range(10):
        assert run(service, number)[3] == 0
        with Raw(service) as raw:
            raw.send(b"fork '\n").rest()
    assert opened() == before


@pytest.mark.parametrize("first", [0, 128])
def test_every_exit_status_arrives(shared: Service, effort: str, first: int) -> None:
    step = 1 if effort == "full" else 16
    for code in range(first, first + 128, step):
        child = shared.spawn("exit", str(code))
        child.communicate()
        assert child.returncode == code
