"""Short transfers on sockets, and the addresses and descriptors in their messages."""

import array
import contextlib
import os
import select
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from harness._kernel.message import ControlMessage, build_control
from harness._supervisor.emulate import Transfer
from tests.kernel.patient import (
    CONTINUE,
    CONTROL,
    HEADER,
    NAME,
    NOWHERE,
    OFFSETS,
    WAIT,
    Ends,
    Gifts,
    Patient,
    answer,
    arguments,
    fail,
    fill_up,
    tcp,
    unix,
)

CMSG_CLOEXEC = socket.MSG_CMSG_CLOEXEC

RECEIVING = pytest.mark.parametrize("name", ["read", "readv", "preadv2", "recvfrom", "recvmsg"])
SENDING = pytest.mark.parametrize("name", ["write", "writev", "pwritev2", "sendto", "sendmsg"])
STREAMS = pytest.mark.parametrize("stream", [unix, tcp])
Stream = Callable[[], AbstractContextManager[Ends]]


def arrived(end: socket.socket, count: int) -> None:
    """Wait until *count* bytes can be read: TCP hands them over a little later."""
    assert len(end.recv(count, socket.MSG_PEEK | socket.MSG_WAITALL)) == count


# Receiving


@RECEIVING
@STREAMS
def test_a_stream_is_received_in_parts_to_its_end(
    patient: Patient, name: str, stream: Stream
) -> None:
    with stream() as (ours, theirs):
        seen = theirs.dup()
        number = patient.take(theirs.detach())
        args = arguments(patient, name, number, (patient.base, 9))
        assert patient.short(name, *args) == WAIT
        assert not patient.is_ready(name, number)
        ours.sendall(b"abc")
        arrived(seen, 3)
        assert patient.is_ready(name, number)
        assert patient.short(name, *args) == answer(2)
        assert patient.get(0, 3) == b"ab\0"
        args = arguments(patient, name, number, (patient.base, 9))
        assert patient.short(name, *args) == answer(1)
        assert patient.get(0, 3) == b"cb\0"
        ours.close()
        assert seen.recv(1) == b""
        seen.close()
        args = arguments(patient, name, number, (patient.base, 9))
        assert patient.short(name, *args) == answer(0)


@RECEIVING
def test_an_empty_stream_that_does_not_block(patient: Patient, name: str) -> None:
    with unix() as (ours, theirs):
        theirs.setblocking(False)
        number = patient.take(theirs.detach())
        args = arguments(patient, name, number, (patient.base, 9))
        assert patient.short(name, *args) == fail("EAGAIN")
        ours.send(b"abc")
        assert patient.short(name, *args) == answer(2)


@pytest.mark.parametrize("name", ["recvfrom", "recvmsg"])
def test_a_receiver_that_asks_not_to_wait(patient: Patient, name: str) -> None:
    with unix() as (_, theirs):
        number = patient.take(theirs.detach())
        args = arguments(patient, name, number, (patient.base, 9), flags=socket.MSG_DONTWAIT)
        assert patient.short(name, *args) == fail("EAGAIN")


@pytest.mark.parametrize("name", ["recvfrom", "recvmsg"])
def test_a_receiver_that_asks_for_all_gets_part(patient: Patient, name: str) -> None:
    with unix() as (ours, theirs):
        number = patient.take(theirs.detach())
        ours.send(b"abc")
        args = arguments(patient, name, number, (patient.base, 9), flags=socket.MSG_WAITALL)
        assert patient.short(name, *args, count=5) == answer(3)


@pytest.mark.parametrize("name", ["recvfrom", "recvmsg"])
@pytest.mark.parametrize("flag", ["MSG_PEEK", "MSG_TRUNC", "MSG_OOB", "MSG_ERRQUEUE"])
def test_receiving_otherwise_is_the_kernels(patient: Patient, name: str, flag: str) -> None:
    with unix() as (ours, theirs):
        number = patient.take(theirs.detach())
        ours.send(b"abc")
        args = arguments(patient, name, number, (patient.base, 9), flags=getattr(socket, flag))
        assert patient.short(name, *args) == CONTINUE


