"""What a fault excuses: one table, by what went wrong and whose task it was at.

The oracles ask only what the faulted task could still do. What is not in a row here must hold
whatever goes wrong. Nothing here looks at what a trial gave beside which faults have fired."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Literal, cast

from .calls import signal_name
from .fault import (
    CrashAfterFault,
    CrashFault,
    Fault,
    SignalFault,
)
from .schedule import FRESH, RESTARTED, Schedule, role_matches

Kind = Literal["errno", "short", "eof", "reset", "signal", "delay", "pause", "crash", "hold"]
Place = Literal["client", "child", "service"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Excuse:
    """What one fault excuses; a row of the table.

    *one_operation*: one operation of one client may fail visibly, each time that the fault fires.
    *open_operations*: all that are under way, or find nobody, may. *own*: the client that it was at
    may fail in any way. *ends*: the service may die of it. *not_started*: met while it starts, the
    service may refuse to, with an exit status and a message. *not_stopped*: met while it stops, the
    service may fail to end as ever, visibly. *stuck*: what is held may keep the trial from ending,
    once nothing lets it go any more."""

    one_operation: bool = False
    open_operations: bool = False
    own: bool = False
    ends: bool = False
    not_started: bool = False
    not_stopped: bool = False
    stuck: bool = False

    def describe(self) -> str:
        """The excuses' names, as the documentation has them: `own`, or `nothing`."""
        names = [name for name in self.names() if getattr(self, name)]
        return ", ".join(names) or "nothing"

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """All that can be excused, in the order of the documentation."""
        return tuple(field.name for field in fields(cls))


_REFUSES = Excuse(not_started=True)
_FAILS_VISIBLY = Excuse(one_operation=True, not_started=True, not_stopped=True)
_OWN = Excuse(own=True)

#: A transfer that is cut short is no failure: whoever moves data must go on where it ended. Only
#: before it is ready, where the dynamic loader reads too, a service may say that it cannot.
TABLE: dict[tuple[Kind, Place], Excuse] = {
    ("errno", "service"): _FAILS_VISIBLY,
    ("errno", "child"): _FAILS_VISIBLY,
    ("errno", "client"): _OWN,
    ("short", "service"): _REFUSES,
    ("short", "child"): _REFUSES,
    ("short", "client"): _OWN,
    ("eof", "service"): _FAILS_VISIBLY,
    ("eof", "child"): _FAILS_VISIBLY,
    ("eof", "client"): _OWN,
    ("reset", "service"): _FAILS_VISIBLY,
    ("reset", "child"): _FAILS_VISIBLY,
    ("reset", "client"): _OWN,
    ("signal", "service"): _FAILS_VISIBLY,
    ("signal", "child"): _FAILS_VISIBLY,
    ("signal", "client"): _OWN,
    ("delay", "service"): _FAILS_VISIBLY,
    ("delay", "child"): _FAILS_VISIBLY,
    ("delay", "client"): _OWN,
    ("pause", "service"): _FAILS_VISIBLY,
    ("pause", "child"): _FAILS_VISIBLY,
    ("pause", "client"): _OWN,
    ("crash", "service"): Excuse(open_operations=True, ends=True),
    ("crash", "child"): _FAILS_VISIBLY,
    ("crash", "client"): _OWN,
    ("hold", "service"): Excuse(open_operations=True, ends=True, stuck=True),
    ("hold", "child"): _FAILS_VISIBLY,
    ("hold", "client"): _OWN,
}

#: What these do unless handled. Source: signal(7).
_IGNORED = frozenset({"CHLD", "CONT", "URG", "WINCH"})
_STOPS = frozenset({"STOP", "TSTP", "TTIN", "TTOU"})
#: Signals by which a program says that it has gone wrong itself, unless they were sent to it.
_OWN_FAULT = frozenset({"SEGV", "BUS", "ILL", "FPE", "ABRT", "SYS", "TRAP"})
_REMOVE = frozenset({"unlink", "unlinkat", "rmdir", "rename", "renameat", "renameat2"})


def kind_of(fault: Fault) -> Kind:
    """The row that *fault* stands in: a signal by what it does unless it is handled."""
    if isinstance(fault, SignalFault):
        if fault.signal in _STOPS:
            return "hold"
        return "signal" if fault.signal in _IGNORED else "crash"
    return "crash" if isinstance(fault, CrashAfterFault) else cast(Kind, fault.kind)


@dataclass(frozen=True, kw_only=True, slots=True)
class Excused:
    """All that is excused in one trial, by every fault that has fired.

    Of *operations* so many may fail visibly, None: any number. *clients* may fail in any way. The
    service may have *ended*, may have *refused* to start, and *stopped* otherwise than ever.
    *name_stays*: a call that removes a name has failed, so the name may be left, visibly. *late*: a
    fault was asked for after the others are off, so nobody needs to recover. *stuck*: the trial
    need not end. *signals* were sent, so to die of one says nothing. *said* is what went wrong, in
    words."""

    operations: int | None = 0
    clients: frozenset[str] = frozenset()
    ended: bool = False
    refused: bool = False
    stopped: bool = False
    name_stays: bool = False
    late: bool = False
    stuck: bool = False
    signals: frozenset[str] = frozenset()
    said: str = ""

    def is_own_fault(self, status: int) -> bool:
        """Whether a wait status says that a program went wrong by itself."""
        signal = status & 0x7F
        return bool(signal) and signal_name(signal) in _OWN_FAULT - self.signals


