"""What a parked call touches, by its descriptors and names: asked of our own process."""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness._supervisor.decisions import Footprint, conflict
from harness._supervisor.footprint import touches
from harness._supervisor.tasks import Task
from harness.calls import NR

_AT_FDCWD = 0xFFFFFF9C
_O_CREAT = 0o100


class Caller:
    """Ourselves as a task; each call is parked with *arguments*, of which paths are bytes."""

    def __init__(self) -> None:
        self.task = Task(os.getpid(), os.getpid(), None)
        self._kept: list[ctypes.Array[ctypes.c_char]] = []

    def __call__(self, name: str, *arguments: int | bytes | Path) -> Footprint:
        words = [self._word(argument) for argument in arguments]
        a, b, c, d, e, f = words + [0] * (6 - len(words))
        self.task.call = (0, os.getpid(), 0, NR[name], 0, 0, a, b, c, d, e, f)
        return touches(self.task)

    def _word(self, argument: int | bytes | Path) -> int:
        if isinstance(argument, int):
            return argument
        buffer = ctypes.create_string_buffer(os.fsencode(argument))
        self._kept.append(buffer)
        return ctypes.addressof(buffer)


@pytest.fixture
def call() -> Iterator[Caller]:
    caller = Caller()
    yield caller
    caller.task.close()


def test_both_ends_of_a_pipe_are_one_thing_and_another_pipe_is_another(call: Caller) -> None:
    (read, write), (other, end) = os.pipe(), os.pipe()
    try:
        assert conflict(call("read", read, 0, 1), call("write", write, 0, 1))
        assert not conflict(call("read", read, 0, 1), call("read", other, 0, 1))
        assert conflict(call("close", write), call("read", read, 0, 1))
    finally:
        for fd in read, write, other, end:
            os.close(fd)


def test_a_file_is_one_thing_by_its_name_and_by_its_descriptor(
    call: Caller, tmp_path: Path
) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    path.write_text("x")
    other.write_text("x")
    with path.open() as file:
        by_descriptor = call("write", file.fileno(), 0, 1)
        assert conflict(by_descriptor, call("stat", path, 0))
        assert conflict(call("truncate", path, 0), by_descriptor)
        assert not conflict(by_descriptor, call("stat", other, 0))


def test_two_who_only_look_do_not_conflict(call: Caller, tmp_path: Path) -> None:
    path = tmp_path / "lock"
    looks = call("access", path, 0)
    opens = call("openat", _AT_FDCWD, path, 0)
    makes = call("openat", _AT_FDCWD, path, _O_CREAT)
    assert not looks.changed
    assert conflict(opens, makes)
    assert not conflict(looks, opens)


def test_a_name_that_leads_nowhere_yet_is_a_thing_too(call: Caller, tmp_path: Path) -> None:
    path = tmp_path / "lock"
    looks, makes = call("access", path, 0), call("openat", _AT_FDCWD, path, _O_CREAT)
    assert conflict(looks, makes)
    assert conflict(call("mkdir", path, 0o755), call("rename", path, tmp_path / "other"))
    assert not conflict(looks, call("unlink", Path("/elsewhere/file")))


def test_who_lists_a_directory_conflicts_with_who_makes_a_name_in_it(
    call: Caller, tmp_path: Path
) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        assert conflict(call("getdents64", fd, 0, 0), call("mkdir", tmp_path / "a", 0o755))
        assert not conflict(call("getdents64", fd, 0, 0), call("mkdir", Path("/proc/a"), 0o755))
    finally:
        os.close(fd)


def test_two_who_make_names_in_one_directory_do_not_conflict_unless_it_is_the_same_name(
    call: Caller, tmp_path: Path
) -> None:
    one, other = call("mkdir", tmp_path / "a", 0o755), call("mkdir", tmp_path / "b", 0o755)
    assert not conflict(one, other)
    assert conflict(one, call("openat", _AT_FDCWD, tmp_path / "a", _O_CREAT))
    assert conflict(one, call("rmdir", tmp_path))


def test_threads_of_one_process_share_the_numbers_of_descriptors(
    call: Caller, tmp_path: Path
) -> None:
    file, fd = tmp_path / "file", os.open("/", os.O_RDONLY)
    os.close(fd)
    closes, opens = call("close", fd), call("openat", _AT_FDCWD, file, _O_CREAT)
    assert conflict(closes, opens)
    call.task.tgid += 1
    assert not conflict(closes, call("openat", _AT_FDCWD, file, _O_CREAT))


def test_all_sockets_are_one_thing(call: Caller) -> None:
    one, other = socket.socketpair()
    with one, other, socket.socket() as third:
        sends = call("sendto", one.fileno(), 0, 1)
        assert conflict(sends, call("recvfrom", other.fileno(), 0, 1))
        assert conflict(sends, call("accept4", third.fileno()))


def test_to_end_to_signal_and_to_wait_for_several_conflict_with_all(call: Caller) -> None:
    some = call("write", 2, 0, 1)
    for name in "exit_group", "kill", "poll", "epoll_wait", "execve":
        assert conflict(call(name), some), name


def test_a_call_that_touches_nothing_conflicts_with_nobody(call: Caller) -> None:
    assert call("nanosleep") == call("umask", 0o22) == Footprint()


def test_to_make_a_child_conflicts_with_to_wait_for_one(call: Caller) -> None:
    assert conflict(call("wait4", 1), call("clone"))


def test_of_a_descriptor_that_is_closed_nothing_is_known_but_that_it_is_nothing(
    call: Caller,
) -> None:
    fd = os.open("/", os.O_RDONLY)
    os.close(fd)
    assert call("write", fd, 0, 1) == Footprint()
