"""The socket and the lock of a server: who holds the lock decides what becomes of both."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from reference.prefork_interpreter import run_directory
from reference.prefork_interpreter.names import Names, identity_of
from tests.reference.support import PATIENCE_S


@pytest.fixture
def names(tmp_path: Path) -> Names:
    """Those of a server; a file in place of its socket."""
    (tmp_path / "sx").touch()
    (tmp_path / "lx").touch()
    return Names.of(str(tmp_path), "x")


def take(names: Names) -> int:
    lock = names.take()
    assert lock is not None
    return lock


def test_a_lock_that_is_held_is_not_waited_for_where_that_is_not_asked_for(names: Names) -> None:
    lock = take(names)
    assert names.take(waits=False) is None
    os.close(lock)
    os.close(take(names))


def test_a_lock_that_went_while_it_was_waited_for_is_made_anew(names: Names) -> None:
    first = take(names)
    inode = os.fstat(first).st_ino
    taken: list[int] = []
    waiter = threading.Thread(target=lambda: taken.append(take(names)))
    waiter.start()
    until_waited_for(inode)
    names.remove()
    os.close(first)
    waiter.join(PATIENCE_S)
    (second,) = taken
    about = os.fstat(second)
    assert about.st_nlink == 1
    assert identity_of(names.lock) == (about.st_dev, about.st_ino)
    os.close(second)


def until_waited_for(inode: int) -> None:
    """Wait until somebody waits for the lock of *inode* (proc_locks(5))."""
    deadline = time.monotonic() + PATIENCE_S
    while not any(
        "->" in line and f":{inode} " in line
        for line in Path("/proc/locks").read_text().splitlines()
    ):
        assert time.monotonic() < deadline, "nobody waits"


def test_a_server_removes_what_is_its_own_and_nobody_is_at(names: Names, tmp_path: Path) -> None:
    own = identity_of(names.socket)
    names.remove_own(None)
    names.remove_own((0, 0))
    lock = take(names)
    names.remove_own(own)
    assert sorted(os.listdir(tmp_path)) == ["lx", "sx"]
    os.close(lock)
    names.remove_own(own)
    assert os.listdir(tmp_path) == []
    names.remove_own(own)


def test_what_is_too_many_stays_as_long_as_its_lock_is_held(names: Names, tmp_path: Path) -> None:
    lock = take(names)
    run_directory.clean(str(tmp_path), entries_max=0)
    assert sorted(os.listdir(tmp_path)) == ["lx", "sx"]
    os.close(lock)
    run_directory.clean(str(tmp_path), entries_max=0)
    assert os.listdir(tmp_path) == []


def test_a_directory_that_is_not_there_needs_no_cleaning(tmp_path: Path) -> None:
    run_directory.clean(str(tmp_path / "no"), entries_max=0)
    assert os.listdir(tmp_path) == []
