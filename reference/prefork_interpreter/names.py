"""The names of a server in its run directory: the socket `sIDENT`, and the lock `lIDENT`.

Whoever makes or removes the socket holds the lock. The lock is flock(2) on a file that goes with
the socket, so whoever has waited for it looks whether it is still there.
"""

from __future__ import annotations

import fcntl
import os

#: Device and inode.
Identity = tuple[int, int]


def identity_of(path: str) -> Identity | None:
    """What is at *path* itself; None when nothing is. OSError as lstat(2)."""
    try:
        about = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return about.st_dev, about.st_ino


class Names:
    """The two names: *socket*, and *lock* beside it."""

    __slots__ = ("lock", "socket")

    def __init__(self, *, socket: str, lock: str) -> None:
        self.socket = socket
        self.lock = lock

    @classmethod
    def of(cls, directory: str, ident: str) -> Names:
        """Those of the server *ident*."""
        return cls(socket=os.path.join(directory, f"s{ident}"), lock=f"{directory}/l{ident}")

    @classmethod
    def of_socket(cls, path: str) -> Names:
        """Those of the server whose socket is at *path*."""
        directory, name = os.path.split(path)
        return cls(socket=path, lock=os.path.join(directory, f"l{name[1:]}"))

    def take(self, *, waits: bool = True) -> int | None:
        """A descriptor that holds the lock; None when another holds it and *waits* is not set.

        OSError when it cannot be had.
        """
        how = fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB
        while True:
            lock = os.open(self.lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, how)
                about = os.fstat(lock)
                if identity_of(self.lock) == (about.st_dev, about.st_ino):
                    return lock
            except BlockingIOError:
                close_descriptor(lock)
                return None
            except BaseException:
                close_descriptor(lock)
                raise
            # It went, with its server, while we waited.
            close_descriptor(lock)

    def remove(self) -> None:
        """Remove both, whoever listens there. Only for who holds the lock. OSError if it fails."""
        for path in (self.socket, self.lock):
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass

    def remove_own(self, identity: Identity | None) -> None:
        """Remove both, if the socket is that one and nobody holds the lock. Raises no OSError.

        Whoever holds it is about to remove or to replace the socket.
        """
        try:
            if identity is None or identity_of(self.socket) != identity:
                return
            lock = self.take(waits=False)
            if lock is None:
                return
            try:
                if identity_of(self.socket) == identity:
                    self.remove()
            finally:
                close_descriptor(lock)
        except OSError:
            pass  # the next launcher finds that nobody listens there


def close_descriptor(descriptor: int) -> None:
    """Close *descriptor*. What close(2) reports is not told: Linux has closed it all the same."""
    try:
        os.close(descriptor)
    except OSError:
        pass
