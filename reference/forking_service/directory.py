"""A child's private directory with its three FIFOs: made, locked, removed, and found when stale.

Whoever made a directory holds a lock (flock(2)) on it for as long as it is theirs. The kernel drops
that lock with its owner, however that one died; so a directory that can be locked belongs to nobody
and may be removed, and one that cannot is left alone.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from reference.forking_service.log import close_descriptor

PREFIX = "lp-forking-service-child-"
#: In the order in which a child opens them.
STREAMS = ("stdin", "stdout", "stderr")

#: How often a removal is tried at once: the system may have been short of something for a moment.
_TRIES = 4
#: How often another name is tried when one is taken.
_NAMES = 1000

_OPEN_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, kw_only=True, slots=True)
class ChildDirectory:
    """A directory at *path*, and the descriptor that holds its *lock*."""

    path: str
    lock: int

    def unlock(self) -> None:
        """Let go of it. To be called once, by each process that has the descriptor."""
        close_descriptor(self.lock)


def names(base: str) -> Iterator[str]:
    """Paths for the directories of one service, new as long as its pid is its own."""
    for number in itertools.count():
        yield os.path.join(base, f"{PREFIX}{os.getpid()}-{number}")


def make(paths: Iterator[str]) -> ChildDirectory:
    """A new directory with its FIFOs, at the first of *paths* that is free. OSError if none can be.

    When it fails, nothing of it is left.
    """
    failed: OSError | None = None
    for path in itertools.islice(paths, _NAMES):
        try:
            os.mkdir(path, 0o700)
        except FileExistsError as error:
            failed = error
            continue
        try:
            return _filled(path)
        except (BlockingIOError, FileNotFoundError) as error:
            # A service that starts has taken it for a stale one, in the moment before the lock.
            remove(path)
            failed = error
        except OSError:
            remove(path)
            raise
    assert failed is not None, "no name was given"
    raise failed


def _filled(path: str) -> ChildDirectory:
    lock = os.open(path, _OPEN_FLAGS)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for name in STREAMS:
            os.mkfifo(os.path.join(path, name), 0o600)
    except OSError:
        close_descriptor(lock)
        raise
    return ChildDirectory(path=path, lock=lock)


def remove(path: str, *, lets_go: bool = True) -> OSError | None:
    """Remove the directory and its FIFOs; what was in the way of it, or None when it is gone.

    *lets_go*: whoever is blocked in opening one of the FIFOs goes on: nobody else will ever come.
    """
    failed: OSError | None = None
    for _ in range(_TRIES):
        try:
            # First, since most often the child has removed what is in it, or all of it.
            os.rmdir(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            failed = remove_fifos(path, lets_go=lets_go) or error
        else:
            return None
    return failed


def remove_fifos(path: str, *, lets_go: bool) -> OSError | None:
    """Remove those that there are; what was in the way, or None."""
    failed: OSError | None = None
    opened = []
    for name in STREAMS:
        fifo = os.path.join(path, name)
        if lets_go:
            try:
                flags = os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
                opened.append(os.open(fifo, flags))
            except OSError:
                pass  # it is gone, or else it is removed without this kindness
        try:
            os.unlink(fifo)
        except FileNotFoundError:
            pass
        except OSError as error:
            failed = error
    for descriptor in opened:
        close_descriptor(descriptor)
    return failed


def remove_stale(base: str, log: Callable[[str], None]) -> None:
    """Remove the directories in *base* that a dead service of this user has left."""
    try:
        with os.scandir(base) as entries:
            found = sorted(entry.path for entry in entries if entry.name.startswith(PREFIX))
    except OSError as error:
        log(f"cannot look for what a dead service has left in {base}: {error}")
        return
    for path in found:
        try:
            was_stale = remove_if_stale(path)
        except OSError as error:
            log(f"cannot remove {path}: {error}")
        else:
            if was_stale:
                log(f"removed {path}, which a dead service had left")


def remove_if_stale(path: str) -> bool:
    """Remove *path* when it is a directory of this user that nobody holds; whether it was."""
    try:
        lock = os.open(path, _OPEN_FLAGS)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return False
    try:
        about = os.fstat(lock)
        if about.st_uid != os.geteuid() or not stat.S_ISDIR(about.st_mode):
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if (error := remove(path)) is not None:
            raise error
        return True
    finally:
        close_descriptor(lock)
