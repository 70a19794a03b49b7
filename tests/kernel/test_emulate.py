"""Short transfers on behalf of another process: its own memory and descriptors, without seccomp."""

import contextlib
import errno
import fcntl
import os
import resource
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness._kernel import process
from harness._kernel.memory import Memory
from harness._kernel.message import ControlMessage, build_control, parse_control
from harness._supervisor.caller import Caller, clip, permitted, scatter
from harness._supervisor.emulate import shorten
from harness.calls import CALLS
from tests.kernel.patient import (
    CONTINUE,
    NOWHERE,
    OFFSETS,
    WAIT,
    Gifts,
    Patient,
    answer,
    arguments,
    fail,
    file,
    unix,
)

# Memory: pure


@st.composite
def spans_apart(draw: st.DrawFn) -> list[tuple[int, int]]:
    spans, at = [], 0
    for gap, size in draw(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), max_size=8)):
        spans.append((at + gap, size))
        at += gap + size
    return spans


@given(st.binary(max_size=60), spans_apart())
def test_scattered_data_lies_in_the_spans_in_order_and_nowhere_else(
    data: bytes, spans: list[tuple[int, int]]
) -> None:
    memory: dict[int, int] = {}
    for address, piece in scatter(data, spans):
        assert piece
        memory.update(enumerate(piece, address))
    places = [address + i for address, size in spans for i in range(size)]
    assert memory == dict(zip(places, data, strict=False))


@given(spans_apart(), st.integers(0, 70))
def test_clipped_spans_are_the_first_bytes_of_them(spans: list[tuple[int, int]], size: int) -> None:
    places = [address + i for address, length in spans for i in range(length)]
    clipped = clip(spans, size)
    assert [address + i for address, length in clipped for i in range(length)] == places[:size]


@given(spans_apart(), spans_apart())
def test_what_is_permitted_ends_at_the_first_byte_outside(
    areas: list[tuple[int, int]], spans: list[tuple[int, int]]
) -> None:
    inside = {address + i for address, length in areas for i in range(length)}
    places = [address + i for address, length in spans for i in range(length)]
    expected = next((n for n, place in enumerate(places) if place not in inside), len(places))
    assert permitted([(low, low + size) for low, size in areas], spans) == expected


@given(
    st.lists(
        st.builds(ControlMessage, st.integers(0, 300), st.integers(0, 9), st.binary(max_size=20))
    )
)
def test_control_data_is_read_as_it_was_built(messages: list[ControlMessage]) -> None:
    assert list(parse_control(build_control(messages))) == messages


def test_a_control_message_longer_than_its_data_is_malformed() -> None:
    with pytest.raises(ValueError, match="40 bytes, 20 are there"):
        list(parse_control(struct.pack("=QiiI", 40, 1, 1, 0)))


# Files


def test_every_call_that_can_be_short_is_known(patient: Patient) -> None:
    for name in CALLS:
        if CALLS[name].short != "-":
            assert patient.short(name, 999, 0, 0).kind in ("continue", "fail")


@pytest.mark.parametrize("name", ["read", "readv", "preadv2"])
def test_a_short_read_takes_the_first_bytes_and_moves_the_position(
    patient: Patient, tmp_path: Path, name: str
) -> None:
    fd = file(tmp_path / "f", b"abcdef")
    os.lseek(fd, 1, os.SEEK_SET)
    ours = os.dup(fd)
    number = patient.take(fd)
    assert patient.short(name, *arguments(patient, name, number, (patient.base, 6))) == answer(2)
    assert patient.get(0, 3) == b"bc\0"
    assert os.lseek(ours, 0, os.SEEK_CUR) == 3
    os.close(ours)


