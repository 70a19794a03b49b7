"""Which calls of a run a signal can interrupt: told by the handlers that its processes install.
Pure.

Without a handler a signal ends a process, stops it, or does nothing; no call fails with EINTR for
it. A handler that was installed with SA_RESTART has most calls carried out again, the others have
not. A child starts with what its parent had when it appeared, and whoever executes a program
handles nothing any more. Source: signal(7), sigaction(2), execve(2).

Handlers for what a program does to itself (SIGSEGV) are no reason to expect a signal, nor are
those that the C library has for itself in programs with threads.
"""

from __future__ import annotations

from collections.abc import Iterable

from .calls import CALLS
from .trace import Event
from .trigger import process_of

_EXECUTES = frozenset({"execve", "execveat"})
_ITS_OWN = frozenset({"SEGV", "BUS", "FPE", "ILL", "TRAP", "SYS", "RTMIN-2", "RTMIN-1"})
#: These fail with EINTR also when a process is stopped and goes on again, without any handler.
_STOPPED = frozenset(
    {"epoll_wait", "epoll_pwait", "epoll_pwait2", "semop", "semtimedop", "rt_sigtimedwait"}
)
#: SO_RCVTIMEO and SO_SNDTIMEO, of SOL_SOCKET, each with its name for 64 bits. Source: <socket.h>.
_SOCKET_LEVEL, _TIMEOUTS = "1", frozenset({"20", "21", "66", "67"})
_RESTARTS, _HANDLED = "restarts", "handled"


class Handlers:
    """Told each event of a run in turn in which rt_sigaction(2) is seen, says which may be
    interrupted.

    *functions* are roles that execute no program: they are forked from an interpreter, which has a
    handler for SIGINT."""

    def __init__(self, functions: Iterable[str] = ()) -> None:
        self._of: dict[str, dict[str, str]] = {role: {"INT": _HANDLED} for role in functions}
        self._with_timeouts = set[str]()

    def copy(self) -> Handlers:
        """Another one that knows as much."""
        other = Handlers()
        other._of = {process: dict(signals) for process, signals in self._of.items()}
        other._with_timeouts = set(self._with_timeouts)
        return other

    def see(self, event: Event) -> bool:
        """Whether *event* may fail with EINTR."""
        process = process_of(event.role)
        if process not in self._of:
            parent = process_of(process[: max(process.rfind("/"), 0)])
            self._of[process] = dict(self._of.get(parent, {}))
        signals = self._of[process]
        if event.call in _EXECUTES:
            signals.clear()
        elif event.call == "rt_sigaction" and event.args[0] not in _ITS_OWN:
            self._note(signals, *event.args[:2])
        elif event.call == "setsockopt" and _sets_a_timeout(event):
            self._with_timeouts.add(process)
        return self._may_be_interrupted(event.call, process)

    def _note(self, signals: dict[str, str], signal: str, how: str) -> None:
        if how in (_RESTARTS, _HANDLED):
            signals[signal] = how
        elif how in ("default", "ignored"):
            signals.pop(signal, None)

    def _may_be_interrupted(self, call: str, process: str) -> bool:
        known = CALLS.get(call)
        waits_for_a_time = process in self._with_timeouts and known and "net" in known.families
        if call in _STOPPED or waits_for_a_time:
            return True
        handlers = self._of[process].values()
        if known and known.restart == "sys":
            return _HANDLED in handlers
        return bool(handlers)


def _sets_a_timeout(event: Event) -> bool:
    return event.args[1] == _SOCKET_LEVEL and event.args[2] in _TIMEOUTS
