"""Processes: making them, holding them by a descriptor, signalling, scheduling, and what becomes of
them without us.

Source: clone(2), pidfd_getfd(2), prctl(2), personality(2), sched(7).
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct

from .libc import kernel_call, syscall
from .uapi import (
    ADDR_NO_RANDOMIZE,
    PR_SET_CHILD_SUBREAPER,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    SYS_clone,
    SYS_personality,
    SYS_pidfd_getfd,
    SYS_prctl,
    SYS_rt_sigqueueinfo,
    SYS_rt_tgsigqueueinfo,
    SYS_tgkill,
)

_SI_TIMER = -2
_python = ctypes.PyDLL(None)


@kernel_call
def clone(flags: int) -> int:
    """fork(2) with *flags* (CLONE_NEW*): 0 in the child, the child's pid in the parent.

    The interpreter's own fork hooks run as in os.fork. One call instead of fork, unshare, fork: a
    namespace of pids needs a fresh process, and the parent-death signal must mean us and not a
    helper in between. Call it from a single-threaded process only.
    """
    _python.PyOS_BeforeFork()
    try:
        pid = syscall(SYS_clone, flags | signal.SIGCHLD, 0, 0, 0, 0)
    except OSError:
        _python.PyOS_AfterFork_Parent()
        raise
    if pid == 0:
        _python.PyOS_AfterFork_Child()
    else:
        _python.PyOS_AfterFork_Parent()
    return pid


@kernel_call
def open_pidfd(pid: int) -> int:
    """A descriptor for the process *pid* (Linux 5.3)."""
    return os.pidfd_open(pid)


@kernel_call
def get_fd(pidfd: int, fd: int) -> int:
    """A duplicate of another process's descriptor (Linux 5.6). Close it at once: held, it hides EOF
    from its peers."""
    return syscall(SYS_pidfd_getfd, pidfd, fd, 0)


@kernel_call
def signal_task(tgid: int, tid: int, number: int) -> None:
    """Send a signal to one thread, as tgkill(2) does."""
    syscall(SYS_tgkill, tgid, tid, number)


@kernel_call
def queue_timer_signal(
    pid: int, tid: int, number: int, timer: int, overrun: int, value: int
) -> None:
    """Send a process, or one thread of it (*tid* not 0), the signal of a timer that went off, with
    SI_TIMER. No error when it is gone. Source: rt_sigqueueinfo(2), <asm-generic/siginfo.h>."""
    info = struct.pack("=iiiiiiQ", number, 0, _SI_TIMER, 0, timer, overrun, value).ljust(128, b"\0")
    try:
        if tid:
            syscall(SYS_rt_tgsigqueueinfo, pid, tid, number, info)
        else:
            syscall(SYS_rt_sigqueueinfo, pid, number, info)
    except ProcessLookupError:
        pass


@kernel_call
def kill(pid: int, number: int) -> bool:
    """Send a signal to a process; False when it is gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


@kernel_call
def become_subreaper() -> None:
    """Orphans below this process become its children (PR_SET_CHILD_SUBREAPER), so that they can be
    waited for."""
    syscall(SYS_prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@kernel_call
def die_with_parent() -> None:
    """SIGKILL for this process when its parent ends. Set it after the last change of credentials:
    that clears it."""
    syscall(SYS_prctl, PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


@kernel_call
def give_up_new_privileges() -> None:
    """PR_SET_NO_NEW_PRIVS: set-uid programs gain nothing from here on."""
    syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


@kernel_call
def disable_address_randomisation() -> None:
    """ADDR_NO_RANDOMIZE for this process and what it execs."""
    syscall(SYS_personality, ADDR_NO_RANDOMIZE)


@kernel_call
def set_personality(value: int) -> int:
    """The personality of this process and of what it execs, as personality(2) has it; what it was
    before."""
    return syscall(SYS_personality, value)


@kernel_call
def pin(pid: int, cpu: int) -> None:
    """Let *pid* (0: this thread) run on *cpu* only."""
    os.sched_setaffinity(pid, {cpu})


@kernel_call
def schedule_in_real_time(pid: int, priority: int) -> None:
    """Round robin in real time for *pid* (0: this thread): nothing ordinary runs on its processor
    before it.

    Round robin, not FIFO: threads that spin for one another must take turns. Error: EPERM without
    CAP_SYS_NICE.
    """
    os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(priority))


@kernel_call
def schedule_ordinarily(pid: int) -> None:
    """Undo `schedule_in_real_time` for *pid*: it runs when nobody in real time does."""
    os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))


@kernel_call
def run_anywhere(cpus: set[int], pid: int = 0) -> None:
    """Undo `pin` and `schedule_in_real_time` for *pid* (0: this thread)."""
    os.sched_setaffinity(pid, cpus)
    if os.sched_getscheduler(pid) != os.SCHED_OTHER:
        os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))
