"""The client that waits: shaped like subprocess.Popen, and never left waiting."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from reference.forking_service.client import (
    ForkedProcess,
    ForkingServiceClient,
    ForkingServiceError,
    ServiceNotThere,
)
from tests.reference.support import Service, is_gone


def test_it_asks_for_everything(shared: Service) -> None:
    assert shared.client.hello() == "yep, still alive"
    shared.client.set_child_connect_timeout(120)
    with pytest.raises(ForkingServiceError, match=r"^not an integer >= 0: '-1'$"):
        shared.client.set_child_connect_timeout(-1)


def test_quit_ends_the_service() -> None:
    with Service() as service:
        assert service.client.quit() == "quit command requested... exiting"
        assert service.end() == 0


def test_without_a_service_the_error_is_clear() -> None:
    with pytest.raises(ServiceNotThere, match=r"^no forking service at /no/such: No such file"):
        ForkingServiceClient("/no/such").hello()


def test_without_a_service_there_can_be_an_ordinary_process() -> None:
    def plain(argv: object, env: object) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", "print(argv)".replace("argv", repr(argv))])

    client = ForkingServiceClient("/no/such", fallback=plain)
    with client.spawn(["x"]) as process:
        assert process.wait() == 0
    assert isinstance(process, subprocess.Popen)


def test_a_refusal_is_the_services_own_words(shared: Service) -> None:
    with Service("--max-children", "1") as service:
        first = service.spawn("replay")
        with pytest.raises(ForkingServiceError, match=r"^too many children: 1 are running$"):
            service.spawn("rocks")
        first.communicate()


def test_it_can_be_used_as_a_popen(shared: Service) -> None:
    with shared.spawn("replay") as child:
        assert child.poll() is None
        assert child.returncode is None
        child.stdin.write(b"1 one\n2 two\n1 three")
        assert child.stdout.readline() == b"one\n"
        assert child.stderr.readline() == b"two\n"
        child.stdin.close()
        assert child.stdout.read() == b"three"
        assert child.wait() == 0
        assert child.poll() == 0
        assert child.args == ("replay",)


def test_communicate_takes_what_was_read_ahead(shared: Service) -> None:
    child = shared.spawn("replay")
    child.stdin.write(b"1 one\n1 two\n1 three\n")
    assert child.stdout.read(2) == b"on"
    assert child.communicate(b"2 four\n") == (b"e\ntwo\nthree\n", b"four\n")


def test_a_wait_that_is_too_long_is_told_as_popen_tells_it(shared: Service) -> None:
    child = shared.spawn("sleep", "1000")  # not what ends when it has read all of its input
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(timeout=0.01)
    child.stdin.write(b"1 x\n")
    with pytest.raises(subprocess.TimeoutExpired):
        child.communicate(timeout=0)
    child.terminate()
    assert child.communicate() == (b"", b"")
    assert child.returncode == -signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGHUP])
def test_a_signal_is_sent(shared: Service, number: signal.Signals) -> None:
    child = shared.spawn("sleep", "1000")
    child.send_signal(number)
    assert child.wait() == -number
    child.send_signal(number)
    child.communicate()
    assert is_gone(child.pid)


def test_an_interrupted_command_says_so(shared: Service) -> None:
    child = shared.spawn("replay")
    child.stdin.write(b"1 x\n")
    assert child.stdout.readline() == b"x\n"
    child.send_signal(signal.SIGINT)
    _, err = child.communicate()
    assert err.endswith(b"KeyboardInterrupt\n")
    assert child.returncode == 130


def test_it_leaves_no_descriptor(shared: Service) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    for argv in (["rocks"], ["exit", "3"], ["crash", "KILL"]):
        shared.spawn(*argv).communicate()
    with pytest.raises(ServiceNotThere):
        ForkingServiceClient("/no/such").spawn(["x"])
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_when_the_service_dies_its_clients_hear_it() -> None:
    with Service() as service:
        child = service.spawn("replay")
        child.stdin.write(b"1 here\n")
        assert child.stdout.readline() == b"here\n"
        service.die()
        assert child.wait() == 255
        # The child itself goes on, for whoever still talks with it.
        assert child.communicate(b"1 x\n") == (b"x\n", b"")


# A service that lies


class Liar:
    """Listens, and answers one request with fixed pieces. *stays*: until the client goes."""

    def __init__(self, path: str, pieces: list[bytes], *, stays: bool = False) -> None:
        self.path = path
        self._pieces = pieces
        self._stays = stays
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()

    def _answer(self) -> None:
        with self._listener, self._listener.accept()[0] as one:
            one.recv(4096)
            for piece in self._pieces:
                one.sendall(piece)
            while self._stays and one.recv(4096):
                pass

    def end(self) -> None:
        """Wait for its thread."""
        self._thread.join()


@pytest.fixture
def place(shared: Service) -> Iterator[str]:
    """A path for a socket."""
    path = os.path.join(shared.place, "liar")
    yield path
    os.unlink(path)


@pytest.mark.parametrize(
    ("pieces", "why"),
    [
        ([], "the service closed the connection without a reply"),
        ([b"ok\n"], "ok"),
        ([b"ok\nx\n/tmp\n"], "ok"),
        ([b"nonsense\n"], "nonsense"),
        ([b"FAIL", b"URE\nno", b" room\n"], "no room"),
        ([b"ok\n0\n/tmp\n"], "cannot watch the child 0: "),
        ([b"ok\n1\n", b"/no/such/directory\nexited\n9\n"], "cannot .* child 1: .* ended with -9"),
    ],
)
def test_what_is_no_child_is_an_error(place: str, pieces: list[bytes], why: str) -> None:
    liar = Liar(place, pieces)
    with pytest.raises(ForkingServiceError, match=f"^{why}"):
        ForkingServiceClient(place, timeout=30).spawn(["x"])
    liar.end()


def test_a_service_that_says_nothing_is_given_up(place: str) -> None:
    liar = Liar(place, [], stays=True)
    with pytest.raises(ForkingServiceError, match=r"^no reply from the service: timed out$"):
        ForkingServiceClient(place, timeout=0.05).spawn(["x"])
    liar.end()


def test_a_child_that_has_gone_before_it_is_talked_with_is_an_error(place: str) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    liar = Liar(place, [b"ok\n%d\n/no/such\nexited\n0\n" % gone.pid])
    with pytest.raises(ForkingServiceError, match=rf"^cannot talk to child {gone.pid}: .* with 0$"):
        ForkingServiceClient(place, timeout=30).spawn(["x"])
    liar.end()


def test_a_child_that_reads_nothing_of_much_input_ends_as_it_would(shared: Service) -> None:
    child = shared.spawn("exit", "3")
    assert child.communicate(b"x" * 10**6) == (b"", b"")
    assert child.returncode == 3


def test_a_stream_that_was_closed_says_so(shared: Service) -> None:
    child = shared.spawn("sleep", "1000")
    raw = child.stdout.raw
    child.kill()
    child.communicate()
    with pytest.raises(ValueError, match="closed file"):
        raw.fileno()
    assert child.returncode == -signal.SIGKILL


def test_a_child_is_what_a_service_without_fallback_gives(shared: Service) -> None:
    child = shared.client.spawn(["rocks"])
    assert isinstance(child, ForkedProcess)
    assert child.communicate() == (b"It sure does!\n", b"")
    assert "returncode 0" in repr(child)
