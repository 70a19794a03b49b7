"""Calls that wait for a time at the longest, and those by which threads of one process wait for
each other: parked until what they wait for is there, or until the trial's clock has come so far.

The kernel must not wait in their place: it would wait real time. So each has a way to ask, without
waiting, whether it could go on, and an answer for when its time is over. Source: the manual page of
each call.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import stat
import struct
from collections.abc import Callable, Sequence
from fcntl import F_GETFL, fcntl

from .._kernel import process
from .._kernel.seccomp import ARGS
from ..calls import NR, numbers
from .tasks import Task
from .virtual_time import NEVER, VirtualTime, Wait

_SECOND = 10**9
_MICROSECONDS = 10**6  # in a second
_SECONDS_MAX = 2**63 - 1
_ABSTIME = 1  # TIMER_ABSTIME
_FDS_MAX = 4096
_FD_TABLE_MIN = 64
_SLEEP_CLOCKS = frozenset({0, 1, 7, 8, 9, 11})  # the others are only read: EOPNOTSUPP
_ERESTARTNOHAND = 514
_WITH_FLAGS = {NR["recvfrom"]: 3, NR["recvmsg"]: 2, NR["sendto"]: 3, NR["sendmsg"]: 2}
_POLLED = struct.Struct("=ihh")  # struct pollfd

#: (descriptor, poll's events)
Wanted = Sequence[tuple[int, int]]
Memo = tuple[int, ...]


def wait_of(task: Task, time: VirtualTime, moment: int, *, threaded: bool) -> Wait | None:
    """The wait that the call of *task* is; None when it would not wait, or the kernel will refuse
    it, or has no limit in time: in that case the kernel may wait, unless the process is *threaded*,
    as a thread that the kernel wakes would run beside the one that woke it. *moment*: see
    `Wait.is_ready`. Raises `OSError` when the task is gone."""
    assert task.call is not None
    nr, args = task.call[3], task.call[ARGS:]
    wait = _WAITS[nr](task, time, args) if nr in _WAITS else _wait_between_threads(task, nr, args)
    if wait is None or (wait.deadline == NEVER and not threaded):
        return None
    if wait.is_ready(moment) or task.is_interrupted(wait.blocked):
        return None
    wait.deadline = kept(task, wait.deadline)
    return wait


TIMED = frozenset(
    numbers(
        "nanosleep clock_nanosleep poll ppoll select pselect6 epoll_wait epoll_pwait epoll_pwait2"
        " rt_sigtimedwait"
    )
)


#: Besides those of `TIMED`: what a thread of the same process may end, by its own end of a pipe or
#: of a connection. call -> what poll(2) is asked for.
BETWEEN_THREADS = {
    **dict.fromkeys(numbers("read readv recvfrom recvmsg accept accept4"), select.POLLIN),
    **dict.fromkeys(numbers("write writev sendto sendmsg"), select.POLLOUT),
}


def _wait_between_threads(task: Task, nr: int, args: tuple[int, ...]) -> Wait | None:
    if _returns_at_once(task.tgid, nr, args):
        return None
    wanted = [(args[0] & 0xFFFFFFFF, BETWEEN_THREADS[nr])]
    return Wait(NEVER, (0, 0), lambda: descriptors_ready(task, wanted))


def _returns_at_once(tgid: int, nr: int, args: tuple[int, ...]) -> bool:
    """Whether the call does not wait, or for what is no affair of threads, or will be refused."""
    if nr in _WITH_FLAGS and args[_WITH_FLAGS[nr]] & socket.MSG_DONTWAIT:
        return True
    try:
        pidfd = process.open_pidfd(tgid)
        try:
            fd = process.get_fd(pidfd, args[0] & 0xFFFFFFFF)
        finally:
            os.close(pidfd)
    except OSError:
        return True
    try:
        kind = os.fstat(fd).st_mode
        is_channel = stat.S_ISSOCK(kind) or stat.S_ISFIFO(kind)
        return not is_channel or bool(fcntl(fd, F_GETFL) & os.O_NONBLOCK)
    finally:
        os.close(fd)


def kept(task: Task, deadline: int) -> int:
    """A call that a signal interrupted and that is made again goes on with its old deadline."""
    assert task.call is not None
    memo = (task.call[3], *task.call[5:])
    if task.interrupted is not None and task.interrupted[0] == memo:
        deadline = task.interrupted[1]
    task.interrupted = None
    return deadline


def memo_of(task: Task, deadline: int) -> tuple[Memo, int]:
    """What `kept` knows the call again by."""
    assert task.call is not None
    return (task.call[3], *task.call[5:]), deadline


# ---- Times ---------------------------------------------------------------------------------------


def timespec(task: Task, address: int) -> int | None:
    """Nanoseconds of a struct timespec; None when the kernel will refuse it."""
    try:
        seconds, rest = struct.unpack("=qq", task.memory().read(address, 16))
    except OSError:
        return None
    if seconds < 0 or not 0 <= rest < _SECOND:
        return None
    return int(seconds) * _SECOND + int(rest)


def _timeval(task: Task, address: int) -> int | None:
    """The same of a struct timeval as select(2) has it: whole seconds among the microseconds count
    as such, in C's division, and only what is left must not be negative."""
    try:
        seconds, rest = struct.unpack("=qq", task.memory().read(address, 16))
    except OSError:
        return None
    whole = abs(rest) // _MICROSECONDS * (1 if rest >= 0 else -1)
    seconds, rest = seconds + whole, rest - whole * _MICROSECONDS
    if not 0 <= seconds <= _SECONDS_MAX or rest < 0:
        return None
    return int(seconds) * _SECOND + int(rest) * 1000


