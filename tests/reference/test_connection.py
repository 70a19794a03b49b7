"""One connection, between the socket and the core: who is late, the client or the service."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from reference.forking_service.connection import Connection
from reference.forking_service.loop import Loop
from reference.forking_service.protocol import HELLO_REPLY, Hello, Request, RequestReader

TIMED_OUT = b"FAILURE\nrequest timed out\n"


class Both:
    """A connection whose request must have come at 1.0, and its client's end."""

    def __init__(self) -> None:
        self.client, theirs = socket.socketpair()
        theirs.setblocking(False)
        self.served: list[Request] = []
        self.connection = Connection(
            name="client",
            sock=theirs,
            reader=RequestReader(deadline=1.0),
            loop=Loop(clock=lambda: 0.0, trap=lambda handler, error: None),
            patience_s=1.0,
            serve=self.serve,
            log=lambda line: None,
        )

    def serve(self, connection: Connection, request: Request) -> None:
        self.served.append(request)
        connection.answer(HELLO_REPLY)

    def replies(self) -> bytes:
        self.client.setblocking(False)
        return self.client.recv(4096)


@pytest.fixture
def both() -> Iterator[Both]:
    made = Both()
    yield made
    made.connection.close()
    made.client.close()


def test_a_request_that_lies_there_when_the_service_comes_late_is_served(both: Both) -> None:
    both.client.sendall(b"hello\n")
    both.connection.time_up(7.0)
    assert both.served == [Hello()]
    assert both.replies() == HELLO_REPLY


def test_so_it_is_when_the_service_reads_late(both: Both) -> None:
    both.client.sendall(b"hello\n")
    both.connection.receive(7.0)
    assert both.served == [Hello()]


@pytest.mark.parametrize("sent", [b"", b"hel"])
def test_one_that_is_not_complete_then_is_timed_out(both: Both, sent: bytes) -> None:
    both.client.sendall(sent)
    both.connection.time_up(1.0)
    assert both.served == []
    assert both.replies() == TIMED_OUT
