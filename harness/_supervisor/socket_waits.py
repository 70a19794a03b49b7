"""Calls on a socket that has a limit in time of its own: SO_RCVTIMEO, SO_SNDTIMEO.

Source: socket(7). Left to the kernel, and so to real time: connect(2), whose progress nothing
shows; MSG_WAITALL and SO_RCVLOWAT; and what is left of a transfer that has begun and was too large.
"""

from __future__ import annotations

import errno
import os
import select
import struct
from collections.abc import Callable
from contextlib import suppress
from fcntl import F_GETFL, fcntl, ioctl
from socket import (
    AF_UNIX,
    MSG_DONTWAIT,
    MSG_ERRQUEUE,
    MSG_WAITALL,
    SO_DOMAIN,
    SO_RCVLOWAT,
    SO_RCVTIMEO,
    SO_SNDBUF,
    SO_SNDTIMEO,
    SOL_SOCKET,
)

from .._kernel import message, process
from .._kernel.seccomp import ARGS
from ..calls import NR
from .tasks import Task
from .virtual_time import VirtualTime, Wait

_SIOCOUTQ = 0x5411  # <linux/sockios.h>: bytes sent that nobody has taken yet
#: call -> the argument with its flags, None when it has none
_READS = {"read": None, "readv": None, "recvfrom": 3, "recvmsg": 2, "accept": None, "accept4": None}
_WRITES = {"write": None, "writev": None, "sendto": 3, "sendmsg": 2}
_CALLS = {
    NR[name]: (writing, flags)
    for writing, calls in ((False, _READS), (True, _WRITES))
    for name, flags in calls.items()
}
#: Numbers of the calls that may be such waits.
ON_SOCKETS = frozenset(_CALLS)


def socket_wait_of(task: Task, time: VirtualTime, moment: int) -> Wait | None:
    """The wait that the call of *task* is; None when it has no limit of this kind, or would not
    wait. *moment*: see `Wait.is_ready`."""
    assert task.call is not None
    writing, at = _CALLS[task.call[3]]
    args = task.call[ARGS:]
    flags = args[at] if at is not None else 0
    if flags & (MSG_DONTWAIT | MSG_WAITALL | MSG_ERRQUEUE):
        return None
    number = args[0] & 0xFFFFFFFF
    limit = _with_duplicate(task, number, lambda fd: _limit(fd, writing))
    if not limit:
        return None
    wait = Wait(
        time.now + limit,
        (0, errno.EAGAIN),
        lambda: _with_duplicate(task, number, lambda fd: _is_ready(fd, writing)) != 0,
    )
    return None if wait.is_ready(moment) or task.is_interrupted() else wait


def _with_duplicate(task: Task, number: int, ask: Callable[[int], int]) -> int | None:
    """What *ask* says of a descriptor of the task's; None when there is none. The duplicate is
    closed again at once: held, it hides an end of file."""
    with suppress(OSError):
        pidfd = process.open_pidfd(task.tgid)
        try:
            fd = process.get_fd(pidfd, number)
        finally:
            os.close(pidfd)
        try:
            return ask(fd)
        finally:
            os.close(fd)
    return None


def _limit(fd: int, writing: bool) -> int:
    """Nanoseconds; 0 for none, or when the call would not wait."""
    if fcntl(fd, F_GETFL) & os.O_NONBLOCK or (not writing and _option(fd, SO_RCVLOWAT) > 1):
        return 0
    packed = message.socket_option(fd, SOL_SOCKET, SO_SNDTIMEO if writing else SO_RCVTIMEO, 16)
    seconds, microseconds = struct.unpack("=qq", packed)
    return int(seconds) * 10**9 + int(microseconds) * 1000


def _is_ready(fd: int, writing: bool) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLOUT if writing else select.POLLIN)
    if poll.poll(0):
        return True
    if not writing or _option(fd, SO_DOMAIN) != AF_UNIX:
        return False
    # POLLOUT asks for three quarters of the buffer; send(2) waits only when it is full.
    queued = int.from_bytes(ioctl(fd, _SIOCOUTQ, bytes(4)), "little")
    return queued < _option(fd, SO_SNDBUF)


def _option(fd: int, option: int) -> int:
    return int.from_bytes(message.socket_option(fd, SOL_SOCKET, option, 4), "little")
