"""The socket file: taken over from a dead service, bound with its permissions, removed.

Two services that start at once are kept apart by a lock on the socket's directory, held only until
one of them listens.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import time
from dataclasses import dataclass

from reference.forking_service import protocol
from reference.forking_service.log import close_descriptor
from reference.forking_service.loop import nap

#: How many clients can wait to be accepted. Linux lets one more than listen(2) is told to.
WAITING_MAX = 128
#: How long a service may take to say that it is alive, in seconds.
_PROBE_S = 2.0
#: How long another one may take to start, in seconds; looked at every _STEP_S.
_LOCK_S = 5.0
_STEP_S = 0.02
#: How often the socket file's removal is tried at once.
_TRIES = 3


class StartError(Exception):
    """The service cannot start; its text is one line for the person who wanted it to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Listener:
    """A listening *socket*, and the file at *path* that is its, by device and inode."""

    socket: socket.socket
    path: str
    identity: tuple[int, int]

    def remove_file(self) -> OSError | None:
        """Remove the socket file, unless another has taken its place; what was in the way."""
        error: OSError | None = None
        for _ in range(_TRIES):
            try:
                if identity_of(self.path) == self.identity:
                    os.unlink(self.path)
                return None
            except FileNotFoundError:
                return None
            except OSError as failed:
                error = failed
        return error


def identity_of(path: str) -> tuple[int, int]:
    """Device and inode of what is at *path* itself. OSError as lstat(2)."""
    about = os.lstat(path)
    return about.st_dev, about.st_ino


def listen(path: str, perms: int) -> Listener:
    """Listen at *path* with the permissions *perms* from the first moment. StartError if not.

    The socket file of a dead service is replaced; a live service is an error. Then nothing is left.
    """
    try:
        lock = lock_directory(os.path.dirname(path) or ".")
        try:
            clear(path)
            return bind(path, perms)
        finally:
            if lock is not None:
                close_descriptor(lock)
    except OSError as error:
        raise StartError(f"cannot listen on {path}: {error.strerror or error}") from None


def lock_directory(directory: str) -> int | None:
    """A descriptor that holds the lock on *directory*; None where it cannot be locked by us."""
    try:
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        return None  # one may bind in a directory that one may not read
    deadline = time.monotonic() + _LOCK_S
    try:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return lock
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise
                nap(_STEP_S)
    except OSError:
        close_descriptor(lock)
        raise


def clear(path: str) -> None:
    """Make room at *path*: remove a dead service's socket. StartError when it must stay."""
    try:
        about = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(about.st_mode):
        raise StartError(f"cannot listen on {path}: it exists and is not a socket")
    deadline = time.monotonic() + _PROBE_S
    while is_answered(path, deadline):
        if time.monotonic() >= deadline:
            raise StartError(f"cannot listen on {path}: another service is listening there")
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def is_answered(path: str, deadline: float) -> bool:
    """Whether someone is behind the socket at *path*. StartError when that is a live service.

    A connection that is accepted by the kernel and then dropped says nothing: a child that outlived
    its service may for a moment hold the socket still. So True only means: to be asked again.
    """
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        probe.settimeout(max(deadline - time.monotonic(), _STEP_S))
        probe.connect(path)
        probe.sendall(b"hello\n")
        if probe.recv(len(protocol.HELLO_REPLY)):
            raise StartError(f"cannot listen on {path}: another service is listening there")
    except (ConnectionRefusedError, FileNotFoundError):
        return False
    except ConnectionError:
        pass
    except (BlockingIOError, TimeoutError):
        # Its queue is full, or it is busy: there is one.
        raise StartError(f"cannot listen on {path}: another service is listening there") from None
    finally:
        close_socket(probe)
    nap(_STEP_S)
    return True


def bind(path: str, perms: int) -> Listener:
    """Bind and listen. OSError when that fails; then nothing is left."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    is_bound = False
    try:
        listener.setblocking(False)
        # The mask, not chmod afterwards: nobody may get in between the two.
        mask = os.umask(0o777 & ~perms)
        try:
            listener.bind(path)
        finally:
            os.umask(mask)
        is_bound = True
        identity = identity_of(path)
        listener.listen(WAITING_MAX - 1)
    except OSError as error:
        if is_bound:
            unlink_new(path)
        close_socket(listener)
        raise OSError(error.errno or errno.EINVAL, error.strerror or str(error)) from None
    return Listener(socket=listener, path=path, identity=identity)


def unlink_new(path: str) -> None:
    """Remove the socket file that was made a moment ago, as well as can be."""
    for _ in range(_TRIES):
        try:
            os.unlink(path)
        except FileNotFoundError:
            return
        except OSError:
            continue
        return


def close_socket(one: socket.socket) -> None:
    """Close *one*. What close(2) reports is not told: Linux has closed it all the same."""
    try:
        one.close()
    except OSError:
        pass