def _deadline(time: VirtualTime, limit: int | None) -> int | None:
    """When a wait of *limit* from now is over: NEVER without one, None when it does not wait."""
    if limit is None:
        return NEVER
    return time.now + limit if limit else None


def _deadline_at(task: Task, time: VirtualTime, address: int, unit: int = 1) -> int | None:
    """The same of a time at *address*, if there is one; None when the kernel will refuse it."""
    if not address:
        return NEVER
    limit = timespec(task, address) if unit == 1 else _timeval(task, address)
    return _deadline(time, limit) if limit else None


def _milliseconds(word: int) -> int | None:
    """None for no limit."""
    word &= 0xFFFFFFFF
    return None if word & 0x80000000 else word * 10**6


def _pack_time(nanoseconds: int, unit: int = 1) -> bytes:
    seconds, rest = divmod(max(0, nanoseconds), _SECOND)
    return struct.pack("=qq", seconds, rest // unit)


# ---- Sleeps --------------------------------------------------------------------------------------


def _sleep(task: Task, time: VirtualTime, duration: int | None, remains: int) -> Wait | None:
    if duration is None:
        return None

    def interrupted(left: int) -> None:
        if remains:
            task.memory().write(remains, _pack_time(left))

    return Wait(time.now + duration, (0, 0), interrupted=interrupted)


def _nanosleep(task: Task, time: VirtualTime, args: tuple[int, ...]) -> Wait | None:
    return _sleep(task, time, timespec(task, args[0]), args[1])


def _clock_nanosleep(task: Task, time: VirtualTime, args: tuple[int, ...]) -> Wait | None:
    clock, flags, request, remains = args[:4]
    wanted = timespec(task, request)
    if wanted is None or clock & 0xFFFFFFFF not in _SLEEP_CLOCKS:
        return None
    if not flags & _ABSTIME:
        return _sleep(task, time, wanted, remains)
    until = time.of_clock(clock & 0xFFFFFFFF, wanted)
    assert until is not None
    return Wait(until, (0, 0), interrupted=lambda left: None)


# ---- Descriptors ---------------------------------------------------------------------------------


def descriptors_ready(task: Task, wanted: Wanted) -> bool:
    """Whether poll(2) of the process would return at once. Duplicates are closed again at once:
    held, one hides an end of file."""
    # First, as poll(2) on an epoll takes off its list what is not ready for who asks.
    pending = task.pending_signals()
    if pending and any(_signals_there(task, number, pending) for number, _ in wanted):
        return True
    fds: list[int] = []
    poll = select.poll()
    try:
        pidfd = process.open_pidfd(task.tgid)
    except OSError:
        return True  # it is gone; the answer will tell
    try:
        for number, events in wanted:
            try:
                fd = process.get_fd(pidfd, number)
            except OSError:
                return True  # POLLNVAL
            fds.append(fd)
            poll.register(fd, events)
        return bool(poll.poll(0))
    finally:
        for fd in (*fds, pidfd):
            os.close(fd)


def _signals_there(task: Task, number: int, pending: int) -> bool:
    """Whether the descriptor is a signalfd, or an epoll with one, and a signal of its set waits: to
    poll(2) it shows the signals of who asks, which would be ours. Source: signalfd(2)."""
    try:
        with open(f"/proc/{task.tid}/fdinfo/{number}", "rb") as file:
            lines = file.read().splitlines()
    except OSError:
        return False
    for line in lines:
        name, _, value = line.partition(b":")
        if name == b"sigmask" and pending & int(value, 16):
            return True
        if name == b"tfd" and _signals_there(task, int(value.split()[0]), pending):
            return True
    return False


def _mask(task: Task, address: int) -> int | None:
    """The set of signals that a call has at *address*; None when it has none."""
    if not address:
        return None
    try:
        return int.from_bytes(task.memory().read(address, 8), "little")
    except OSError:
        return None


def _polls(task: Task, deadline: int | None, address: int, count: int) -> Wait | None:
    if deadline is None or count > _FDS_MAX:
        return None
    try:
        array = task.memory().read(address, 8 * count) if count else b""
    except OSError:
        return None
    entries = list(_POLLED.iter_unpack(array))
    wanted = [(fd, events) for fd, events, _ in entries if fd >= 0]

    def expire() -> None:
        if entries:
            cleared = b"".join(_POLLED.pack(fd, events, 0) for fd, events, _ in entries)
            task.memory().write(address, cleared)

    return Wait(
        deadline,
        (0, 0),
        lambda: descriptors_ready(task, wanted),
        expire=expire,
        interrupted=lambda left: expire(),
    )


def _poll(task: Task, time: VirtualTime, args: tuple[int, ...]) -> Wait | None:
    return _polls(task, _deadline(time, _milliseconds(args[2])), args[0], args[1] & 0xFFFFFFFF)


def _ppoll(task: Task, time: VirtualTime, args: tuple[int, ...]) -> Wait | None:
    deadline = _deadline_at(task, time, args[2])
    wait = _polls(task, deadline, args[0], args[1] & 0xFFFFFFFF)
    if wait is not None:
        wait.blocked = _mask(task, args[3])
        _writes_back(task, wait, args[2], 1)
    return wait


def _writes_back(task: Task, wait: Wait, address: int, unit: int) -> None:
    """The call changes its limit into the time that is left. The kernel ends it by a signal: it
    alone can let one in that is else blocked."""
    if not address:
        wait.interrupted = None
        return
    expire = wait.expire

    def write(left: int) -> None:
        task.memory().write(address, _pack_time(left, unit))

    def expire_and_write() -> None:
        if expire is not None:
            expire()
        write(0)

    wait.expire, wait.passing, wait.interrupted = expire_and_write, write, None


_SETS = (
    select.POLLIN | select.POLLRDNORM | select.POLLRDBAND | select.POLLHUP | select.POLLERR,
    select.POLLOUT | select.POLLWRNORM | select.POLLWRBAND | select.POLLERR,
    select.POLLPRI,
)


def _selects(task: Task, time: VirtualTime, args: tuple[int, ...], unit: int) -> Wait | None:
    deadline = _deadline_at(task, time, args[4], unit)
    count = args[0] & 0xFFFFFFFF
    if deadline is None or count > _FDS_MAX:
        return None
    if count > _FD_TABLE_MIN:
        count = min(count, task.fd_table_size())  # the kernel looks no further either
    size = (count + 63) // 64 * 8
    wanted: dict[int, int] = {}
    for address, events in zip(args[1:4], _SETS, strict=True):
        if not address:
            continue
        try:
            bits = int.from_bytes(task.memory().read(address, size), "little") if size else 0
        except OSError:
            return None
        for fd in range(count):
            if bits >> fd & 1:
                wanted[fd] = wanted.get(fd, 0) | events

    def expire() -> None:
        for address in filter(None, args[1:4]):
            task.memory().write(address, bytes(size))

    pairs = list(wanted.items())
    wait = Wait(deadline, (0, 0), lambda: descriptors_ready(task, pairs), expire=expire)
    _writes_back(task, wait, args[4], unit)
    return wait


def _select(task: Task, time: VirtualTime, args: tuple[int, ...]) -> Wait | None:
    return _selects(task, time, args, 1000)


def _pselect6(task: Task, time: VirtualTime, args: tuple[int, ...]) -> Wait | None:
    wait = _selects(task, time, args, 1)
    if wait is not None and args[5]:
        try:
            mask, _size = struct.unpack("=QQ", task.memory().read(args[5], 16))
        except OSError:
            return None
        wait.blocked = _mask(task, mask)
    return wait


def _epolls(task: Task, deadline: int | None, epoll: int, room: int) -> Wait | None:
    if deadline is None or not 0 < room & 0xFFFFFFFF < 1 << 31:
        return None
    wanted = [(epoll & 0xFFFFFFFF, select.POLLIN)]
    return Wait(deadline, (0, 0), lambda: descriptors_ready(task, wanted))


def _epoll_wait(task: Task, time: VirtualTime, args: tuple[int, ...]) -> Wait | None:
    return _epolls(task, _deadline(time, _milliseconds(args[3])), args[0], args[2])


def _epoll_pwait(task: Task, time: VirtualTime, args: tuple[int, ...]) -> Wait | None:
    wait = _epoll_wait(task, time, args)
    if wait is not None:
        wait.blocked = _mask(task, args[4])
    return wait


def _epoll_pwait2(task: Task, time: VirtualTime, args: tuple[int, ...]) -> Wait | None:
    wait = _epolls(task, _deadline_at(task, time, args[3]), args[0], args[2])
    if wait is not None:
        wait.blocked = _mask(task, args[4])
    return wait


# ---- Signals -----------------------------------------------------------------------------------


def _sigtimedwait(task: Task, time: VirtualTime, args: tuple[int, ...]) -> Wait | None:
    limit = timespec(task, args[2]) if args[2] else None
    if not limit:
        return None
    try:
        wanted = int.from_bytes(task.memory().read(args[0], 8), "little")
    except OSError:
        return None
    return Wait(time.now + limit, (0, errno.EAGAIN), lambda: bool(task.pending_signals() & wanted))


_WAITS: dict[int, Callable[[Task, VirtualTime, tuple[int, ...]], Wait | None]] = {
    NR["nanosleep"]: _nanosleep,
    NR["clock_nanosleep"]: _clock_nanosleep,
    NR["poll"]: _poll,
    NR["ppoll"]: _ppoll,
    NR["select"]: _select,
    NR["pselect6"]: _pselect6,
    NR["epoll_wait"]: _epoll_wait,
    NR["epoll_pwait"]: _epoll_pwait,
    NR["epoll_pwait2"]: _epoll_pwait2,
    NR["rt_sigtimedwait"]: _sigtimedwait,
}
