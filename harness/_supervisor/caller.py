"""A parked task as one data transfer sees it: its memory, and duplicates of its descriptors.

Decides which descriptors a transfer may be done on in the task's place, raising `Leave` for the
others. Moves no data of a descriptor, and keeps no duplicate longer than one attempt lasts: held,
it would hide an end of file from the other side. Source: pidfd_getfd(2), proc_pid_fdinfo(5).
"""

from __future__ import annotations

import errno
import os
import resource
import stat
import struct
from collections.abc import Callable, Sequence
from fcntl import F_GETFL, fcntl
from socket import (
    MSG_DONTWAIT,
    MSG_NOSIGNAL,
    SO_RCVLOWAT,
    SO_RCVTIMEO,
    SO_SNDTIMEO,
    SO_TYPE,
    SOCK_STREAM,
    SOL_SOCKET,
)
from typing import Literal, NamedTuple

from .._kernel import message, process
from .._kernel.memory import Memory, read_memory

#: address and size of a piece of the caller's memory
Span = tuple[int, int]

#: Of one call no more is done than this, whatever was asked for: it passes through our own memory.
AT_ONCE = 1 << 20

# File systems where it matters who it is that writes, or reads.
_WRITER_MATTERS = ("proc", "sysfs", "cgroup", "cgroup2")
_READER_MATTERS = ("cgroup", "cgroup2")


class Leave(Exception):
    """The kernel has to carry this call out itself."""


class End(NamedTuple):
    """Our duplicate of a descriptor that data comes from or goes to."""

    fd: int
    kind: int  # S_IFREG, S_IFIFO, S_IFSOCK or S_IFCHR


def clip(spans: Sequence[Span], size: int) -> list[Span]:
    """The first *size* bytes of *spans*, without empty ones."""
    clipped = []
    for address, length in spans:
        if part := min(length, size):
            clipped.append((address, part))
            size -= part
    return clipped


def scatter(data: bytes, spans: Sequence[Span]) -> list[tuple[int, bytes]]:
    """`(address, bytes)` for each piece when *data* fills *spans* in order, as far as they go."""
    pieces = []
    done = 0
    for address, length in clip(spans, len(data)):
        pieces.append((address, data[done : done + length]))
        done += length
    return pieces


def permitted(areas: Sequence[Span], spans: Sequence[Span]) -> int:
    """How many bytes of *spans*, from the first on, lie in *areas* (start and end, ascending)."""
    total = 0
    for address, length in spans:
        at, end = address, address + length
        for low, high in areas:
            if low <= at < high:
                at = min(high, end)
        total += at - address
        if at < end:
            break
    return total


def _keep(fd: int, cloexec: bool) -> int:
    raise Leave


