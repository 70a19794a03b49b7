"""A service in the background, and the file that says which process it is.

Whoever starts it waits until it is ready, or has failed and said why: so the exit status of the
command is the truth, and what it prints comes before its end.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from reference.forking_service.listener import StartError
from reference.forking_service.log import close_descriptor, write_all
from reference.forking_service.start import say_listening

_READY = b"r"
#: How often the file's removal is tried at once.
_TRIES = 3


def in_background(pid_file: str, serve: Callable[[Callable[[str], None]], int]) -> int:
    """Call *serve* in a daemon, whose pid is in *pid_file* from before it is ready to its end.

    *serve* is given what it has to call, with the path of its socket, when it is ready. Returns in
    the daemon; the process that was started ends as `detach` says.
    """
    try:
        starter = detach()
    except OSError as error:
        say_failed(error)
        return 1
    written: list[PidFile] = []

    def ready(path: str) -> None:
        # Not before it listens: until then the file may be a live service's.
        try:
            written.append(write_pid_file(pid_file))
        except OSError as error:
            why = error.strerror or error
            raise StartError(f"cannot write the pid file {pid_file}: {why}") from None
        say_listening(path)
        starter.is_ready()

    try:
        status = serve(ready)
    finally:
        starter.give_up()
        failed = [one.remove() for one in written]
    return 1 if any(failed) else status


def say_failed(error: OSError) -> None:
    """One line for the person who wanted a daemon."""
    write_all(2, f"forking-service: cannot go to the background: {error.strerror or error}\n")


class Starter:
    """Who waits for the daemon to be ready, seen from the daemon."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def is_ready(self) -> None:
        """Let it go with exit status 0, and leave its standard streams. OSError if that fails."""
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for number in range(3):
            os.dup2(null, number)
        if null > 2:
            close_descriptor(null)
        os.write(self._pipe, _READY)
        self.give_up()

    def give_up(self) -> None:
        """Let it go; with exit status 1, if it has not been told that this is ready."""
        pipe, self._pipe = self._pipe, -1
        if pipe >= 0:
            close_descriptor(pipe)


def detach() -> Starter:
    """Go on in a daemon: fork, setsid, fork, as daemon(7) has it for SysV.

    Returns in the daemon only. In the process that was started it raises SystemExit, with status 0
    when the daemon is ready and 1 when it has ended before. OSError when there can be none.
    """
    reading, writing = os.pipe()
    try:
        first = os.fork()
    except OSError:
        close_descriptor(reading)
        close_descriptor(writing)
        raise
    if first:
        close_descriptor(writing)
        raise SystemExit(_status_of(first, reading))
    close_descriptor(reading)
    try:
        os.setsid()
        # Not the leader of its session, so that no terminal ever becomes its own.
        second = os.fork()
    except OSError as error:
        say_failed(error)
        os._exit(1)
    if second:
        os._exit(0)
    return Starter(writing)


def _status_of(first: int, pipe: int) -> int:
    os.waitpid(first, 0)
    try:
        return 0 if os.read(pipe, 1) == _READY else 1
    finally:
        close_descriptor(pipe)


@dataclass(frozen=True, kw_only=True, slots=True)
class PidFile:
    """The file at *path* that holds this process's pid; it is this one by device and inode."""

    path: str
    identity: tuple[int, int]

    def remove(self) -> OSError | None:
        """Remove it, unless a successor has put its own in its place; what was in the way."""
        failed: OSError | None = None
        for _ in range(_TRIES):
            try:
                about = os.lstat(self.path)
                if (about.st_dev, about.st_ino) == self.identity:
                    os.unlink(self.path)
                return None
            except FileNotFoundError:
                return None
            except OSError as error:
                failed = error
        return failed


def write_pid_file(path: str) -> PidFile:
    """Put this process's pid into a file at *path*, in the place of another's. OSError if not.

    Nobody ever reads half of it: it is written under another name and renamed.
    """
    new = f"{path}.{os.getpid()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(new, flags, 0o644)
    try:
        try:
            data = b"%d\n" % os.getpid()
            while data:
                data = data[os.write(descriptor, data) :]
            about = os.fstat(descriptor)
        finally:
            close_descriptor(descriptor)
        os.rename(new, path)
    except OSError:
        _unlink(new)
        raise
    return PidFile(path=path, identity=(about.st_dev, about.st_ino))


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