@pytest.mark.parametrize("name", ["pread64", "preadv", "preadv2"])
def test_a_short_read_at_an_offset_leaves_the_position(
    patient: Patient, tmp_path: Path, name: str
) -> None:
    fd = file(tmp_path / "f", b"abcdef")
    ours = os.dup(fd)
    number = patient.take(fd)
    memory = patient.vector((patient.base, 4)) if "v" in name else (patient.base, 4)
    assert patient.short(name, number, *memory, 3) == answer(2)
    assert patient.get(0, 3) == b"de\0"
    assert os.lseek(ours, 0, os.SEEK_CUR) == 0
    os.close(ours)


@pytest.mark.parametrize("name", ["write", "writev", "pwritev2"])
def test_a_short_write_at_the_position(patient: Patient, tmp_path: Path, name: str) -> None:
    number = patient.take(file(tmp_path / "f", b"12345", os.O_RDWR | os.O_APPEND))
    at = patient.put(0, b"abcdef")
    assert patient.short(name, *arguments(patient, name, number, (at, 6))) == answer(2)
    assert (tmp_path / "f").read_bytes() == b"12345ab"


@pytest.mark.parametrize("name", ["pwrite64", "pwritev", "pwritev2"])
def test_a_short_write_at_an_offset(patient: Patient, tmp_path: Path, name: str) -> None:
    number = patient.take(file(tmp_path / "f", b"12345"))
    at = patient.put(0, b"abcdef")
    memory = patient.vector((at, 6)) if "v" in name else (at, 6)
    assert patient.short(name, number, *memory, 1) == answer(2)
    assert (tmp_path / "f").read_bytes() == b"1ab45"


def test_a_short_read_fills_one_span_before_the_next(patient: Patient, tmp_path: Path) -> None:
    number = patient.take(file(tmp_path / "f", b"abcdefgh"))
    base = patient.base
    vector = patient.vector((base + 10, 2), (NOWHERE, 0), (base, 3), (base + 20, 9))
    assert patient.short("readv", number, *vector, count=6) == answer(6)
    assert (patient.get(10, 3), patient.get(0, 4), patient.get(20, 2)) == (
        b"ab\0",
        b"cde\0",
        b"f\0",
    )


def test_a_short_write_gathers_one_span_after_the_other(patient: Patient, tmp_path: Path) -> None:
    number = patient.take(file(tmp_path / "f"))
    one, two = patient.put(10, b"ab"), patient.put(0, b"cdefg")
    vector = patient.vector((one, 2), (NOWHERE, 0), (two, 5))
    assert patient.short("writev", number, *vector, count=4) == answer(4)
    assert (tmp_path / "f").read_bytes() == b"abcd"


def test_the_end_of_a_file_is_an_answer_of_nothing(patient: Patient, tmp_path: Path) -> None:
    number = patient.take(file(tmp_path / "f"))
    assert patient.short("read", number, patient.base, 9) == answer(0)


@pytest.mark.parametrize("length", [0, 1, 2])
def test_a_transfer_that_is_short_enough_is_the_kernels(
    patient: Patient, tmp_path: Path, length: int
) -> None:
    number = patient.take(file(tmp_path / "f", b"abc"))
    assert patient.short("read", number, patient.base, length) == CONTINUE
    assert patient.short("writev", number, *patient.vector((patient.base, length))) == CONTINUE
    assert patient.short("sendfile", number, number, 0, length) == CONTINUE


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("read", (1 << 63,)),
        ("pread64", (9, -5)),
        ("pwrite64", (9, -1)),
        ("sendfile", ()),
    ],
)
def test_arguments_that_the_kernel_refuses_are_left_to_it(
    patient: Patient, tmp_path: Path, name: str, args: tuple[int, ...]
) -> None:
    number = patient.take(file(tmp_path / "f", b"abc"))
    if name == "sendfile":
        args = number, patient.put(OFFSETS, struct.pack("=q", -1)), 9
        assert patient.short(name, number, *args) == CONTINUE
    else:
        assert patient.short(name, number, patient.base, *args) == CONTINUE
    assert patient.short("readv", number, patient.base, 1025) == CONTINUE


