"""From a golden trace to trials: a schedule for each point at which something can go wrong.

Pure: nothing is run here. What goes wrong is taken from the manual pages, so that a program may be
asked to cope with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from harness.calls import CALLS
from harness.fault import CrashFault, ErrnoFault, Fault, ShortFault
from harness.schedule import FaultAt, Schedule, Trigger, role_matches
from harness.trace import NO_ROLE, Event, Trace

#: call -> the errnos that its manual page gives for one cause
Failures = Mapping[str, Collection[str]]


def _each(names: str, *errnos: str) -> dict[str, Collection[str]]:
    return dict.fromkeys(names.split(), errnos)


DISK_IS_FULL: Failures = _each(
    "write writev pwrite64 copy_file_range fallocate open openat creat mkdir mkdirat"
    " rename renameat renameat2 link linkat symlink symlinkat",
    "ENOSPC",
)
DEVICE_FAILS: Failures = _each(
    "read pread64 write pwrite64 copy_file_range close fsync fdatasync ftruncate"
    " unlink unlinkat rename renameat renameat2 readlink fchmod fchown chmod",
    "EIO",
)
TABLES_ARE_FULL: Failures = {
    **_each("open openat creat pipe pipe2 socket socketpair accept accept4", "EMFILE", "ENFILE"),
    **_each("fcntl dup", "EMFILE"),
    **_each("dup2 dup3", "EBUSY"),
    **_each("fork vfork clone clone3 execve", "EAGAIN"),
}
PEER_IS_GONE: Failures = {
    **_each("connect", "ECONNREFUSED", "ETIMEDOUT"),
    **_each("accept accept4", "ECONNABORTED"),
    **_each("read recvfrom recvmsg", "ECONNRESET"),
    **_each("write sendto sendmsg", "ECONNRESET", "EPIPE"),
}

_O_CREAT = 0x40
_F_DUPFD, _F_DUPFD_CLOEXEC = "0", "1030"
#: To be killed before one of these is, for everybody else, to be killed before the next that is
#: none of these.
_ONLY_LOOKS = {
    *("access", "faccessat", "faccessat2", "readlink", "readlinkat", "getcwd", "getdents64"),
    *("stat", "lstat", "fstat", "newfstatat", "statx", "statfs", "fstatfs", "lseek", "pread64"),
    *("fadvise64", "getsockname", "getpeername", "getsockopt", "poll", "pselect6"),
}


class Point(NamedTuple):
    """One call of the golden run: where a fault would meet it, and what it was."""

    at: Trigger
    event: Event


def points(golden: Trace, roles: str = "**", phases: Collection[str] = ("work",)) -> list[Point]:
    """The calls of the golden run in *phases*, of the roles that the pattern *roles* means."""
    found = []
    phase = ""
    for event in golden.counted():
        if event.role == NO_ROLE:
            phase = event.args[0]
        elif phase in phases and role_matches(roles, event.role):
            at = Trigger(
                role=event.role, call=event.call, first=event.nth, last=event.nth, phase=phase
            )
            found.append(Point(at, event))
    return found


def failing(these: Iterable[Point], failures: Failures) -> Iterator[Schedule]:
    """Each call fails once, with each errno that *failures* has for it."""
    for point in these:
        for errno in failures.get(point.event.call, ()):
            if _is_possible(point.event, errno):
                yield _one(point, ErrnoFault(errno=errno))


def shortened(these: Iterable[Point]) -> Iterator[Schedule]:
    """Each transfer moves one byte only."""
    for point in these:
        if CALLS[point.event.call].short != "-":
            yield _one(point, ShortFault(count=1))


def killed(these: Iterable[Point]) -> Iterator[Schedule]:
    """The caller is killed at each call that does more than look."""
    for point in these:
        if point.event.call not in _ONLY_LOOKS:
            yield _one(point, CrashFault())


def in_another_order(count: int) -> Iterator[Schedule]:
    """No fault; which task goes next is drawn, from another seed each time."""
    for seed in range(count):
        yield Schedule(seed=seed)


def _one(point: Point, fault: Fault) -> Schedule:
    return Schedule(faults=(FaultAt(at=point.at, fault=fault),))


def _is_possible(event: Event, errno: str) -> bool:
    """Whether the manual page has *errno* for this use of the call."""
    if errno == "ENOSPC" and event.call in ("open", "openat"):
        return bool(int(event.args[-2], 16) & _O_CREAT)
    if event.call == "fcntl":
        return event.args[1] in (_F_DUPFD, _F_DUPFD_CLOEXEC)
    return True
