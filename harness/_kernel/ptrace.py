"""Just enough of ptrace(2) to stop a task between its execve and the first instruction of the new
program."""

from __future__ import annotations

import os

from .libc import kernel_call, syscall
from .uapi import (
    PTRACE_CONT,
    PTRACE_DETACH,
    PTRACE_EVENT_EXEC,
    PTRACE_INTERRUPT,
    PTRACE_O_TRACEEXEC,
    PTRACE_SEIZE,
    SYS_ptrace,
)

_WALL = 0x40000000  # <linux/wait.h>: threads and processes alike
#: What `look` can say.
EXECUTED, STOPPED, GONE, RUNS = "executed", "stopped", "gone", "runs"


@kernel_call
def seize(tid: int) -> None:
    """Become the tracer of a thread, which goes on, until it has executed a program. Errors: EPERM
    when somebody traces it already, or may not be told (Yama)."""
    syscall(SYS_ptrace, PTRACE_SEIZE, tid, 0, PTRACE_O_TRACEEXEC)


@kernel_call
def look(tid: int) -> tuple[str, int]:
    """What has become of a seized thread, and the signal by which it stopped. Does not wait."""
    try:
        pid, status = os.waitpid(tid, os.WNOHANG | _WALL)
    except ChildProcessError:
        return GONE, 0
    if pid == 0:
        return RUNS, 0
    if not os.WIFSTOPPED(status):
        return GONE, 0
    if status >> 16 == PTRACE_EVENT_EXEC:
        return EXECUTED, 0
    return STOPPED, 0 if status >> 16 else os.WSTOPSIG(status)


@kernel_call
def interrupt(tid: int) -> None:
    """Stop a seized thread as soon as it is back from the kernel."""
    syscall(SYS_ptrace, PTRACE_INTERRUPT, tid, 0, 0)


@kernel_call
def go_on(tid: int, number: int = 0) -> None:
    """Let a stopped thread run, with the signal *number* if it is not 0."""
    syscall(SYS_ptrace, PTRACE_CONT, tid, 0, number)


@kernel_call
def let_go(tid: int, number: int = 0) -> None:
    """Give up a stopped thread, with the signal *number* if it is not 0."""
    syscall(SYS_ptrace, PTRACE_DETACH, tid, 0, number)
