"""By what a trial is weakened: which call of which task shows that a promise cannot be held.

Each is said once for a role. What no call shows is not found: that a program reads the processor's
own counter (RDTSC), or draws from it (RDRAND), costs it no call. That could be made to fault, but
then the C library's own loader would, which reads it in every program. Of programs in Go we know.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Iterator, Sequence

from .._kernel.seccomp import ARGS
from .._kernel.uapi import CLONE_THREAD, CLONE_VFORK, CLONE_VM
from ..calls import NR, numbers
from ..weakness import Weakness
from .decode import call_name
from .tasks import Task

_FOUND_MAX = 50
_SHARED, _ANONYMOUS, _WRITE = 1, 0x20, 2  # MAP_SHARED, MAP_ANONYMOUS, PROT_WRITE
_SHM_RDONLY = 0o10000
_PROCESS_CPU, _THREAD_CPU = 2, 3  # CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID

Args = tuple[int, ...]


def _is_of_processor(clock: int) -> bool:
    """Whether a clock shows processor time. Those of others have negative numbers, made of a pid;
    two more bits say that it is no descriptor's. Source: clock_getcpuclockid(3)."""
    clock &= 0xFFFFFFFF
    return clock in (_PROCESS_CPU, _THREAD_CPU) or (clock >> 31 == 1 and clock & 3 != 3)


def _is_of_another(clock: int) -> bool:
    """Whether it shows the processor time of a process or a thread that has a number. That of the
    caller is counted in calls (processor_time.py)."""
    return _is_of_processor(clock) and clock & 0xFFFFFFFF not in (_PROCESS_CPU, _THREAD_CPU)


_READS = "reads how much processor time was used"
_SETS = "sets a timer of processor time"
_WAITS = "waits by real time"
#: call -> whether it weakens the trial, by its arguments; and in what way
_SIGNS: dict[int, tuple[Callable[[Args], bool], str]] = {
    NR["clock_gettime"]: (lambda args: _is_of_another(args[0]), _READS),
    NR["wait4"]: (lambda args: args[3] != 0, _READS),
    NR["waitid"]: (lambda args: args[4] != 0, _READS),
    NR["setitimer"]: (lambda args: args[0] & 0xFFFFFFFF in (1, 2), _SETS),
    NR["timer_create"]: (lambda args: _is_of_processor(args[0]), _SETS),
    NR["clock_nanosleep"]: (lambda args: _is_of_processor(args[0]), "sleeps by processor time"),
    NR["semtimedop"]: (lambda args: args[3] != 0, _WAITS),
    NR["mq_timedsend"]: (lambda args: args[4] != 0, _WAITS),
    NR["mq_timedreceive"]: (lambda args: args[4] != 0, _WAITS),
    NR["io_getevents"]: (lambda args: args[4] != 0, _WAITS),
    NR["io_pgetevents"]: (lambda args: args[4] != 0, _WAITS),
    NR["recvmmsg"]: (lambda args: args[4] != 0, _WAITS),
    NR["futex_waitv"]: (lambda args: args[3] != 0, _WAITS),
    NR["io_uring_setup"]: (
        lambda args: True,
        "asks for io_uring, and is told that there is none",
    ),
}
_MAPS = numbers("mmap shmat")
_OPENS = numbers("open openat openat2")
_STANDARD_READS = numbers("read readv")
_WATCHED = frozenset(_SIGNS) | _MAPS
#: Of these, those that mean nothing else to a trial.
ONLY_WATCHED = numbers("mmap")

#: What the kernel tells of the machine, or of a process, and not of the trial.
_OF_THE_MACHINE = re.compile(
    rb"/proc/(?:uptime|loadavg|stat|meminfo|cpuinfo|vmstat|interrupts|softirqs|schedstat|diskstats"
    rb"|zoneinfo|buddyinfo|pressure/\w+"
    rb"|(?:self|thread-self|\d+)(?:/task/\d+)?/(?:stat|statm|status|sched|schedstat|io|smaps\w*))"
)
_PT_NOTE = 4  # <elf.h>
_GO = (b"Go", 4)  # the note in which Go's linker writes the build's number
_HEAD = 8192  # bytes in which an ELF file has its headers, and notes theirs