def test_a_huge_read_is_done_in_part_whatever_was_asked(patient: Patient, tmp_path: Path) -> None:
    number = patient.take(file(tmp_path / "f", b"abc"))
    assert patient.short("read", number, patient.base, 1 << 62, count=1 << 61) == answer(3)


def test_devices_that_promise_not_to_wait_are_read_and_written(patient: Patient) -> None:
    zero = patient.take(os.open("/dev/zero", os.O_RDWR))
    patient.put(0, b"abc")
    assert patient.short("read", zero, patient.base, 3) == answer(2)
    assert patient.get(0, 3) == b"\0\0c"
    assert patient.short("write", zero, patient.base, 3) == answer(2)


def test_a_file_of_proc_is_read_but_its_settings_are_not(patient: Patient) -> None:
    status = patient.take(os.open("/proc/self/status", os.O_RDONLY))
    assert patient.short("read", status, patient.base, 99, count=5) == answer(5)
    assert patient.get(0, 6) == b"Name:\0"
    host_name = patient.take(os.open("/proc/sys/kernel/hostname", os.O_RDONLY))
    assert patient.short("read", host_name, patient.base, 99) == CONTINUE
    clear = patient.take(os.open("/proc/self/clear_refs", os.O_WRONLY))
    assert patient.short("write", clear, patient.put(0, b"1\n\n"), 3) == CONTINUE


def records(tmp_path: Path, kind: str) -> int:
    """A descriptor on which a transfer cannot be cut, or might wait."""
    if kind == "directory":
        return os.open(tmp_path, os.O_RDONLY)
    if kind == "eventfd":
        return os.eventfd(7)
    if kind == "terminal":
        controller, terminal = os.openpty()
        os.write(controller, b"line\n")
        os.close(controller)
        return terminal
    if kind == "packets":
        out, into = os.pipe2(os.O_DIRECT)
        os.close(out)
        return into
    type_ = socket.SOCK_DGRAM if kind == "datagrams" else socket.SOCK_SEQPACKET
    one, two = socket.socketpair(socket.AF_UNIX, type_)
    two.send(b"record")
    two.close()
    return one.detach()


@pytest.mark.parametrize(
    "kind", ["directory", "eventfd", "terminal", "packets", "datagrams", "seqpackets"]
)
def test_records_and_devices_that_may_wait_are_the_kernels(
    patient: Patient, tmp_path: Path, kind: str
) -> None:
    number = patient.take(records(tmp_path, kind))
    name = "write" if kind == "packets" else "read"
    assert patient.short(name, number, patient.base, 9) == CONTINUE


def test_a_file_under_a_size_limit_is_the_kernels_to_write(
    patient: Patient, tmp_path: Path
) -> None:
    number = patient.take(file(tmp_path / "f"))
    at = patient.put(0, b"abc")
    none = resource.RLIM_INFINITY
    resource.prlimit(patient.pid, resource.RLIMIT_FSIZE, (1, none))
    try:
        assert patient.short("write", number, at, 3) == CONTINUE
    finally:
        resource.prlimit(patient.pid, resource.RLIMIT_FSIZE, (none, none))
    assert patient.short("write", number, at, 3) == answer(2)


# Wrong descriptors and addresses


@pytest.mark.parametrize("name", sorted(n for n in CALLS if CALLS[n].short != "-"))
@pytest.mark.parametrize("fd", [999, -1, 1 << 31])
def test_a_number_that_is_no_descriptor(patient: Patient, name: str, fd: int) -> None:
    assert patient.short(name, fd, patient.base, 9, 9) == fail("EBADF")


def test_a_descriptor_that_is_open_the_other_way(patient: Patient) -> None:
    out, into = map(patient.take, os.pipe())
    assert patient.short("read", into, patient.base, 9) == fail("EBADF")
    assert patient.short("write", out, patient.base, 9) == fail("EBADF")
    named = patient.take(os.open("/", os.O_PATH))
    assert patient.short("read", named, patient.base, 9) == fail("EBADF")


