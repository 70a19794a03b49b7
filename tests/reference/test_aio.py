"""The client for asyncio: shaped like asyncio's own, and never left waiting."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import Iterator

import pytest

from reference.forking_service.aio import ForkedProcess, create_forked_process
from reference.forking_service.client import ForkingServiceError, ServiceNotThere
from tests.reference.support import Service, is_gone
from tests.reference.test_client import Liar


async def run(service: Service, *argv: str, input: bytes = b"") -> tuple[bytes, bytes, int]:
    process = await create_forked_process(*argv, path=service.path)
    out, err = await process.communicate(input)
    assert process.returncode is not None
    return out, err, process.returncode


def test_a_child_says_what_it_has_to_say(shared: Service) -> None:
    assert asyncio.run(run(shared, "rocks")) == (b"It sure does!\n", b"", 0)


def test_it_is_given_its_variables(shared: Service) -> None:
    async def who() -> bytes:
        process = await create_forked_process(
            "whoami", path=shared.path, env={"BZR_EMAIL": "a@weekend"}
        )
        return (await process.communicate())[0]

    assert asyncio.run(who()) == b"a@weekend\n"


def test_many_at_once_do_not_mix(shared: Service) -> None:
    async def all_of_them() -> list[tuple[bytes, bytes, int]]:
        inputs = [b"1 %d\n2 %d\n" % (n, -n) for n in range(20)]
        return await asyncio.gather(*(run(shared, "replay", input=one) for one in inputs))

    assert asyncio.run(all_of_them()) == [(b"%d\n" % n, b"%d\n" % -n, 0) for n in range(20)]


def test_a_large_input_comes_back_whole(shared: Service) -> None:
    lines = [b"%d %d %s\n" % (1 + n % 3 % 2, n, b"x" * (n % 90)) for n in range(20_000)]
    out, err, status = asyncio.run(run(shared, "replay", input=b"".join(lines)))
    assert status == 0
    assert out == b"".join(line[2:] for line in lines if line.startswith(b"1"))
    assert err == b"".join(line[2:] for line in lines if line.startswith(b"2"))


def test_they_talk_in_turns(shared: Service) -> None:
    async def talk() -> int:
        process = await create_forked_process("lp-serve", "--inet", "7", path=shared.path)
        assert process.returncode is None
        for _ in range(3):
            process.stdin.write(b"hello\n")
            assert await process.stdout.readline() == b"ok\x012\n"
        process.stdin.close()
        await process.stdin.wait_closed()
        assert await process.stdout.read() == b""
        return await process.wait()

    assert asyncio.run(talk()) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_is_sent_and_told(shared: Service, number: signal.Signals) -> None:
    async def ends() -> ForkedProcess:
        process = await create_forked_process("sleep", "1000", path=shared.path)
        process.send_signal(number)
        assert await process.wait() == -number
        assert await process.communicate(b"1 x\n") == (b"", b"")
        return process

    process = asyncio.run(ends())
    assert f"returncode {-number}" in repr(process)
    assert is_gone(process.pid)
    with pytest.raises(ProcessLookupError):
        process.kill()


def test_a_wait_that_is_given_up_can_be_begun_again(shared: Service) -> None:
    async def waits() -> int:
        process = await create_forked_process("sleep", "1000", path=shared.path)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(process.wait(), 0.01)
        process.terminate()
        return await process.wait()

    assert asyncio.run(waits()) == -signal.SIGTERM


def test_the_loop_goes_on_while_a_child_is_awaited(shared: Service) -> None:
    async def both() -> int:
        slow = await create_forked_process("sleep", "1000", path=shared.path)
        ended = asyncio.ensure_future(slow.communicate())
        assert await run(shared, "rocks") == (b"It sure does!\n", b"", 0)
        slow.terminate()
        await ended
        assert slow.returncode is not None
        return slow.returncode

    assert asyncio.run(both()) == -signal.SIGTERM


def test_without_a_service_the_error_is_clear() -> None:
    with pytest.raises(ServiceNotThere, match=r"^no forking service at /no/such: No such file"):
        asyncio.run(create_forked_process("x", path="/no/such"))


def test_a_refusal_is_the_services_own_words() -> None:
    with (
        Service("--allow-user", "4294967294") as service,
        pytest.raises(ForkingServiceError, match=r"^not allowed: uid "),
    ):
        asyncio.run(create_forked_process("x", path=service.path))


def test_a_child_that_cannot_be_asked_for_is_the_callers_error(shared: Service) -> None:
    with pytest.raises(ValueError, match="no command"):
        asyncio.run(create_forked_process(path=shared.path))


def test_when_the_service_dies_its_clients_hear_it() -> None:
    async def dies(service: Service) -> int:
        process = await create_forked_process("replay", path=service.path)
        process.stdin.write(b"1 here\n")
        assert await process.stdout.readline() == b"here\n"
        service.die()
        assert await process.wait() == 255
        # The child itself goes on, for whoever still talks with it.
        assert await process.communicate(b"1 x\n") == (b"x\n", b"")
        return process.pid

    with Service() as service:
        asyncio.run(dies(service))


@pytest.fixture
def place(shared: Service) -> Iterator[str]:
    path = os.path.join(shared.place, "liar")
    yield path
    os.unlink(path)


@pytest.mark.parametrize(
    ("pieces", "why"),
    [
        ([], "the service closed the connection without a reply"),
        ([b"FAIL", b"URE\nno", b" room\n"], "no room"),
        ([b"ok\n1\n", b"/no/such/directory\nexited\n9\n"], "cannot .* child 1: .* ended: -9"),
    ],
)
def test_what_is_no_child_is_an_error(place: str, pieces: list[bytes], why: str) -> None:
    liar = Liar(place, pieces)
    with pytest.raises(ForkingServiceError, match=f"^{why}"):
        asyncio.run(create_forked_process("x", path=place))
    liar.end()


def test_a_service_that_says_nothing_is_given_up(place: str) -> None:
    liar = Liar(place, [], stays=True)
    with pytest.raises(ForkingServiceError, match=r"^no child of .* after 0.05 s$"):
        asyncio.run(create_forked_process("x", path=place, timeout=0.05))
    liar.end()


def test_so_is_one_whose_queue_is_full(place: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(place)
        listener.listen(0)
        first.connect(place)
        with pytest.raises(ForkingServiceError, match=r"^no child of .* after 0.05 s$"):
            asyncio.run(create_forked_process("x", path=place, timeout=0.05))


def test_so_is_a_child_that_does_not_come_to_its_streams(place: str) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    liar = Liar(place, [b"ok\n%d\n/no/such\n" % gone.pid], stays=True)
    with pytest.raises(ForkingServiceError, match=r"^no child of .* after 0.05 s$"):
        asyncio.run(create_forked_process("x", path=place, timeout=0.05))
    liar.end()


def test_streams_end_with_a_child_that_never_came_to_them(place: str, shared: Service) -> None:
    directory = os.path.join(shared.place, "d")
    os.mkdir(directory)
    for name in ("stdin", "stdout", "stderr"):
        os.mkfifo(os.path.join(directory, name))
    # Opened only by ourselves, as when the service is killed together with the child.
    reading = os.open(os.path.join(directory, "stdin"), os.O_RDONLY | os.O_NONBLOCK)
    liar = Liar(place, [b"ok\n%d\n%s\nexited\n9\n" % (os.getpid(), directory.encode())])

    async def talk() -> tuple[bytes, bytes]:
        process = await create_forked_process("x", path=place)
        return await process.communicate()

    assert asyncio.run(talk()) == (b"", b"")
    liar.end()
    os.close(reading)
    for name in ("stdin", "stdout", "stderr"):
        os.unlink(os.path.join(directory, name))
    os.rmdir(directory)


def test_it_leaves_no_descriptor(shared: Service) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    asyncio.run(run(shared, "exit", "3"))
    with pytest.raises(ServiceNotThere):
        asyncio.run(create_forked_process("x", path="/no/such"))
    assert sorted(os.listdir("/proc/self/fd")) == before