class Weaknesses:
    """What has been found in one trial: `found`. *events* says how many its trace has."""

    def __init__(self, events: Callable[[], int]) -> None:
        self.found: list[Weakness] = []
        #: The calls that are to be looked at.
        self.watched = _WATCHED
        self._outside: tuple[int, int] | None = None
        self._events = events
        self._said: set[tuple[str, str]] = set()
        self._mapped: dict[object, dict[int, tuple[str, bool]]] = {}
        self._writes: set[int] = set()
        self._inherited = False

    def say(self, role: str, reason: str) -> None:
        """*role* (empty: the whole trial) weakens it, as *reason* says; the first time counts."""
        if (role, reason) not in self._said and len(self.found) < _FOUND_MAX:
            self._said.add((role, reason))
            self.found.append(Weakness(role=role, reason=reason, event=self._events()))

    def watch_standard_input(self) -> None:
        """Our own, which the trial reads, is written by others at the same time."""
        found = os.fstat(0)
        self._outside = found.st_dev, found.st_ino
        self.watched = _WATCHED | _STANDARD_READS

    def look(self, task: Task) -> None:
        """At the call that *task* makes, one of `watched`."""
        assert task.call is not None
        nr, args = task.call[3], task.call[ARGS:]
        if nr in _SIGNS:
            weakens, reason = _SIGNS[nr]
            if weakens(args):
                named = "" if nr == NR["io_uring_setup"] else f" ({call_name(nr)})"
                self.say(task.name, reason + named)
        elif nr in _STANDARD_READS:
            if args[0] & 0xFFFFFFFF == 0 and _node(task, 0) == self._outside:
                self.say(task.name, "reads standard input as it comes")
        elif nr == NR["mmap"]:
            self._map(task, args)
        else:
            self._share(task, ("shm", args[0]), writes=not args[2] & _SHM_RDONLY)

    def opens(self, task: Task, nr: int, paths: Sequence[bytes | None]) -> None:
        """*task* names *paths* in a call."""
        for path in paths if nr in _OPENS else ():
            if path is not None and _OF_THE_MACHINE.fullmatch(path):
                named = re.sub(rb"/\d+", b"/PID", path).decode()
                self.say(task.name, f"opens {named}, which is not held still")

    # Memory that several processes see

    def _map(self, task: Task, args: Args) -> None:
        writes = bool(args[2] & _WRITE)
        if not args[3] & _SHARED:
            return
        if not args[3] & _ANONYMOUS:
            self._share(task, _node(task, args[4] & 0xFFFFFFFF), writes=writes)
        elif writes:
            self._writes.add(task.tgid)

    def _share(self, task: Task, memory: object, *, writes: bool) -> None:
        if writes:
            self._writes.add(task.tgid)
        users = self._mapped.setdefault(memory, {})
        users[task.tgid] = task.name, writes
        others = sorted(name for tgid, (name, _) in users.items() if tgid != task.tgid)
        if others and any(one_writes for _, one_writes in users.values()):
            self.say(task.name, f"shares memory with {others[0]}")

    def clones(self, task: Task, flags: int) -> None:
        """*task* makes a child, with *flags* as clone(2) has them. A child of vfork(2) has the
        memory for itself while it lives there, and threads are known to share theirs."""
        if flags & (CLONE_THREAD | CLONE_VFORK):
            return
        if flags & CLONE_VM:
            self._inherited = True
            self.say(task.name, "shares all of its memory with a child")
        elif task.tgid in self._writes and _shares_what_it_writes(task):
            self._inherited = True
            self.say(task.name, "shares memory with a child")

    def shares_memory(self, task: Task) -> bool:
        """Whether another process may change what *task* reads. Of what is inherited we do not know
        by whom, and take it to be all."""
        users = (users for users in self._mapped.values() if task.tgid in users)
        return self._inherited or any(len(each) > 1 for each in users)

    # Programs

    def executed(self, task: Task) -> None:
        """*task* has another program: what was mapped is gone."""
        self.ended(task)
        if _is_go(task.tid):
            self.say(task.name, "runs a program in Go, which reads the processor's own counter")

    def ended(self, task: Task) -> None:
        """The process of *task* has none of its memory any more."""
        self._writes.discard(task.tgid)
        for users in self._mapped.values():
            users.pop(task.tgid, None)


def _node(task: Task, fd: int) -> tuple[int, int] | None:
    """Device and inode of what a descriptor of *task* is open on; None when it is not open."""
    try:
        found = os.stat(f"/proc/{task.tid}/fd/{fd}")
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _shares_what_it_writes(task: Task) -> bool:
    """Whether it has memory now that its children would share. Source: proc_pid_maps(5)."""
    try:
        with open(f"/proc/{task.tid}/maps") as file:
            return any(" rw-s " in line for line in file)
    except OSError:
        return False  # it is gone


def _is_go(tid: int) -> bool:
    """Whether the program of a task was linked by Go, which leaves a note of its own. Source:
    elf(5)."""
    try:
        with open(f"/proc/{tid}/exe", "rb") as file:
            for offset, size in _note_segments(file.read(_HEAD)):
                file.seek(offset)
                if _GO in _notes(file.read(min(size, _HEAD))):
                    return True
    except (OSError, struct.error):
        pass  # it is gone, or no program that could run
    return False


def _note_segments(head: bytes) -> Iterator[tuple[int, int]]:
    """Offset and size of each segment of notes in an ELF file that begins with *head*."""
    (headers,) = struct.unpack_from("=Q", head, 32)
    size, count = struct.unpack_from("=HH", head, 54)
    for at in range(headers, headers + size * count, size or 1):
        kind, _flags, offset, _virtual, _physical, length = struct.unpack_from("=IIQQQQ", head, at)
        if kind == _PT_NOTE:
            yield offset, length


def _notes(segment: bytes) -> Iterator[tuple[bytes, int]]:
    """Owner and kind of each note: the parts of each are padded to four bytes."""
    at = 0
    while at + 12 <= len(segment):
        name, size, kind = struct.unpack_from("=III", segment, at)
        yield segment[at + 12 : at + 12 + name].rstrip(b"\0"), kind
        at += 12 + (name + 3) // 4 * 4 + (size + 3) // 4 * 4