def test_a_wait_that_the_socket_limits_is_the_kernels(patient: Patient) -> None:
    limit = struct.pack("=qq", 1, 0)
    with unix() as (ours, theirs):
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        number = patient.take(theirs.detach())
        assert patient.short("read", number, patient.base, 9) == CONTINUE
        ours.send(b"abc")
        assert patient.short("read", number, patient.base, 9) == answer(2)


def test_a_socket_that_collects_first_is_the_kernels(patient: Patient) -> None:
    with tcp() as (ours, theirs):
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 3)
        number = patient.take(theirs.detach())
        ours.sendall(b"abcd")
        assert patient.short("read", number, patient.base, 9) == CONTINUE


def test_a_reset_connection_says_so_once(patient: Patient) -> None:
    with tcp() as (ours, theirs):
        seen = theirs.dup()
        number = patient.take(theirs.detach())
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 0))
        ours.close()
        assert select.select([seen], [], [])[0]
        assert patient.is_ready("read", number)
        seen.close()
        assert patient.short("read", number, patient.base, 9) == fail("ECONNRESET")
        assert patient.short("read", number, patient.base, 9) == answer(0)


def test_a_socket_that_only_listens(patient: Patient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = patient.take(server.detach())
        assert patient.short("recvfrom", number, patient.base, 9) == fail("ENOTCONN")


def test_receiving_into_a_wrong_address_consumes_nothing(patient: Patient) -> None:
    with unix() as (ours, theirs):
        seen = theirs.dup()
        number = patient.take(theirs.detach())
        ours.send(b"abc")
        for name in "read", "recvfrom", "recvmsg":
            for address in NOWHERE, patient.read_only():
                args = arguments(patient, name, number, (address, 9))
                assert patient.short(name, *args) == fail("EFAULT")
        assert patient.short("recvmsg", number, NOWHERE) == fail("EFAULT")
        assert patient.short("recvmsg", number, patient.read_only()) != answer(2)
        assert patient.short("recvfrom", number, patient.base, 9, 0, NOWHERE, NOWHERE) == CONTINUE
        assert seen.recv(9) == b"abc"
        seen.close()


@contextlib.contextmanager
def named(tmp_path: Path) -> Iterator[Ends]:
    """A connection whose first end has an address that the second is told."""
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(bytes(tmp_path / "server"))
        server.listen()
        client.bind(b"\0peer-of-" + bytes(tmp_path)[-40:])
        client.connect(bytes(tmp_path / "server"))
        accepted, _ = server.accept()
        with accepted:
            yield client, accepted


@pytest.mark.parametrize("room", [0, 5, 100, 9999])
def test_the_senders_address_is_told_as_far_as_there_is_room(
    patient: Patient, tmp_path: Path, room: int
) -> None:
    with named(tmp_path) as (ours, theirs):
        address = struct.pack("=H", socket.AF_UNIX) + ours.getsockname()
        number = patient.take(theirs.detach())
        at = patient.put(NAME, bytes(200))
        length = patient.put(OFFSETS, struct.pack("=i", room))
        ours.send(b"abcdef")
        assert patient.short("recvfrom", number, patient.base, 9, 0, at, length) == answer(2)
        assert patient.get(NAME, 200) == address[:room].ljust(200, b"\0")
        assert struct.unpack("=i", patient.get(OFFSETS, 4)) == (len(address),)

        patient.put(NAME, bytes(200))
        header = patient.header((patient.base, 9), name=room or 1)
        assert patient.short("recvmsg", number, header) == answer(2)
        assert patient.get(NAME, 200) == address[: room or 1].ljust(200, b"\0")
        assert patient.told().msg_namelen == len(address)


def test_a_connection_by_tcp_tells_no_address(patient: Patient) -> None:
    with tcp() as (ours, theirs):
        arrived_at = theirs.dup()
        number = patient.take(theirs.detach())
        ours.sendall(b"abcdef")
        arrived(arrived_at, 6)
        arrived_at.close()
        assert patient.short(
            "recvmsg", number, patient.header((patient.base, 9), name=16)
        ) == answer(2)
        assert (patient.told().msg_namelen, patient.told().msg_flags) == (0, 0)
        assert patient.get(HEADER, 8) == struct.pack("=Q", patient.base + NAME)


# Descriptors in messages


def pass_fds(end: socket.socket, data: bytes, *fds: int) -> None:
    end.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])


