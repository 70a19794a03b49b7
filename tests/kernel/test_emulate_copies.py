"""Short transfers from one descriptor to another: nothing is lost when the second takes less."""

import contextlib
import os
import struct
from pathlib import Path

import pytest

from tests.kernel.patient import (
    CONTINUE,
    NOWHERE,
    OFFSETS,
    WAIT,
    Patient,
    answer,
    fail,
    file,
    fill_up,
    tcp,
    unix,
)


def offset(patient: Patient, value: int | None, place: int = 0) -> int:
    if value is None:
        return 0
    return patient.put(OFFSETS + 8 * place, struct.pack("=q", value))


def stored(patient: Patient, place: int = 0) -> int:
    (value,) = struct.unpack("=q", patient.get(OFFSETS + 8 * place, 8))
    return int(value)


@pytest.mark.parametrize("start", [None, 1])
@pytest.mark.parametrize("sink", ["file", "pipe", "unix", "tcp"])
def test_sendfile_sends_a_part_and_moves_one_position(
    patient: Patient, tmp_path: Path, sink: str, start: int | None
) -> None:
    fd = file(tmp_path / "from", b"abcdef")
    ours = os.dup(fd)
    source = patient.take(fd)
    with contextlib.ExitStack() as stack:
        if sink == "file":
            number = patient.take(file(tmp_path / "to"))
            out = os.open(tmp_path / "to", os.O_RDONLY)
        elif sink == "pipe":
            out, into = os.pipe()
            number = patient.take(into)
        else:
            one, two = stack.enter_context(unix() if sink == "unix" else tcp())
            out, number = one.detach(), patient.take(two.detach())
        done = patient.short("sendfile", number, source, offset(patient, start), 5)
    first = start or 0
    assert done == answer(2)
    assert os.read(out, 9) == b"abcdef"[first : first + 2]
    if start is None:
        assert os.lseek(ours, 0, os.SEEK_CUR) == 2
    else:
        assert (os.lseek(ours, 0, os.SEEK_CUR), stored(patient)) == (0, 3)
    os.close(out)
    os.close(ours)


def test_sendfile_to_a_full_stream_takes_nothing(patient: Patient, tmp_path: Path) -> None:
    fd = file(tmp_path / "from", b"abcdef")
    ours = os.dup(fd)
    source = patient.take(fd)
    with unix() as (one, two):
        fill_up(two)
        number = patient.take(two.detach())
        assert patient.short("sendfile", number, source, 0, 5) == WAIT
        assert not patient.is_ready("sendfile", number, source)
        assert os.lseek(ours, 0, os.SEEK_CUR) == 0
        one.close()
        assert patient.short("sendfile", number, source, 0, 5) == fail("EPIPE", sigpipe=True)
    os.close(ours)


def test_sendfile_to_a_full_pipe_waits(patient: Patient, tmp_path: Path) -> None:
    source = patient.take(file(tmp_path / "from", b"abcdef"))
    out, into = os.pipe()
    os.write(into, bytes(65536))
    number = patient.take(into)
    assert patient.short("sendfile", number, source, 0, 5) == WAIT
    os.close(out)
    assert patient.short("sendfile", number, source, 0, 5) == fail("EPIPE", sigpipe=True)


def test_sendfile_from_what_is_no_file_is_the_kernels(patient: Patient, tmp_path: Path) -> None:
    out, into = os.pipe()
    source, number = patient.take(out), patient.take(file(tmp_path / "to"))
    assert patient.short("sendfile", number, source, 0, 5) == CONTINUE
    os.close(into)


def test_splice_moves_a_part_between_pipes(patient: Patient) -> None:
    (out, into), (last, sink) = os.pipe(), os.pipe()
    args = patient.take(out), 0, patient.take(sink), 0, 9
    assert patient.short("splice", *args) == WAIT
    assert not patient.is_ready("splice", *args)
    assert patient.short("splice", *args, os.SPLICE_F_NONBLOCK) == fail("EAGAIN")
    os.write(into, b"abc")
    assert patient.is_ready("splice", *args)
    assert patient.short("splice", *args) == answer(2)
    assert os.read(last, 9) == b"ab"
    os.close(last)
    assert patient.short("splice", *args) == fail("EPIPE", sigpipe=True)
    os.close(into)


