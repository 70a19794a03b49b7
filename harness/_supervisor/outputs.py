"""What a trial writes on stdout and stderr: drained as it comes, digested, its head kept, passed on
to whoever listens."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable

from ..verdict import HEAD_MAX, Output

_PIPE_SIZE = 1 << 20  # the most that an unprivileged user may ask for; F_SETPIPE_SZ, fcntl(2)
_F_SETPIPE_SZ = 1031


class Stream:
    """One output as it comes. Only its head is kept, and with *whole* all of it as long as that is
    not more than so many bytes: a trial may write without end."""

    def __init__(self, whole: int = 0) -> None:
        self.size = 0
        self._whole_max = whole
        self._whole = bytearray()
        self._head = b""
        self._digest = hashlib.sha256()

    def add(self, data: bytes) -> None:
        """Take more of it."""
        self.size += len(data)
        self._digest.update(data)
        self._head += data[: HEAD_MAX - len(self._head)]
        if self.size <= self._whole_max:
            self._whole += data

    def seen(self) -> Output:
        """What has come until now; as `Output.of` all of it."""
        head = self._head.decode("utf-8", "backslashreplace")
        return Output(size=self.size, sha256=self._digest.hexdigest(), head=head)

    def whole(self) -> bytes | None:
        """All that has come until now; None when that is too much."""
        return bytes(self._whole) if self.size <= self._whole_max else None


class Outputs:
    """Two pipes, `stdout` and `stderr`, whose write ends go to the trial.

    *pass_on* is called with (1 or 2, data) as data comes; when it returns False nobody reads that
    output any more, and the pipe is closed, so that the writer learns of it as it would without us.
    *whole* is as for a `Stream`.
    """

    def __init__(self, pass_on: Callable[[int, bytes], bool] | None = None, whole: int = 0) -> None:
        self.streams = (Stream(whole), Stream(whole))
        self._pass_on = pass_on
        self._reads: dict[int, int] = {}
        writes = []
        for number in 0, 1:
            read, write = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(read, False)
            try:
                fcntl.fcntl(read, _F_SETPIPE_SZ, _PIPE_SIZE)
            except OSError:
                # over the user's limit: the pipe stays small, and writers wait for us more often
                pass
            self._reads[read] = number
            writes.append(write)
        self.write_ends = (writes[0], writes[1])

    @property
    def fds(self) -> list[int]:
        """The descriptors to poll."""
        return list(self._reads)

    def drain(self, fd: int) -> bool:
        """Take what waits on *fd*; False when it is over, and *fd* closed."""
        number = self._reads[fd]
        try:
            data = os.read(fd, _PIPE_SIZE)
        except BlockingIOError:
            return True
        if data:
            self.streams[number].add(data)
            if self._pass_on is None or self._pass_on(number + 1, data):
                return True
        del self._reads[fd]
        os.close(fd)
        return False

    def release_write_ends(self) -> None:
        """Init has its own copies now."""
        for fd in self.write_ends:
            os.close(fd)
        self.write_ends = (-1, -1)

    def close(self) -> None:
        """Take what is left and close. The streams stay."""
        for fd in self.write_ends:
            if fd >= 0:
                os.close(fd)
        for fd in list(self._reads):
            while fd in self._reads:
                before = self.streams[self._reads[fd]].size
                if self.drain(fd) and self.streams[self._reads[fd]].size == before:
                    os.close(fd)
                    del self._reads[fd]