@dataclass(frozen=True, kw_only=True, slots=True)
class _Met:
    """One thing that went wrong: *times* of it, None: nobody counted; *phase* None: at any time."""

    kind: Kind
    roles: str
    calls: frozenset[str]
    phase: str | None
    times: int | None
    said: str


def excused(
    root: str,
    clients: Collection[str],
    schedule: Schedule,
    fired: Sequence[int],
    *,
    one_process: bool = False,
) -> Excused:
    """What is excused when the faults of *schedule* have *fired* so often each.

    *root* is the role of the service, *clients* those of its clients. In *one_process* what kills
    one kills them all. ValueError when *fired* does not count the faults of this schedule."""
    everything = [*_met(schedule, fired)]
    rows = [
        (met, TABLE[met.kind, place])
        for met in everything
        for place in _places(met.roles, root, clients)
    ]
    deaths = [met for met in everything if one_process and _kills_all(met)]
    rows += [(met, TABLE["crash", "service"]) for met in deaths]
    times = [met.times for met, row in rows if row.one_operation]
    is_any = None in times or any(row.open_operations for _, row in rows)
    return Excused(
        operations=None if is_any else sum(count or 0 for count in times),
        clients=frozenset(
            client
            for met, row in rows
            if row.own
            for client in clients
            if _may_mean(met.roles, client)
        )
        | frozenset(clients if deaths else ()),
        ended=any(row.ends for _, row in rows),
        refused=any(row.not_started and met.phase in (None, "start") for met, row in rows),
        stopped=any(row.not_stopped and met.phase in (None, *_AT_THE_END) for met, row in rows),
        name_stays=any(met.kind == "errno" and met.calls & _REMOVE for met in everything),
        late=any(met.phase == "recover" for met in everything),
        stuck=any(
            met.kind == "hold" and (met.phase == "recover" or (row.stuck and _is_at_end(met)))
            for met, row in rows
        ),
        signals=signals_sent(schedule, fired),
        said="; ".join(met.said for met in everything),
    )


_AT_THE_END = ("stop", "settle")


def _is_at_end(met: _Met) -> bool:
    return met.phase in _AT_THE_END


def _met(schedule: Schedule, fired: Sequence[int]) -> Iterator[_Met]:
    if len(fired) != len(schedule.faults):
        raise ValueError(
            f"the outcome counts {len(fired)} faults, its schedule has {len(schedule.faults)}"
        )
    for one, times in zip(schedule.faults, fired, strict=True):
        if times:
            yield _Met(
                kind=kind_of(one.fault),
                roles=one.at.role,
                calls=one.calls(),
                phase=one.at.phase,
                times=times,
                said=str(one),
            )
    for limit in schedule.limits:
        # A limit is met as the errno of some call, whenever; how often, nobody has counted.
        yield _Met(
            kind="errno",
            roles=limit.role,
            calls=frozenset(),
            phase=None,
            times=None,
            said=str(limit),
        )


def signals_sent(schedule: Schedule, fired: Sequence[int]) -> frozenset[str]:
    """The signals that faults sent: to die of one of them says nothing of the program."""
    hit = zip(schedule.faults, fired, strict=False)
    return frozenset(_signal(one.fault) for one, times in hit if times) - {""}


def _signal(fault: Fault) -> str:
    return fault.signal if isinstance(fault, CrashFault | SignalFault) else ""


# ---- Whose task it was at ------------------------------------------------------------------------


def _places(pattern: str, root: str, clients: Collection[str]) -> set[Place]:
    """Where the tasks are that *pattern* may mean. Threads are in the place of their process."""
    found = set[Place]()
    if any(_may_mean(pattern, client) for client in (*clients, FRESH)):
        found.add("client")
    for service in (root, RESTARTED):
        if "*" in pattern:
            if role_matches(pattern, service) or _may_be_below(pattern, f"{service}#"):
                found.add("service")
            if _may_be_below(pattern, f"{service}/"):
                found.add("child")
        elif is_within(pattern, service):
            below = pattern.removeprefix(service)
            found.add("child" if "/" in below else "service")
    # What is neither the service's nor a client's that anybody knows is a client's of that name.
    return found or {"client"}


def _kills_all(met: _Met) -> bool:
    """Whether it is a crash that may be of a thread, and not only of a child such as `service/0` or
    `client/0/0`."""
    slashes = 1 if met.roles.startswith("client/") else 0
    return met.kind == "crash" and ("*" in met.roles or met.roles.count("/") <= slashes)


def _may_mean(pattern: str, role: str) -> bool:
    """Whether *pattern* may mean *role*, or a task that descends from it."""
    if "*" not in pattern:
        return is_within(pattern, role)
    return role_matches(pattern, role) or any(_may_be_below(pattern, role + c) for c in "/#")


def _may_be_below(pattern: str, start: str) -> bool:
    """Whether a role that begins with *start* may match *pattern*, going by its beginning."""
    plain = pattern.partition("*")[0]
    if not (plain.startswith(start) or start.startswith(plain)):
        return False
    # One `*` stays within its level, so without `**` the depths must be able to agree.
    return "**" in pattern or _depth(pattern) >= _depth(start)


def _depth(text: str) -> int:
    return text.count("/") + text.count("#")


def is_within(role: str, root: str) -> bool:
    """Whether *role* is *root*, a thread of it, or descends from it."""
    return role == root or role.startswith((f"{root}/", f"{root}#"))