def test_splice_between_a_pipe_and_a_file_keeps_offsets(patient: Patient, tmp_path: Path) -> None:
    number = patient.take(file(tmp_path / "f", b"abcdef"))
    out, into = os.pipe()
    pipe_out, pipe_in = patient.take(os.dup(out)), patient.take(into)
    at = offset(patient, 3)
    assert patient.short("splice", number, at, pipe_in, 0, 9) == answer(2)
    assert stored(patient) == 5
    assert patient.short("splice", pipe_out, 0, number, offset(patient, 0), 9, count=1) == answer(1)
    assert stored(patient) == 1
    assert (tmp_path / "f").read_bytes() == b"dbcdef"
    assert os.read(out, 9) == b"e"
    assert patient.short("splice", number, 0, pipe_in, at, 9) == fail("ESPIPE")
    os.close(out)


def test_splice_from_a_stream_into_a_pipe_loses_nothing(patient: Patient) -> None:
    out, into = os.pipe()
    with unix() as (ours, theirs):
        seen = theirs.dup()
        args = patient.take(theirs.detach()), 0, patient.take(os.dup(into)), 0, 9
        assert patient.short("splice", *args) == WAIT
        ours.send(b"abc")
        os.write(into, bytes(65536))
        assert patient.short("splice", *args) == WAIT
        assert not patient.is_ready("splice", *args)
        os.read(out, 65536)
        assert patient.short("splice", *args) == answer(2)
        assert (os.read(out, 9), seen.recv(9)) == (b"ab", b"c")
        ours.close()
        assert patient.short("splice", *args) == answer(0)
        seen.close()
    os.close(into)
    os.close(out)


def test_splice_from_a_pipe_into_a_stream_loses_nothing(patient: Patient) -> None:
    out, into = os.pipe()
    with unix() as (ours, theirs):
        seen = theirs.dup()
        args = patient.take(os.dup(out)), 0, patient.take(theirs.detach()), 0, 9
        assert patient.short("splice", *args) == WAIT
        os.write(into, b"abc")
        assert patient.short("splice", *args) == answer(2)
        assert ours.recv(9) == b"ab"
        fill_up(seen)
        seen.close()
        assert patient.short("splice", *args) == WAIT
        assert os.read(out, 9) == b"c"
        os.close(into)
        assert patient.short("splice", *args) == answer(0)
    os.close(out)


def test_splice_without_a_pipe_is_the_kernels(patient: Patient, tmp_path: Path) -> None:
    one, two = (patient.take(file(tmp_path / name, b"abc")) for name in "ab")
    assert patient.short("splice", one, 0, two, 0, 9) == CONTINUE


@pytest.mark.parametrize("start", [None, 1])
@pytest.mark.parametrize("end", [None, 2])
def test_copy_file_range_copies_a_part(
    patient: Patient, tmp_path: Path, start: int | None, end: int | None
) -> None:
    source = patient.take(file(tmp_path / "from", b"abcdef"))
    sink = patient.take(file(tmp_path / "to", b"123456"))
    args = source, offset(patient, start), sink, offset(patient, end, 1), 5
    assert patient.short("copy_file_range", *args) == answer(2)
    copied = b"ab" if start is None else b"bc"
    assert (tmp_path / "to").read_bytes() == (
        copied + b"3456" if end is None else b"12" + copied + b"56"
    )
    assert start is None or stored(patient) == 3
    assert end is None or stored(patient, 1) == 4
    assert patient.short("copy_file_range", *args, 1) == CONTINUE


def test_offsets_that_cannot_be_written_back_are_the_kernels(
    patient: Patient, tmp_path: Path
) -> None:
    one, two = (patient.take(file(tmp_path / name, b"abc")) for name in "ab")
    for address in NOWHERE, patient.read_only():
        assert patient.short("copy_file_range", one, address, two, 0, 9) == CONTINUE
        assert patient.short("sendfile", two, one, address, 9) == CONTINUE
    assert (tmp_path / "b").read_bytes() == b"abc"


def test_what_a_pipe_does_not_take_stays_in_the_stream(patient: Patient) -> None:
    out, into = os.pipe()
    with unix() as (ours, theirs):
        seen = theirs.dup()
        args = patient.take(theirs.detach()), 0, patient.take(into), 0, 9000
        ours.sendall(bytes(range(250)) * 24)
        assert patient.short("splice", *args, count=5000) == answer(4096)
        assert os.read(out, 9999) + seen.recv(9999) == bytes(range(250)) * 24
        seen.close()
    os.close(out)