def same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)


def rights(*numbers: int) -> bytes:
    data = struct.pack(f"={len(numbers)}i", *numbers)
    return build_control([ControlMessage(socket.SOL_SOCKET, socket.SCM_RIGHTS, data)])


@pytest.mark.parametrize("flags", [0, CMSG_CLOEXEC])
def test_received_descriptors_are_given_to_the_caller(patient: Patient, flags: int) -> None:
    out, into = os.pipe()
    gifts = Gifts()
    with unix() as (ours, theirs):
        number = patient.take(theirs.detach())
        pass_fds(ours, b"abc", out, into)
        header = patient.header((patient.base, 9), room=100)
        assert patient.short("recvmsg", number, header, flags, give=gifts) == answer(2)
        assert [cloexec for _, cloexec in gifts.given] == [bool(flags)] * 2
        assert all(map(same, (stat for stat, _ in gifts.given), map(os.fstat, (out, into))))
        assert patient.get(CONTROL, 24) == rights(100, 101)
        assert (patient.told().msg_controllen, patient.told().msg_flags) == (24, flags)

        header = patient.header((patient.base, 9), room=100)
        assert patient.short("recvmsg", number, header) == answer(1)
        assert (patient.told().msg_controllen, patient.told().msg_flags) == (0, 0)
    os.close(out)
    os.close(into)


@pytest.mark.parametrize(("room", "limit"), [(20, 9), (24, 1), (23, 1)])
def test_a_descriptor_that_does_not_fit_is_lost_and_said_to_be(
    patient: Patient, room: int, limit: int
) -> None:
    out, into = os.pipe()
    with unix() as (ours, theirs):
        number = patient.take(theirs.detach())
        pass_fds(ours, b"abc", out, into)
        header = patient.header((patient.base, 9), room=room)
        assert patient.short("recvmsg", number, header, give=Gifts(limit)) == answer(2)
        assert patient.get(CONTROL, 24) == rights(100) + bytes(4)
        told = patient.told()
        assert (told.msg_controllen, told.msg_flags) == (min(room, 24), socket.MSG_CTRUNC)
    os.close(out)
    os.close(into)


def test_when_no_descriptor_fits_there_is_no_control_data(patient: Patient) -> None:
    out, into = os.pipe()
    with unix() as (ours, theirs):
        number = patient.take(theirs.detach())
        pass_fds(ours, b"abc", out, into)
        header = patient.header((patient.base, 9), room=64)
        assert patient.short("recvmsg", number, header, give=Gifts(0)) == answer(2)
        told = patient.told()
        assert (told.msg_controllen, told.msg_flags) == (0, socket.MSG_CTRUNC)
    os.close(out)
    os.close(into)


@pytest.mark.parametrize("name", ["read", "recvfrom", "recvmsg"])
def test_descriptors_that_nobody_asked_for_are_closed(patient: Patient, name: str) -> None:
    out, into = os.pipe()
    with unix() as (ours, theirs):
        number = patient.take(theirs.detach())
        pass_fds(ours, b"abc", into)
        os.close(into)
        args = arguments(patient, name, number, (patient.base, 9))
        assert patient.short(name, *args) == answer(2)
        assert os.read(out, 1) == b"", "the other end is still open somewhere"
        if name == "recvmsg":
            assert patient.told().msg_flags == socket.MSG_CTRUNC
    os.close(out)


def test_other_control_data_is_the_kernels_and_nothing_is_consumed(patient: Patient) -> None:
    out, into = os.pipe()
    with unix() as (ours, theirs):
        seen = theirs.dup()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        number = patient.take(theirs.detach())
        pass_fds(ours, b"abc", out)
        header = patient.header((patient.base, 9), room=100)
        assert patient.short("recvmsg", number, header) == CONTINUE
        assert seen.recv(9) == b"abc"
        seen.close()
    os.close(out)
    os.close(into)


