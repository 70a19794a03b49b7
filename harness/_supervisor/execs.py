"""New programs: stopped between execve(2) and their first instruction, so that their vDSO can be
overwritten, and they read the clock by system calls; and with it the bytes that are random in them
from the start.

A task whose execve is let pass is seized; when it has executed, it is patched and given up. When
the execve failed it is stopped at its next call and given up.
"""

from __future__ import annotations

from collections.abc import Callable

from .._kernel import auxv, ptrace, vdso
from .._kernel.memory import Memory
from .tasks import Task


class Execs:
    """The tasks that are between two programs.

    *executed* is told of each that has begun another one, *drawn* says which 16 bytes are random in
    it, *weaker* is told which role reads the real clock, and why, if one does.
    """

    def __init__(
        self,
        executed: Callable[[Task], None],
        drawn: Callable[[Task], bytes],
        weaker: Callable[[str, str], None],
    ) -> None:
        self._executed = executed
        self._drawn = drawn
        self._weaker = weaker
        self._seized: dict[int, Task] = {}
        self._failed: set[int] = set()

    def traced(self) -> set[int]:
        """The threads that are seized, by any number that they may have by now."""
        return {tid for task in self._seized.values() for tid in (task.tid, task.tgid)}

    def begin(self, task: Task) -> None:
        """Its execve is about to be let pass."""
        if task.tid in self._seized:
            return
        try:
            ptrace.seize(task.tid)
        except OSError as error:
            self._weaker(task.name, f"reads the real clock (ptrace: {error.strerror})")
        else:
            self._seized[task.tid] = task

    def came_back(self, task: Task) -> None:
        """It calls again: if it is still seized, its execve has failed."""
        if task.tid in self._seized and task.tid not in self._failed:
            self._failed.add(task.tid)
            try:
                ptrace.interrupt(task.tid)
            except OSError:
                pass  # it died

    def serve(self) -> bool:
        """Do what is to be done; whether somebody may still run because of us."""
        busy = False
        for tid, task in list(self._seized.items()):
            busy |= self._serve(tid, task)
        return busy

    def _serve(self, tid: int, task: Task) -> bool:
        # A thread that was not the first gets the number of the process.
        for one in dict.fromkeys((task.tgid, tid)):
            what, number = ptrace.look(one)
            if what == ptrace.RUNS:
                return tid not in self._failed
            if what != ptrace.GONE:
                return self._go_on(task, one, what, number)
        self._forget(tid)
        return False

    def _go_on(self, task: Task, one: int, what: str, number: int) -> bool:
        tid = task.tid
        try:
            if what == ptrace.EXECUTED:
                self._executed(task)
                self._patch(one, task)
            elif tid not in self._failed:
                ptrace.go_on(one, number)  # a signal that came on the way
                return True
            ptrace.let_go(one, number)
        except OSError:
            pass  # it died
        self._forget(tid)
        return True

    def _patch(self, pid: int, task: Task) -> None:
        try:
            found = auxv.read(pid)
            memory = Memory(pid)
            try:
                if base := found.get(auxv.AT_SYSINFO_EHDR):
                    vdso.patch(memory.fd, base)
                if address := found.get(auxv.AT_RANDOM):
                    memory.write(address, self._drawn(task))
            finally:
                memory.close()
        except OSError as error:
            self._weaker(task.name, f"reads the real clock (vDSO: {error.strerror})")

    def _forget(self, tid: int) -> None:
        self._seized.pop(tid, None)
        self._failed.discard(tid)