def test_what_only_sockets_do_on_a_pipe(patient: Patient) -> None:
    out, into = map(patient.take, os.pipe())
    for name, number in ("recvfrom", out), ("recvmsg", out), ("sendto", into), ("sendmsg", into):
        args = arguments(patient, name, number, (patient.base, 9))
        assert patient.short(name, *args) == fail("ENOTSOCK")


def test_an_offset_on_what_has_none(patient: Patient) -> None:
    out, into = map(patient.take, os.pipe())
    assert patient.short("pread64", out, patient.base, 9, 0) == fail("ESPIPE")
    assert patient.short("pwrite64", into, patient.base, 9, 0) == fail("ESPIPE")
    with unix() as (one, _):
        end = patient.take(one.detach())
        assert patient.short("preadv", end, *patient.vector((patient.base, 9)), 0) == fail("ESPIPE")


def test_the_read_into_a_wrong_address_consumes_nothing(patient: Patient) -> None:
    out, into = os.pipe()
    os.write(into, b"abc")
    ours = os.dup(out)
    number = patient.take(out)
    for address in NOWHERE, 1 << 63, patient.read_only():
        assert patient.short("read", number, address, 9) == fail("EFAULT")
    assert patient.short("readv", number, NOWHERE, 1) == fail("EFAULT")
    assert os.read(ours, 9) == b"abc"
    os.close(ours)
    os.close(into)


def test_writing_from_a_wrong_address(patient: Patient, tmp_path: Path) -> None:
    number = patient.take(file(tmp_path / "f"))
    assert patient.short("write", number, NOWHERE, 9) == fail("EFAULT")
    assert patient.short("write", number, patient.read_only(), 9) == answer(2)
    with unix() as (one, _):
        assert patient.short("sendmsg", patient.take(one.detach()), NOWHERE) == fail("EFAULT")


def test_memory_that_ends_early_gives_what_there_is(patient: Patient, tmp_path: Path) -> None:
    number = patient.take(file(tmp_path / "f"))
    at = patient.put(0, b"abc")
    assert patient.short(
        "writev", number, *patient.vector((at, 3), (NOWHERE, 9)), count=9
    ) == answer(3)


def test_a_read_below_the_stack_makes_it_grow(patient: Patient, tmp_path: Path) -> None:
    number = patient.take(file(tmp_path / "f", b"abc"))
    maps = Path(f"/proc/{patient.pid}/maps").read_text().splitlines()
    stack = next(int(line.split("-")[0], 16) for line in maps if line.endswith("[stack]"))
    assert patient.short("read", number, stack - 20000, 9) == answer(2)
    assert patient.memory.read(stack - 20000, 2) == b"ab"


# What is in the way


def test_the_descriptors_of_a_process_without_its_first_thread_are_out_of_reach() -> None:
    program = (
        "import ctypes, sys, threading; threading.Thread(target=sys.stdin.read).start(); "
        "ctypes.CDLL(None).syscall(60, 0)"  # exit, of this thread alone
    )
    with subprocess.Popen([sys.executable, "-I", "-c", program], stdin=subprocess.PIPE) as child:
        while b") Z" not in Path(f"/proc/{child.pid}/stat").read_bytes():
            pass
        (thread,) = (
            int(tid) for tid in os.listdir(f"/proc/{child.pid}/task") if int(tid) != child.pid
        )
        memory = Memory(thread)
        read = CALLS["read"], (0, 0, 9, 0, 0, 0)
        assert shorten(*read, 2, memory=memory, tgid=child.pid, give=Gifts()) == CONTINUE
        memory.close()


