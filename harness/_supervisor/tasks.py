"""The tasks of a trial as the supervisor holds them: one object a thread, with its state read from
/proc.

A task is parked (its call waits for our answer), free (runs, or sleeps in the kernel), held (parked
for good) or gone. Source: proc_pid_stat(5).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple

from .._kernel.memory import Memory
from .._kernel.seccomp import Notification
from .core import Armed, Role
from .decode import POINTED, arguments, call_name, read_pointed
from .postponed import Interrupted, PutOff
from .virtual_time import Wait

_FLAGS, _UTIME = 6, 11  # of the fields that follow the command's name
_IGNORED_BY_DEFAULT = frozenset((signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH))
_PF_FORKNOEXEC = 0x40  # <linux/sched.h>
_ALL = (1 << 64) - 1
_STATUS_MAX = 1 << 14  # some 1,500 bytes, but for the longest lists of groups
PARKED, FREE, HELD, GONE = "parked", "free", "held", "gone"
#: A thread that is to be a client, and has not been told to begin.
IDLE = "idle"


class Signals(NamedTuple):
    """Sets of signals, as bits: number n is bit n - 1."""

    pending: int
    blocked: int
    ignored: int
    caught: int
    own: int  # of those that are pending, the ones sent to this thread alone


class Task:
    """One thread of the subject, a client, or init (which has no role)."""

    __slots__ = (
        "after",
        "again",
        "begun",
        "call",
        "clears",
        "computing",
        "due",
        "fired",
        "image",
        "interrupted",
        "nth",
        "put_off",
        "role",
        "signalled",
        "stat_fd",
        "state",
        "status_fd",
        "syscall_fd",
        "tgid",
        "tid",
        "total",
        "vforking",
        "wait",
        "waiting",
    )

    def __init__(self, tid: int, tgid: int, role: Role | None) -> None:
        self.tid = tid
        self.tgid = tgid
        self.role = role
        self.state = FREE
        self.begun = True  # false for a root until its command has been executed
        self.call: Notification | None = None  # the call it waits with, or made last
        self.clears = 0  # the address of the word that the kernel clears at its end; 0 for none
        #: Since which call it has been seen to compute, and how many seconds it had used by then.
        self.computing: tuple[Notification | None, float] | None = None
        self.nth = 0
        self.total = 0
        self.due: Sequence[Armed] = ()  # the faults whose turn it is at this call
        self.fired: Armed | None = None  # the crash-after that waits for its call to be done
        self.waiting = False  # a short transfer that waits for its descriptor to be ready
        # what happens at the next call: "exec", "crash" (the fault was crash-after), or nothing
        self.after = ""
        self.vforking = False
        self.signalled = False  # a signal has come that ends its wait
        self.put_off: PutOff | None = None  # the call is not made yet
        self.again: Interrupted | None = None  # a call that it left for a signal, and comes back to
        self.wait: Wait | None = None  # a call with a limit in time that is under way
        #: By what the call that a signal interrupted is known again, and its deadline.
        self.interrupted: tuple[tuple[int, ...], int] | None = None
        self.image: Memory | None = None
        self.stat_fd = _open(tid, "stat")
        self.syscall_fd: int | None = None  # opened when it is needed, as the next
        self.status_fd: int | None = None

    @property
    def name(self) -> str:
        """The role's name, or `init`."""
        return self.role.name if self.role else "init"

    @property
    def call_name(self) -> str:
        """The kernel's name of the call it waits with, or made last."""
        return call_name(self.call[3]) if self.call else "-"

    @property
    def doing(self) -> Hashable:
        """The call that it waits with and its arguments, as they would enter the trace."""
        assert self.call is not None
        nr = self.call[3]
        try:
            paths = read_pointed(self.call, self.memory()) if nr in POINTED else ()
        except OSError:
            return nr  # it is gone
        return nr, *arguments(self.call, paths)

    def kernel_state(self) -> str:
        """The state letter of proc_pid_stat(5); `X` when the task is no more.

        As long as /proc itself says X the task is on its way out and counts as running, `R`: the
        last thread of a process tells the parent of its end only when it is released.
        """
        if self.stat_fd < 0:
            return "X"
        try:
            data = os.pread(self.stat_fd, 512, 0)
        except OSError:
            return "X"
        letter = chr(data[data.rindex(b")") + 2])
        return "R" if letter == "X" else letter

    def is_still_awake(self) -> bool:
        """Whether a task in state S has yet to give up the processor, or to find that it need not
        sleep: it says S before it looks, and was switched out in between. Source: the kernel waits
        until the task is off its queue before it answers for /proc/TID/syscall."""
        if self.syscall_fd is None:
            self.syscall_fd = _open(self.tid, "syscall")
        try:
            return os.pread(self.syscall_fd, 8, 0).startswith(b"running")
        except OSError:
            return False  # it is gone, which its state will say; or may not be asked (Yama)

    def processor_time_s(self) -> float:
        """How much processor time it has used; 0 when it is gone."""
        try:
            data = os.pread(self.stat_fd, 512, 0)
        except OSError:
            return 0.0
        fields = data[data.rindex(b")") + 2 :].split()
        return (int(fields[_UTIME]) + int(fields[_UTIME + 1])) / os.sysconf("SC_CLK_TCK")

    def has_executed(self) -> bool:
        """Whether its process has executed a program since it was forked. False after an execve(2)
        that failed, true when it is gone."""
        try:
            data = os.pread(self.stat_fd, 512, 0)
        except OSError:
            return True
        return not int(data[data.rindex(b")") + 2 :].split()[_FLAGS]) & _PF_FORKNOEXEC

    def _status(self) -> bytes | None:
        """Its proc_pid_status(5); None when it is gone."""
        if self.status_fd is None:
            self.status_fd = _open(self.tid, "status")
        try:
            return os.pread(self.status_fd, _STATUS_MAX, 0)
        except OSError:
            return None

    def _signals(self) -> Signals | None:
        """What it is told, blocks, ignores and catches; None when it is gone."""
        status = self._status()
        if status is None:
            return None
        # Five lines that follow each other, each a name of six letters and 16 digits.
        first = status.index(b"\nSigPnd:") + 9
        own, shared, blocked, ignored, caught = (
            int(status[at : at + 16], 16) for at in range(first, first + 125, 25)
        )
        return Signals(own | shared, blocked, ignored, caught, own)

    def fd_table_size(self) -> int:
        """How many descriptors its process could have open without a larger table. Source:
        FDSize of proc_pid_status(5)."""
        status = self._status()
        return 0 if status is None else int(status.partition(b"\nFDSize:")[2].split(None, 1)[0])

    def pending_signals(self) -> int:
        """The signals that wait to be taken, as a set of bits: also those that are blocked."""
        signals = self._signals()
        return signals.pending if signals else 0

    def is_interrupted(self, blocked: int | None = None) -> bool:
        """Whether a signal waits that would end a call it sleeps in. *blocked*: the signals that
        are blocked while it does, when the call itself says so."""
        signals = self._signals()
        if signals is None:
            return False
        if self.tid != self.tgid:
            # What is sent to a process goes to its first thread, unless that blocks it. Source: the
            # kernel's complete_signal().
            left = signals.pending & _blocked_by(self.tgid)
            signals = signals._replace(pending=signals.own | left)
        if blocked is None:
            blocked = signals.blocked
        pending = signals.pending & ~blocked & ~signals.ignored
        while pending:
            number = (pending & -pending).bit_length()
            if signals.caught >> number - 1 & 1 or number not in _IGNORED_BY_DEFAULT:
                return True
            pending &= pending - 1
        return False

    def will_handle(self) -> bool:
        """Whether it has a function for a signal that waits and is not blocked."""
        signals = self._signals()
        return bool(signals and signals.pending & ~signals.blocked & signals.caught)

    def acts_on(self, number: int) -> bool:
        """Whether signal *number*, sent now, does anything now: it is neither blocked nor ignored.
        Source: proc_pid_status(5)."""
        signals = self._signals()
        if signals is None:
            return True  # it is gone
        bit = 1 << number - 1
        if (signals.blocked | signals.ignored) & bit:
            return False
        return bool(signals.caught & bit) or number not in _IGNORED_BY_DEFAULT

    def memory(self) -> Memory:
        """The memory of the program it runs now. `OSError` when it is gone."""
        if self.image is None:
            self.image = Memory(self.tid)
        return self.image

    def forget_image(self) -> None:
        """The program was replaced: its memory is another."""
        if self.image is not None:
            self.image.close()
            self.image = None

    def close(self) -> None:
        """Give up all descriptors on it."""
        self.state = GONE
        self.forget_image()
        for fd in (self.stat_fd, self.syscall_fd, self.status_fd):
            if fd is not None and fd >= 0:
                os.close(fd)
        self.stat_fd, self.syscall_fd, self.status_fd = -1, None, None


