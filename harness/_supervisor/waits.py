"""Calls that wait for a time at the longest: parked until what they wait for is there, or until the
trial's clock has come so far.

The kernel must not wait in their place: it would wait real time. So each has a way to ask, without
waiting, whether it could go on, and an answer for when its time is over. Source: the manual page of
each call.
"""

from __future__ import annotations

import errno
import os
import select
import struct
from collections.abc import Callable, Sequence

from .._kernel import process
from ..calls import NR, numbers
from .tasks import Task
from .virtual_time import VirtualTime, Wait

_ARGS = 6  # where the arguments start in a notification
_SECOND = 10**9
_ABSTIME = 1  # TIMER_ABSTIME
_FDS_MAX = 4096
_FD_TABLE_MIN = 64
_SLEEP_CLOCKS = frozenset({0, 1, 7, 8, 9, 11})  # the others are only read: EOPNOTSUPP
_FUTEX_WAIT, _FUTEX_WAIT_BITSET, _FUTEX_REALTIME = 0, 9, 256
_ERESTARTNOHAND = 514
_POLLED = struct.Struct("=ihh")  # struct pollfd

#: (descriptor, poll's events)
Wanted = Sequence[tuple[int, int]]
Memo = tuple[int, ...]


def wait_of(task: Task, time: VirtualTime, moment: int) -> Wait | None:
    """The wait that the call of *task* is; None when it has no limit in time, or would not wait, or
    the kernel will refuse it. *moment*: see `Wait.is_ready`. Raises `OSError` when the task is
    gone."""
    assert task.call is not None
    make = _WAITS.get(task.call[3])
    if make is None:
        return None
    wait = make(task, time, task.call[_ARGS:])
    if wait is None or wait.is_ready(moment) or task.is_interrupted(wait.blocked):
        return None
    wait.deadline = _kept(task, wait.deadline)
    return wait


TIMED = frozenset(
    numbers(
        "nanosleep clock_nanosleep poll ppoll select pselect6 epoll_wait epoll_pwait epoll_pwait2"
        " futex rt_sigtimedwait"
    )
)


def _kept(task: Task, deadline: int) -> int:
    """A call that a signal interrupted and that is made again goes on with its old deadline."""
    assert task.call is not None
    memo = (task.call[3], *task.call[5:])
    if task.interrupted is not None and task.interrupted[0] == memo:
        deadline = task.interrupted[1]
    task.interrupted = None
    return deadline


def memo_of(task: Task, deadline: int) -> tuple[Memo, int]:
    """What `_kept` knows the call again by."""
    assert task.call is not None
    return (task.call[3], *task.call[5:]), deadline


# ---- Times ---------------------------------------------------------------------------------------


def _timespec(task: Task, address: int, unit: int = 1) -> int | None:
    """Nanoseconds of a struct timespec (or, with *unit* 1000, timeval); None when the kernel will
    refuse it."""
    try:
        seconds, rest = struct.unpack("=qq", task.memory().read(address, 16))
    except OSError:
        return None
    if seconds < 0 or not 0 <= rest * unit < _SECOND:
        return None
    return int(seconds) * _SECOND + int(rest) * unit


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
    return _sleep(task, time, _timespec(task, args[0]), args[1])


def _clock_nanosleep(task: Task, time: VirtualTime, args: tuple[int, ...]) -> Wait | None:
    clock, flags, request, remains = args[:4]
    wanted = _timespec(task, request)
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


def _polls(task: Task, deadline: int, address: int, count: int) -> Wait | None:
    if count > _FDS_MAX:
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
    limit = _milliseconds(args[2])
    return _polls(task, time.now + limit, args[0], args[1] & 0xFFFFFFFF) if limit else None


def _ppoll(task: Task, time: VirtualTime, args: tuple[int, ...]) -> Wait | None:
    limit = _timespec(task, args[2]) if args[2] else None
    if not limit:
        return None
    wait = _polls(task, time.now + limit, args[0], args[1] & 0xFFFFFFFF)
    if wait is not None:
        wait.blocked = _mask(task, args[3])
        _writes_back(task, wait, args[2], 1)
    return wait


def _writes_back(task: Task, wait: Wait, address: int, unit: int) -> None:
    """The call changes its limit into the time that is left. The kernel ends it by a signal: it
    alone can let one in that is else blocked."""
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
    limit = _timespec(task, args[4], unit) if args[4] else None
    count = args[0] & 0xFFFFFFFF
    if not limit or count > _FDS_MAX:
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
    wait = Wait(time.now + limit, (0, 0), lambda: descriptors_ready(task, pairs), expire=expire)
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


def _epolls(task: Task, time: VirtualTime, limit: int | None, epoll: int, room: int) -> Wait | None:
    if not limit or not 0 < room & 0xFFFFFFFF < 1 << 31:
        return None
    wanted = [(epoll & 0xFFFFFFFF, select.POLLIN)]
    return Wait(time.now + limit, (0, 0), lambda: descriptors_ready(task, wanted))


def _epoll_wait(task: Task, time: VirtualTime, args: tuple[int, ...]) -> Wait | None:
    return _epolls(task, time, _milliseconds(args[3]), args[0], args[2])


def _epoll_pwait(task: Task, time: VirtualTime, args: tuple[int, ...]) -> Wait | None:
    wait = _epoll_wait(task, time, args)
    if wait is not None:
        wait.blocked = _mask(task, args[4])
    return wait


def _epoll_pwait2(task: Task, time: VirtualTime, args: tuple[int, ...]) -> Wait | None:
    limit = _timespec(task, args[3]) if args[3] else None
    wait = _epolls(task, time, limit, args[0], args[2])
    if wait is not None:
        wait.blocked = _mask(task, args[4])
    return wait


# ---- Futexes and signals -------------------------------------------------------------------------


def _futex(task: Task, time: VirtualTime, args: tuple[int, ...]) -> Wait | None:
    """A wait with a limit. Whoever ends it changes the word first, so that is what is looked at:
    the kernel's own queue does not know the waiter, and a wake without a change is lost (none of
    glibc's locks, conditions and semaphores does that)."""
    address, operation, expected, timeout = args[:4]
    kind = operation & 127
    if kind not in (_FUTEX_WAIT, _FUTEX_WAIT_BITSET) or not timeout:
        return None
    limit = _timespec(task, timeout)
    if limit is None:
        return None
    if kind == _FUTEX_WAIT:
        deadline: int | None = time.now + limit
    else:
        deadline = time.of_clock(0 if operation & _FUTEX_REALTIME else 1, limit)
    assert deadline is not None

    def changed() -> bool:
        try:
            word = task.memory().read(address, 4)
        except OSError:
            return True
        return int.from_bytes(word, "little") != expected & 0xFFFFFFFF

    return Wait(
        deadline,
        (0, errno.ETIMEDOUT),
        changed,
        interrupted=lambda left: None,
        value=(0, errno.EAGAIN),
    )


def _sigtimedwait(task: Task, time: VirtualTime, args: tuple[int, ...]) -> Wait | None:
    limit = _timespec(task, args[2]) if args[2] else None
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
    NR["futex"]: _futex,
    NR["rt_sigtimedwait"]: _sigtimedwait,
}
