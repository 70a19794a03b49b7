"""Calls that give random bytes, answered from the trial's seed: getrandom(2), and what is read of
the kernel's random devices.

A device is opened by the kernel as any other, so that all but its bytes is real: kind, readiness,
position. A read is answered here when its descriptor leads there. Source: getrandom(2), random(4).
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Callable, Collection, Iterable, Sequence

from .._kernel import memory, message, process
from .._kernel.seccomp import ARGS
from ..calls import NR, numbers
from .caller import Span, clip
from .randomness import Randomness, as_uuid
from .tasks import Task
from .timers import Answer

_HERE = 2**64 - 1  # preadv2(2) at the file's own position
_AT_ONCE = 0x7FFFF000  # MAX_RW_COUNT, <linux/fs.h>
_GRND_NONBLOCK, _GRND_RANDOM, _GRND_INSECURE = 1, 2, 4  # <linux/random.h>
_GRND_ALL = _GRND_NONBLOCK | _GRND_RANDOM | _GRND_INSECURE
#: What is drawn for: each counts for itself, so that what a C library draws moves no device.
_CALL, _DEVICE, _PROGRAM, _UUID, _BOOT = "call", "device", "program", "uuid", "boot"
_DEVICES = ("/dev/random", "/dev/urandom")
_UUIDS = ("/proc/sys/kernel/random/uuid", "/proc/sys/kernel/random/boot_id")
#: How every path to these ends. A link that a program makes to one has it for its target.
_ENDINGS = (b"random", b"random/uuid", b"random/boot_id")
_EFAULT = (0, errno.EFAULT)
_EINVAL = (0, errno.EINVAL)

GETRANDOM = NR["getrandom"]
_PLAIN, _VECTORS = numbers("read pread64"), numbers("readv preadv preadv2")
_AT_POSITION = numbers("pread64 preadv preadv2")
#: Calls that would copy from a device inside the kernel, and which of their arguments it is.
_COPIES = {NR["sendfile"]: 1, NR["splice"]: 0}


class Entropy:
    """The random bytes of one trial as its tasks get them. Owns no descriptor."""

    def __init__(self, randomness: Randomness) -> None:
        self._randomness = randomness
        #: Whether somebody may have opened one: until then no descriptor is looked at.
        self._opened = False

    def of_program(self, task: Task) -> bytes:
        """The 16 bytes that each program gets at its start (AT_RANDOM). Source: getauxval(3)."""
        return self._randomness.draw(task.name, _PROGRAM, 16)

    def notice(self, paths: Iterable[bytes | None]) -> None:
        """A call names these paths: it may open a device, or make another name for one."""
        if not self._opened:
            self._opened = any(path is not None and path.endswith(_ENDINGS) for path in paths)

    def calls(self) -> Collection[int]:
        """The calls that `answer` is for."""
        return {GETRANDOM} | _PLAIN | _VECTORS | _COPIES.keys()

    def answer(self, task: Task) -> Answer:
        """The answer to the call of *task*; None when that is the kernel's."""
        assert task.call is not None
        nr, args = task.call[3], task.call[ARGS:]
        if nr == GETRANDOM:
            return self._getrandom(task, args)
        if not self._opened:
            return None
        if nr not in _COPIES:
            return self._read(task, nr, args)
        number = args[_COPIES[nr]]
        link = _led_to(task, number)
        if link in _UUIDS or _is_device(task, number, link):
            return _EINVAL  # as from many a device: then it is read
        return None

    def shortened(self, task: Task, at_most: int) -> Answer:
        """The same for a read that is to get no more than *at_most* bytes; None too when it asks
        for no more."""
        assert task.call is not None
        nr = task.call[3]
        if not self._opened or not (nr in _PLAIN or nr in _VECTORS):
            return None
        return self._read(task, nr, task.call[ARGS:], at_most)

    def _getrandom(self, task: Task, args: Sequence[int]) -> Answer:
        flags = args[2] & 0xFFFFFFFF
        if flags & ~_GRND_ALL or flags & (both := _GRND_RANDOM | _GRND_INSECURE) == both:
            return _EINVAL
        size = min(args[1], _AT_ONCE)
        return _given(task, self._randomness.pieces(task.name, _CALL, size), [(args[0], size)])

    def _read(self, task: Task, nr: int, args: Sequence[int], at_most: int | None = None) -> Answer:
        link = _led_to(task, args[0])
        if _is_device(task, args[0], link):
            make: Callable[[int], Iterable[bytes]] = self._device(task)
        elif link in _UUIDS:
            make = self._uuid(task, link, nr, args)
        else:
            return None
        if _has_position(nr, args) and args[3] >> 63:
            return _EINVAL
        try:
            spans = _spans(task, nr, args)
        except OSError:
            return _EFAULT
        if spans is None:
            return _EINVAL
        size = min(sum(length for _, length in spans), _AT_ONCE)
        if at_most is not None:
            if size <= at_most:
                return None
            size = at_most
        return _given(task, make(size), clip(spans, size))

    def _device(self, task: Task) -> Callable[[int], Iterable[bytes]]:
        return lambda size: self._randomness.pieces(task.name, _DEVICE, size)

    def _uuid(
        self, task: Task, link: str, nr: int, args: Sequence[int]
    ) -> Callable[[int], Iterable[bytes]]:
        """A line at the file's beginning, and the file's end behind it."""

        def make(size: int) -> Iterable[bytes]:
            if link == _UUIDS[0]:
                drawn = self._randomness.draw(task.name, _UUID, 16)
            else:
                drawn = self._randomness.of_the_trial(_BOOT, 16)
            line = f"{as_uuid(drawn)}\n".encode()[:size]
            if _has_position(nr, args):
                return [] if args[3] else [line]
            return [line] if _advance(task, args[0], len(line)) else []

        return make