def test_sent_descriptors_are_the_callers(patient: Patient) -> None:
    out, into = os.pipe()
    with unix() as (ours, theirs):
        number, passed = patient.take(theirs.detach()), patient.take(out)
        header = patient.header((patient.put(0, b"abc"), 3), control=rights(passed, passed))
        assert patient.short("sendmsg", number, header) == answer(2)
        data, fds, _, _ = socket.recv_fds(ours, 9, 9)
        os.write(into, b"through")
        assert (data, len(fds), os.read(fds[1], 9)) == (b"ab", 2, b"through")
        for fd in (*fds, into):
            os.close(fd)


@pytest.mark.parametrize(
    ("control", "expected"),
    [
        (rights(999), fail("EBADF")),
        (build_control([ControlMessage(socket.SOL_SOCKET, 2, bytes(12))]), CONTINUE),
        (struct.pack("=Qii", 9, 1, 1), CONTINUE),
        (rights(*[0] * 254), CONTINUE),
    ],
    ids=["no descriptor", "credentials", "malformed", "too many"],
)
def test_control_data_that_cannot_be_sent(
    patient: Patient, control: bytes, expected: Transfer
) -> None:
    with unix() as (ours, theirs):
        number = patient.take(theirs.detach())
        header = patient.header((patient.base, 3), control=control)
        assert patient.short("sendmsg", number, header) == expected
        ours.setblocking(False)
        with pytest.raises(BlockingIOError):
            ours.recv(1)


# Sending


@SENDING
@STREAMS
def test_the_first_bytes_are_sent(patient: Patient, name: str, stream: Stream) -> None:
    with stream() as (ours, theirs):
        number = patient.take(theirs.detach())
        args = arguments(patient, name, number, (patient.put(0, b"abc"), 3))
        assert patient.short(name, *args) == answer(2)
        patient.drop(number)
        assert ours.recv(9) == b"ab"
        assert ours.recv(9) == b""


@SENDING
@pytest.mark.parametrize("blocking", [True, False])
def test_a_full_stream(patient: Patient, name: str, blocking: bool) -> None:
    with unix() as (ours, theirs):
        fill_up(theirs)
        theirs.setblocking(blocking)
        number = patient.take(theirs.detach())
        args = arguments(patient, name, number, (patient.base, 9))
        assert patient.short(name, *args) == (WAIT if blocking else fail("EAGAIN"))
        assert not patient.is_ready(name, number)
        while not patient.is_ready(name, number):
            ours.recv(4096)
        assert patient.short(name, *args) == answer(2)


@SENDING
def test_a_stream_whose_reader_is_gone_breaks_with_a_signal(patient: Patient, name: str) -> None:
    with unix() as (ours, theirs):
        number = patient.take(theirs.detach())
        ours.close()
        args = arguments(patient, name, number, (patient.base, 9))
        assert patient.short(name, *args) == fail("EPIPE", sigpipe=True)
        if name.startswith("send"):
            args = arguments(patient, name, number, (patient.base, 9), flags=socket.MSG_NOSIGNAL)
            assert patient.short(name, *args) == fail("EPIPE")


@pytest.mark.parametrize("flag", [socket.MSG_OOB, socket.MSG_EOR, 0x4000000, 0x20000000])
def test_sending_otherwise_is_the_kernels(patient: Patient, flag: int) -> None:
    with tcp() as (_, theirs):
        number = patient.take(theirs.detach())
        assert patient.short("sendto", number, patient.base, 9, flag) == CONTINUE


def test_an_address_is_passed_on_to_the_kernel(patient: Patient) -> None:
    with unix() as (_, theirs):
        number = patient.take(theirs.detach())
        at = patient.put(NAME, struct.pack("=H", socket.AF_UNIX) + b"\0somewhere")
        assert patient.short("sendto", number, patient.base, 9, 0, at, 12) == fail("EISCONN")
        header = patient.header((patient.base, 9), name=12)
        assert patient.short("sendmsg", number, header) == fail("EISCONN")
        assert patient.short("sendto", number, patient.base, 9, 0, at, 129) == CONTINUE
