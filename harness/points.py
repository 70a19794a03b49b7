"""Fault points: from the trace of a golden run to the faults that are worth a trial. Pure.

A point is a call that the golden run made. What can go wrong at it is asked by words: a kind of
fault (`errno`, `short`, `eof`, `crash`, `delay`, ...), a kind with its argument (`short(7)`,
`delay(1m)`, `signal(TERM)`), or a part of `errno`: one of them (`ENOSPC`) or a cause (`space`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from .calls import CALLS, errno_number, matching
from .descriptors import Descriptors, Kind
from .errors import ScheduleError, UsageError, quoted, unknown
from .failures import CAUSES, FAILURES, Failure
from .fault import (
    RECEIVES,
    CrashAfterFault,
    CrashFault,
    DelayFault,
    EofFault,
    ErrnoFault,
    Fault,
    PauseFault,
    ResetFault,
    ShortFault,
    parse_fault,
)
from .handlers import Handlers
from .schedule import FaultAt, Trigger, role_matches
from .trace import NO_ROLE, Event, Trace
from .trigger import process_of

#: The kinds that are tried unless others are asked for. `hold` and `signal` are not among them: a
#: task that is stuck for ever excuses nearly everything, and a signal is what its handler makes it.
KINDS = ("errno", "short", "crash", "crash-after")
PHASES = ("start", "work", "stop")

_WORDS = (*KINDS, "eof", "reset", "delay", "pause", "hold", "signal(TERM)", *CAUSES, "ENOSPC")
#: The kinds that a sweep knows without their argument. Longer than a second, the least that people
#: give as a time-out; whoever has longer ones asks for `delay(5m)`.
_USUAL: dict[str, Fault] = {
    "short": ShortFault(count=1),
    "delay": DelayFault(time_ns=2 * 10**9),
    "pause": PauseFault(time_ns=2 * 10**9),
}
_O_CREAT, _MSG_DONTWAIT = 0x40, 0x40
_F_DUPFD, _F_DUPFD_CLOEXEC, _F_SETLKW, _F_OFD_SETLKW = "0", "1030", "7", "38"
_CONNECTS = frozenset({"accept", "accept4", "connect", "socketpair"})
#: What only the caller learns something by. To be killed at one of these is, for everybody else, to
#: be killed at the next call that is none of these.
_ONLY_LOOKS = {
    *("access", "faccessat", "faccessat2", "readlink", "readlinkat", "getcwd", "lseek", "ustat"),
    *("stat", "lstat", "fstat", "newfstatat", "statx", "statfs", "fstatfs", "fadvise64"),
    *("getdents", "getdents64", "pread64", "preadv", "preadv2", "readahead", "sched_yield"),
    *("getsockname", "getpeername", "getsockopt", "poll", "ppoll", "select", "pselect6"),
    *("epoll_wait", "epoll_pwait", "epoll_pwait2", "getxattr", "lgetxattr", "fgetxattr"),
    *("listxattr", "llistxattr", "flistxattr"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One call of the golden run: where a fault would meet it, and what it was.

    *descriptor* is what the call's first descriptor leads to, *library* whether the call is about a
    file that is one (descriptors.py). *until* is the phase in which the
    caller went on, or empty when it never did. *threads* and *connected* say of the
    run until then whether the caller's process had a second thread, and whether anybody had made a
    connection. *interrupted*: a signal may make it fail with EINTR, or nobody knows (handlers.py).
    """

    at: Trigger
    event: Event
    until: str = ""
    descriptor: Kind = "unknown"
    library: bool = False
    threads: bool = False
    connected: bool = False
    interrupted: bool = True

    def describe(self) -> str:
        return self.at.describe()

    def faulted(self, fault: Fault) -> FaultAt:
        """*fault* at this call, and no other."""
        return FaultAt(at=self.at, fault=fault)


def points(
    golden: Trace,
    roles: str = "**",
    calls: str = "*",
    phases: Collection[str] = PHASES,
    handlers: Handlers | None = None,
) -> tuple[Point, ...]:
    """The calls of the golden run in *phases*, of the roles and calls that the patterns mean.

    *calls* is as in a trigger: a name, a glob or a family. *handlers*, where the run shows them,
    say what a signal may interrupt. Raises `ScheduleError` when it means no
    call."""
    wanted = matching(calls)
    found = []
    went_on = _phases_after(golden)
    phase, connected, threaded, descriptors = "", False, set[str](), Descriptors()
    for event, until in zip(golden.events, went_on, strict=True):
        phase = phase_from(event, phase)
        if event.call not in CALLS:
            continue  # a mark, what a client of ours told, or a call newer than our table
        descriptor = descriptors.see(event)
        interrupted = handlers is None or handlers.see(event)
        connected = connected or event.call in _CONNECTS
        process = process_of(event.role)
        if process != event.role:
            threaded.add(process)
        if phase in phases and event.call in wanted and role_matches(roles, event.role):
            at = Trigger(
                role=event.role, call=event.call, first=event.nth, last=event.nth, phase=phase
            )
            found.append(
                Point(
                    at=at,
                    event=event,
                    until=until,
                    descriptor=descriptor,
                    library=descriptors.library,
                    threads=process in threaded,
                    connected=connected,
                    interrupted=interrupted,
                )
            )
    return tuple(found)


def phase_from(event: Event, phase: str) -> str:
    """The phase from *event* on, which was *phase* before it."""
    return event.args[0] if event.role == NO_ROLE and event.call == "phase" else phase