class Caller:
    """The parked task during one attempt: its memory, and our duplicates of its descriptors."""

    def __init__(
        self,
        memory: Memory,
        tgid: int,
        give: Callable[[int, bool], int] = _keep,
        count: int = 0,
    ) -> None:
        self.memory = memory
        self.give = give
        self.count = min(count, AT_ONCE)
        self.nonblocking = False  # the caller does not want to wait
        self.quiet = False  # ... nor to get SIGPIPE
        self.tgid = tgid
        self._pidfd = -1
        self._fds: list[int] = []
        self._sockets: list[tuple[int, int]] = []  # with the option that limits the wait

    def close(self) -> None:
        """Close every duplicate."""
        for fd in self._fds:
            os.close(fd)
        if self._pidfd >= 0:
            os.close(self._pidfd)

    # Its descriptors

    def duplicate(self, number: int) -> tuple[int, str, str]:
        """A duplicate, the file's path as /proc shows it, and its file system's type.

        Raises EBADF. Leaves FUSE before a duplicate is made: to close one waits for the server.
        """
        number &= 0xFFFFFFFF
        try:
            link = os.readlink(f"/proc/{self.tgid}/fd/{number}")
            filesystem = self._filesystem(number) if link.startswith("/") else ""
            if filesystem.startswith("fuse"):
                raise Leave
            if self._pidfd < 0:
                self._pidfd = process.open_pidfd(self.tgid)
            fd = process.get_fd(self._pidfd, number)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EBADF) and not self._first_thread_ended():
                raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from None
            raise Leave from error
        self._fds.append(fd)
        return fd, link, filesystem

    def _filesystem(self, number: int) -> str:
        """Not by fstatfs(2), which asks the server of a FUSE. Source: proc_pid_mountinfo(5)."""
        with open(f"/proc/{self.tgid}/fdinfo/{number}") as fdinfo:
            mount_id = next((line.split()[1] for line in fdinfo if line.startswith("mnt_id:")), "")
        with open(f"/proc/{self.tgid}/mountinfo", errors="surrogateescape") as mounts:
            for line in mounts:
                if line.startswith(f"{mount_id} "):
                    return line.partition(" - ")[2].split()[0]
        return ""  # opened in another mount namespace, such as standard input

    def _first_thread_ended(self) -> bool:
        """When it ends before the others, its process seems to have no descriptors."""
        try:
            with open(f"/proc/{self.tgid}/stat", "rb") as file:
                return file.read().rpartition(b") ")[2][:1] in b"ZX"
        except OSError:
            return True

    def end(self, number: int, *, writing: bool) -> End:
        """A descriptor to read or to write. Raises EBADF when it is open for neither."""
        fd, link, filesystem = self.duplicate(number)
        flags = fcntl(fd, F_GETFL)
        mode = flags & os.O_ACCMODE
        if flags & os.O_PATH or mode not in (os.O_RDWR, os.O_WRONLY if writing else os.O_RDONLY):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        kind = stat.S_IFMT(os.fstat(fd).st_mode)
        if kind == stat.S_IFSOCK:
            self._check_socket(fd, writing)
        elif kind == stat.S_IFREG:
            if filesystem in (_WRITER_MATTERS if writing else _READER_MATTERS):
                raise Leave
            if filesystem == "proc" and "/sys/" in link:
                raise Leave
            if writing and self._has_file_size_limit():
                raise Leave
        elif kind not in (stat.S_IFIFO, stat.S_IFCHR):
            raise Leave
        if flags & os.O_DIRECT:
            raise Leave  # a file moves aligned blocks, a pipe packets
        self.nonblocking |= bool(flags & os.O_NONBLOCK)
        return End(fd, kind)

    def socket(self, number: int, *, writing: bool) -> int:
        """A stream socket. Raises ENOTSOCK."""
        fd = self.duplicate(number)[0]
        if not stat.S_ISSOCK(os.fstat(fd).st_mode):
            raise OSError(errno.ENOTSOCK, os.strerror(errno.ENOTSOCK))
        self._check_socket(fd, writing)
        self.nonblocking |= bool(fcntl(fd, F_GETFL) & os.O_NONBLOCK)
        return fd

    def _check_socket(self, fd: int, writing: bool) -> None:
        if _integer_option(fd, SO_TYPE) != SOCK_STREAM:
            raise Leave
        if not writing and _integer_option(fd, SO_RCVLOWAT) > 1:
            raise Leave
        self._sockets.append((fd, SO_SNDTIMEO if writing else SO_RCVTIMEO))

    def _has_file_size_limit(self) -> bool:
        """The kernel would compare with the limit of whoever writes, which is ours."""
        try:
            limit = resource.prlimit(self.tgid, resource.RLIMIT_FSIZE)[0]
        except OSError:
            return True
        return limit != resource.RLIM_INFINITY

    def waits_with_a_limit(self) -> bool:
        """Whether a socket's own time-out would end the wait."""
        return any(
            any(message.socket_option(fd, SOL_SOCKET, option, 16)) for fd, option in self._sockets
        )

    # Its memory

    def vector(self, address: int, count: int) -> list[Span]:
        """The spans that an array of struct iovec lists."""
        if count > message.UIO_MAXIOV:
            raise Leave
        return list(struct.iter_unpack("=QQ", self.memory.read(address, 16 * count)))

    def wanted(self, spans: Sequence[Span]) -> list[Span]:
        """The first n bytes of *spans*; leaves the call when there are no more than n."""
        if any(length >> 63 for _, length in spans):
            raise Leave
        if sum(length for _, length in spans) <= self.count:
            raise Leave
        return clip(spans, self.count)

    def look(self, spans: Sequence[Span], permission: Literal["r", "w"]) -> bytes:
        """What lies in *spans* now, as far as the caller itself may read, or write, there.

        Raises EFAULT when that is nothing. /proc/PID/mem minds no protection, so the map is asked
        too: after the read, which makes a stack grow as the caller's own access would have.
        """
        found = b""
        for address, length in spans:
            try:
                piece = read_memory(self.memory.fd, address, length)
            except OSError:
                break
            found += piece
            if len(piece) < length:
                break
        end = max(address + length for address, length in spans)
        found = found[: permitted(self._areas(permission, end), spans)]
        if not found:
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
        return found

    def _areas(self, permission: str, end: int) -> list[Span]:
        """The start and end of what may be read, or written, below *end*. Source: proc_pid_maps(5).

        The map is read no further than needed: the kernel writes it line by line, and that costs
        more than all else here.
        """
        areas = []
        try:
            with open(f"/proc/{self.tgid}/maps", "rb") as file:
                for line in file:
                    where, rights = line.split(b" ", 2)[:2]
                    low, high = where.split(b"-")
                    if int(low, 16) >= end:
                        break
                    if permission in rights.decode():
                        areas.append((int(low, 16), int(high, 16)))
        except OSError:
            raise Leave from None
        return areas

    def require(self, address: int, size: int) -> None:
        """Leave the call unless all of this, which is written beside the data, can be."""
        try:
            if size and len(self.look([(address, size)], "w")) < size:
                raise Leave
        except OSError:
            raise Leave from None

    def fill(self, data: bytes, spans: Sequence[Span]) -> int:
        """Write received *data* into *spans*; how many bytes."""
        for address, piece in scatter(data, spans):
            self.memory.write(address, piece)
        return len(data)

    def offset(self, pointer: int) -> int | None:
        """The file offset at *pointer*; None for the file's own."""
        if not pointer:
            return None
        self.require(pointer, 8)
        (value,) = struct.unpack("=q", self.memory.read(pointer, 8))
        if value < 0:
            raise Leave
        return int(value)

    def advance(self, pointer: int, offset: int | None, done: int) -> None:
        """Write an offset back, *done* bytes further on."""
        if offset is not None:
            self.memory.write(pointer, struct.pack("=q", offset + done))

    def size(self, asked: int) -> int:
        """How many bytes of a copy to make."""
        if asked <= self.count or asked >> 63:
            raise Leave
        return self.count

    def message_flags(self, word: int, known: int) -> int:
        """The flags of a call on a socket."""
        flags = word & 0xFFFFFFFF
        if flags & ~known:
            raise Leave
        self.nonblocking |= bool(flags & MSG_DONTWAIT)
        self.quiet = bool(flags & MSG_NOSIGNAL)
        return flags


def _integer_option(fd: int, option: int) -> int:
    try:
        return int.from_bytes(message.socket_option(fd, SOL_SOCKET, option, 4), "little")
    except OSError:
        raise Leave from None