def _open(tid: int, name: str) -> int:
    """A descriptor on a file of the thread's, -1 when it is gone."""
    try:
        return os.open(f"/proc/{tid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def _blocked_by(tid: int) -> int:
    """The signals that a thread blocks; all of them when it has ended."""
    try:
        with open(f"/proc/{tid}/status", "rb") as file:
            status = file.read()
    except OSError:
        return _ALL
    if b"\nState:\tZ" in status:
        return _ALL
    at = status.index(b"\nSigBlk:") + 9
    return int(status[at : at + 16], 16)


def children_of(task: Task) -> Iterator[int]:
    """The processes that *task* made and the threads of its own process, as thread ids, the dead
    ones included. Source: proc_tid_children(5)."""
    try:
        with open(f"/proc/{task.tgid}/task/{task.tid}/children", "rb") as file:
            yield from map(int, file.read().split())
        yield from map(int, os.listdir(f"/proc/{task.tgid}/task"))
    except OSError:
        return


def kinship_of(tid: int) -> tuple[int, int]:
    """The process that thread *tid* belongs to, and its parent; *tid* itself and 0 when it is
    gone. Source: proc_pid_status(5)."""
    tgid, ppid = tid, 0
    try:
        with open(f"/proc/{tid}/status", "rb") as file:
            for line in file:
                if line.startswith(b"Tgid:"):
                    tgid = int(line[5:])
                elif line.startswith(b"PPid:"):
                    ppid = int(line[5:])
                    break
    except OSError:
        pass
    return tgid, ppid
