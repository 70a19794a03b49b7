"""The limits in time that the service has unless told otherwise, each from both sides: what comes a
little earlier is in time, what comes a little later is not. They are minutes, and cost nothing."""

import os

import pytest

from harness import Client
from harness._pytest.fixtures import Trial, Tried
from scenarios.forking_service.service import SERVICE
from scenarios.forking_service.workloads import (
    ALIVE,
    SOCKET,
    opened,
    place_of_child,
    says_hello,
)


def asks_in_two(client: Client) -> None:
    with client.invoke("ask"), client.connect(SOCKET) as connection:
        connection.sendall(b"hel")
        try:
            connection.sendall(b"lo\n")
        except BrokenPipeError:
            pass  # it has its answer already
        with connection.makefile("rb") as replies:
            reply = replies.read()
        if reply == b"FAILURE\nrequest timed out\n":
            client.fail("timed out")
        client.expect(reply, ALIVE.encode())


def _of_slow(tried: Tried) -> list[tuple[str, str]]:
    return [(one.result, one.detail) for one in tried.history if one.role == "client/slow"]


@pytest.mark.parametrize(
    ("delay", "result"), [("990ms", ("ok", "")), ("1010ms", ("fail", "OperationFailed: timed out"))]
)
def test_a_request_must_be_complete_within_a_second(
    trial: Trial, delay: str, result: tuple[str, str]
) -> None:
    faults = f"client/slow:sendto#2=delay({delay})"
    tried = trial(SERVICE, says_hello, slow=asks_in_two, faults=faults)
    assert _of_slow(tried) == [result]


def opens_late(client: Client) -> None:
    """Ask for a child, and open its FIFOs."""
    with client.invoke("fork"), client.connect(SOCKET) as connection:
        connection.sendall(b"fork rocks\n")
        with connection.makefile("rb") as replies:
            client.expect(replies.readline(), b"ok\n")
            directory = place_of_child(replies)
            os.chdir(client.directory)  # one call by which the next is known
            try:
                with opened(directory) as out:
                    client.expect(out.read(), b"It sure does!\n")
            except FileNotFoundError:
                client.expect(replies.read(), b"exited\n256\n")
                client.fail("nobody waits any more")
            client.expect(replies.read(), b"exited\n0\n")


@pytest.mark.parametrize(
    ("delay", "result"),
    [("119s", ("ok", "")), ("121s", ("fail", "OperationFailed: nobody waits any more"))],
)
def test_a_child_waits_two_minutes_for_its_client(
    trial: Trial, delay: str, result: tuple[str, str]
) -> None:
    tried = trial(SERVICE, says_hello, slow=opens_late, faults=f"client/slow:chdir=delay({delay})")
    assert _of_slow(tried) == [result]


def leaves_a_child(client: Client) -> None:
    """Have a child that sleeps until it is told to end, and go."""
    with client.invoke("fork"), client.connect(SOCKET) as connection:
        connection.sendall(b"fork sleep 1\n")
        with connection.makefile("rb") as replies:
            client.expect(replies.readline(), b"ok\n")
            directory = place_of_child(replies)
            for name, mode in ("stdin", "wb"), ("stdout", "rb"), ("stderr", "rb"):
                open(f"{directory}/{name}", mode).close()


@pytest.mark.parametrize(("delay", "is_told"), [("299s", False), ("302s", True)])
def test_a_child_has_five_minutes_to_end_when_the_service_is_told_to(
    trial: Trial, delay: str, *, is_told: bool
) -> None:
    tried = trial(
        SERVICE,
        leaves_a_child,
        faults=f"service/0:clock_nanosleep@stop=delay({delay})",
        recovers=False,
    )
    assert "stopping; waiting for 1 children" in tried.outcome.stderr.head
    assert ("sending SIGINT" in tried.outcome.stderr.head) == is_told