def _has_position(nr: int, args: Sequence[int]) -> bool:
    """Whether a read says where in the file."""
    return nr in _AT_POSITION and not (nr == NR["preadv2"] and args[3] == _HERE)


def _led_to(task: Task, number: int) -> str:
    """Where a descriptor leads, as the trial sees it; empty when there is none."""
    try:
        return os.readlink(f"/proc/{task.tid}/fd/{number & 0xFFFFFFFF}")
    except OSError:
        return ""


def _is_device(task: Task, number: int, link: str) -> bool:
    """Whether a descriptor that leads to *link* is a random device, open for reading; also below a
    chroot(2)."""
    if not link.endswith(_DEVICES):
        return False
    path = f"/proc/{task.tid}/fd/{number & 0xFFFFFFFF}"
    try:
        readable = os.lstat(path).st_mode & stat.S_IRUSR  # as it was opened: proc_pid_fd(5)
        return bool(readable) and stat.S_ISCHR(os.stat(path).st_mode)
    except OSError:
        return False


def _advance(task: Task, number: int, size: int) -> bool:
    """Move the position of a file that has not been read yet; False when it has."""
    pidfd = process.open_pidfd(task.tgid)
    try:
        fd = process.get_fd(pidfd, number & 0xFFFFFFFF)
        try:
            if os.lseek(fd, 0, os.SEEK_CUR):
                return False
            os.lseek(fd, size, os.SEEK_SET)
            return True
        finally:
            os.close(fd)
    finally:
        os.close(pidfd)


def _spans(task: Task, nr: int, args: Sequence[int]) -> list[Span] | None:
    """The memory that a call reads into; None when the kernel would refuse it. Raises `OSError`
    when it is not described there."""
    if nr in _PLAIN:
        return [(args[1], args[2])]
    count = args[2] & 0xFFFFFFFF
    if count > message.UIO_MAXIOV:
        return None
    spans = list(struct.iter_unpack("=QQ", task.memory().read(args[1], 16 * count)))
    return None if any(length >> 63 for _, length in spans) else spans


def _given(task: Task, pieces: Iterable[bytes], spans: Sequence[Span]) -> Answer:
    """Write *pieces* into *spans*, one after the other: how many bytes went in, or EFAULT when none
    did but some should have."""
    done = 0
    left = list(spans)
    for piece in pieces:
        while piece:
            while not left[0][1]:
                left.pop(0)
            address, length = left[0]
            try:
                written = memory.copy_to(task.tid, address, piece[:length])
            except OSError:
                written = 0
            if not written:
                return (done, 0) if done else _EFAULT
            done += written
            piece = piece[written:]
            left[0] = (address + written, length - written)
    return done, 0