def test_a_file_of_a_fuse_is_not_even_duplicated(
    patient: Patient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = patient.take(file(tmp_path / "f", b"abc"))
    monkeypatch.setattr(Caller, "_filesystem", lambda self, number: "fuse.sshfs")
    monkeypatch.delattr(process, "get_fd")
    assert patient.short("read", number, patient.base, 9) == CONTINUE


@pytest.mark.parametrize("wrapper", ["open_pidfd", "get_fd"])
def test_without_the_right_to_duplicate_the_kernel_does_it(
    patient: Patient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrapper: str
) -> None:
    def refuse(*_: int) -> int:
        raise PermissionError(errno.EPERM, "not permitted")

    number = patient.take(file(tmp_path / "f", b"abc"))
    monkeypatch.setattr(process, wrapper, refuse)
    assert patient.short("read", number, patient.base, 9) == CONTINUE


# Pipes and FIFOs


@contextlib.contextmanager
def fifo(tmp_path: Path, flags: int) -> Iterator[tuple[int, int]]:
    """Both ends of a pipe with a name."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    out = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    into = os.open(path, os.O_WRONLY | flags)
    fcntl.fcntl(out, fcntl.F_SETFL, flags)
    yield out, into


@contextlib.contextmanager
def pipe(_: Path, flags: int) -> Iterator[tuple[int, int]]:
    yield os.pipe2(flags)


PIPES = pytest.mark.parametrize("make", [pipe, fifo])
Make = Callable[[Path, int], AbstractContextManager[tuple[int, int]]]


@PIPES
def test_a_pipe_is_read_byte_by_byte_to_its_end(
    patient: Patient, tmp_path: Path, make: Make
) -> None:
    with make(tmp_path, 0) as (out, into):
        number = patient.take(out)
        assert patient.short("read", number, patient.base, 9) == WAIT
        assert not patient.is_ready("read", number)
        os.write(into, b"abc")
        assert patient.is_ready("read", number)
        for byte in b"a", b"b", b"c":
            assert patient.short(
                "readv", number, *patient.vector((patient.base, 9)), count=1
            ) == answer(1)
            assert patient.get(0, 2) == byte + b"\0"
        assert patient.short("read", number, patient.base, 9) == WAIT
        os.close(into)
        assert patient.is_ready("read", number)
        assert patient.short("read", number, patient.base, 9) == answer(0)


@PIPES
def test_an_empty_pipe_that_does_not_block(patient: Patient, tmp_path: Path, make: Make) -> None:
    with make(tmp_path, os.O_NONBLOCK) as (out, into):
        number = patient.take(out)
        assert patient.short("read", number, patient.base, 9) == fail("EAGAIN")
        os.write(into, b"abc")
        assert patient.short("read", number, patient.base, 9) == answer(2)
        os.close(into)


def test_a_read_that_asks_not_to_wait(patient: Patient) -> None:
    out, into = os.pipe()
    number = patient.take(out)
    args = arguments(patient, "preadv2", number, (patient.base, 9), flags=os.RWF_NOWAIT)
    assert patient.short("preadv2", *args) == fail("EAGAIN")
    os.close(into)


@PIPES
@pytest.mark.parametrize("flags", [0, os.O_NONBLOCK])
def test_a_pipe_is_written_until_it_is_full(
    patient: Patient, tmp_path: Path, make: Make, flags: int
) -> None:
    with make(tmp_path, flags) as (out, into):
        number = patient.take(into)
        fcntl.fcntl(out, fcntl.F_SETPIPE_SZ, 4096)
        at = patient.put(0, b"x" * 9000)
        assert patient.short("write", number, at, 9000) == answer(2)
        os.read(out, 9999)
        assert patient.short("write", number, at, 9000, count=8000) == answer(4096)
        full = fail("EAGAIN") if flags else WAIT
        assert patient.short("writev", number, *patient.vector((at, 9000))) == full
        assert not patient.is_ready("write", number)
        os.close(out)


@PIPES
def test_a_pipe_without_a_reader_breaks_with_a_signal(
    patient: Patient, tmp_path: Path, make: Make
) -> None:
    with make(tmp_path, 0) as (out, into):
        number = patient.take(into)
        os.close(out)
        assert patient.short("write", number, patient.base, 9) == fail("EPIPE", sigpipe=True)
        assert patient.is_ready("write", number)