def _phases_after(golden: Trace) -> list[str]:
    """For each event the phase of the next one of the same role; empty when there is none."""
    phases, phase = list[str](), ""
    for event in golden.events:
        phase = phase_from(event, phase)
        phases.append(phase)
    after, next_of = list[str](), dict[str, str]()
    for event, phase in zip(reversed(golden.events), reversed(phases), strict=True):
        after.append(next_of.get(event.role, ""))
        next_of[event.role] = phase
    return after[::-1]


# ---- What can go wrong at a point ----------------------------------------------------------------


def faults_at(point: Point, kind: str) -> tuple[Fault, ...]:
    """The faults that the word *kind* means at *point*: each is worth one trial. Raises
    `UsageError` when it is no such word."""
    return tuple(_maker(kind)(point))


def check_kinds(kinds: Iterable[str]) -> tuple[str, ...]:
    """The words, each once. Raises `UsageError` when one of them is none."""
    words = tuple(dict.fromkeys(kinds))
    for word in words:
        _maker(word)
    if not words:
        raise UsageError("no kind of fault is given")
    return words


def failing(these: Iterable[Point], kind: str) -> Iterator[FaultAt]:
    """Each fault that *kind* means, at each of the points that it can be at."""
    for point in these:
        for fault in faults_at(point, kind):
            yield point.faulted(fault)


_Maker = Callable[[Point], Iterable[Fault]]


@lru_cache(maxsize=64)
def _maker(word: str) -> _Maker:
    if word == "errno":
        return _errnos(lambda failure: True, unless_asked_for=True)
    if word in CAUSES:
        return _errnos(lambda failure: failure.cause == word)
    if word in _USUAL:
        return _possible(_USUAL[word])
    try:
        fault = parse_fault(word, root="")
    except ScheduleError as wrong:
        if word.startswith(("delay(", "pause(", "hold(")):
            raise UsageError(f"kind of fault {quoted(word)}: {wrong}") from None
        raise UsageError(_unknown_kind(word)) from None
    if isinstance(fault, ErrnoFault):
        return _errnos(_only(fault.errno))
    return _possible(fault)


def _unknown_kind(word: str) -> str:
    message = unknown("kind of fault", word, _WORDS)
    return message if "did you mean" in message else f"{message}; known: {', '.join(_WORDS)}"


def _only(errno: str) -> Callable[[Failure], bool]:
    errno_number(errno)
    if not any(failure.errno == errno for known in FAILURES.values() for failure in known):
        raise UsageError(
            f"{quoted(errno)} is no failure that a correct program must expect at any call; "
            "to see one: harness run --fault"
        )
    return lambda failure: failure.errno == errno


def _errnos(wanted: Callable[[Failure], bool], *, unless_asked_for: bool = False) -> _Maker:
    """Those that are *wanted*; *unless_asked_for* by name, EINTR only where a handler is known."""

    def make(point: Point) -> Iterator[Fault]:
        seen = set()
        for failure in FAILURES.get(point.event.call, ()):
            if unless_asked_for and failure.cause == "interrupted" and not point.interrupted:
                continue
            if failure.errno not in seen and wanted(failure) and _applies(failure, point):
                seen.add(failure.errno)
                yield ErrnoFault(errno=failure.errno)

    return make


def _possible(fault: Fault) -> _Maker:
    def make(point: Point) -> Iterator[Fault]:
        call = CALLS[point.event.call]
        if isinstance(fault, CrashFault | CrashAfterFault) and call.name in _ONLY_LOOKS:
            return
        if isinstance(fault, EofFault | ResetFault) and not _has_an_end(point, fault):
            return
        if isinstance(fault, CrashAfterFault) and call.blocks and point.until != point.at.phase:
            return  # it would be killed in another phase, where that is another trial, or never
        try:
            fault.check_call(call)
        except ScheduleError:
            return
        yield fault

    return make


def _has_an_end(point: Point, fault: EofFault | ResetFault) -> bool:
    """Whether what the call reads or writes may have another end that can go. What a command is
    given as its standard input in a sweep has none."""
    match point.descriptor:
        case "socket":
            return True
        case "unknown":
            return isinstance(fault, EofFault) or point.connected
        case "pipe":
            return isinstance(fault, EofFault)
        case "standard":
            return isinstance(fault, EofFault) and point.event.call not in RECEIVES
    return False


def _asks_not_to_wait(event: Event) -> bool:
    call = CALLS[event.call]
    if "net" not in call.families or "x" not in call.args:
        return False
    return bool(int(event.args[call.args.replace("-", "").index("x")], 16) & _MSG_DONTWAIT)


def _applies(failure: Failure, point: Point) -> bool:
    """Whether this use of the call may meet *failure*."""
    event = point.event
    match failure.when:
        case "creates":
            return bool(int(event.args[-2], 16) & _O_CREAT)
        case "dup":
            return event.args[1] in (_F_DUPFD, _F_DUPFD_CLOEXEC)
        case "file":
            return point.descriptor in ("file", "standard", "unknown")
        case "lock":
            return event.args[1] in (_F_SETLKW, _F_OFD_SETLKW)
        case "threads":
            return point.threads
        case "socket":
            return point.descriptor == "socket" or (
                point.descriptor == "unknown" and point.connected
            )
        case "waits":
            return point.descriptor != "file" and not _asks_not_to_wait(event)
        case "-":
            return True
