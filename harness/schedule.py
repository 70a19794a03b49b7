"""Schedules: everything about a trial that is decided rather than computed.

A schedule lists deviations only: an empty one is a complete, ordinary run, and whatever entry is
taken out of one, the rest is a valid schedule, so schedules shrink. Nothing here decides anything
while a trial runs."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, Self, cast

from harness.calls import CALLS, matching
from harness.errors import ScheduleError, quoted
from harness.fault import Fault, fault_from_json, parse_fault, parse_faults
from harness.strict import (
    Keys,
    check_int,
    check_match,
    check_word,
    dumps,
    expect_format,
    loads,
)
from harness.trigger import (
    EXACT_ROLE,
    ROLE_PATTERN,
    TRIGGER_TEXT,
    trigger_of,
)
from harness.trigger import NTH_MAX as NTH_MAX
from harness.trigger import PHASES as PHASES
from harness.trigger import ROLE as ROLE
from harness.trigger import ROOT as ROOT
from harness.trigger import Trigger as Trigger
from harness.trigger import check_role as check_role
from harness.trigger import role_matches as role_matches

FORMAT = 1
MODES = ("controlled", "free")
RESOURCES = ("NOFILE", "NPROC", "AS", "FSIZE", "STACK")
CLOCK_START = "2026-01-01T00:00:00Z"
# The roles of phase recover: one more client, and the service again if it has died.
FRESH, RESTARTED = "client/fresh", "restarted"

Mode = Literal["controlled", "free"]
Entries = Literal["faults", "switches", "limits"]


_CLOCK = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_FAULT_AT = re.compile(f"{TRIGGER_TEXT}=(?P<fault>.*)", re.DOTALL)
_LIMIT = re.compile("(?:(?P<role>[^:=]*):)?(?P<resource>[^:=]*)=(?P<value>[0-9]{1,19})")


# ---- The entries of a schedule -----------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class FaultAt:
    """A fault and where it fires."""

    at: Trigger
    fault: Fault

    def __post_init__(self) -> None:
        self.calls()

    def calls(self) -> frozenset[str]:
        """The calls that are meant: those that the trigger matches and the fault can be at."""
        return _calls_meant(self.at.call, self.fault)

    def __str__(self) -> str:
        """The form that the command line takes: `ROLE:CALL[#N][@PHASE]=FAULT`."""
        return f"{self.at}={self.fault}"

    def describe(self) -> str:
        return f"{self.at.describe()} {self.fault.describe()}"

    def to_json(self) -> dict[str, object]:
        return {"at": self.at.to_json(), "fault": self.fault.to_json()}

    @classmethod
    def from_json(cls, obj: object, where: str = "fault") -> Self:
        keys = Keys(obj, where, ScheduleError, "at fault")
        return keys.make(
            cls, at=keys.read("at", Trigger.from_json), fault=keys.read("fault", fault_from_json)
        )


@lru_cache(maxsize=4096)
def _calls_meant(pattern: str, fault: Fault) -> frozenset[str]:
    meant, refusals = set(), []
    for name in matching(pattern):
        try:
            fault.check_call(CALLS[name])
            meant.add(name)
        except ScheduleError as refusal:
            refusals.append(refusal)
    if meant:
        return frozenset(meant)
    if len(refusals) == 1:
        raise refusals[0]
    raise ScheduleError(f"{fault} cannot be at any of the calls that {quoted(pattern)} means")


@dataclass(frozen=True, kw_only=True, slots=True)
class Switch:
    """At one event, the task *run* goes next, not the one that the default policy would choose."""

    at: Trigger
    run: str

    def __post_init__(self) -> None:
        check_match(
            "at.role", self.at.role, EXACT_ROLE, "main: a switch is at one event", ScheduleError
        )
        if self.at.last is None:
            raise ScheduleError(f"at.nth must be a number, not {self.at.nth!r}: a switch is one")
        if self.at.call != "*" and self.at.call not in CALLS:
            raise ScheduleError(f"at.call must be '*' or one call's name, not {self.at.call!r}")
        check_role("run", self.run, ScheduleError)

    def describe(self) -> str:
        return f"at {self.at} {self.run} goes next"

    def to_json(self) -> dict[str, object]:
        return {"at": self.at.to_json(), "run": self.run}

    @classmethod
    def from_json(cls, obj: object, where: str = "switch") -> Self:
        keys = Keys(obj, where, ScheduleError, "at run")
        return keys.make(cls, at=keys.read("at", Trigger.from_json), run=keys.take("run", str))


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """A resource limit (soft and hard) that each matching task starts with. Source: setrlimit(2).

    *value* is in the resource's own unit: bytes, or a count for NOFILE and NPROC."""

    role: str
    resource: str
    value: int

    def __post_init__(self) -> None:
        check_match("role", self.role, ROLE_PATTERN, "main or service/*", ScheduleError)
        check_word("resource", self.resource, RESOURCES, ScheduleError)
        check_int("value", self.value, 0, 2**63 - 1, ScheduleError)

    def __str__(self) -> str:
        """The form that the command line takes: `ROLE:RESOURCE=VALUE`."""
        return f"{self.role}:{self.resource}={self.value}"

    def describe(self) -> str:
        return f"{self.role}: RLIMIT_{self.resource} is {self.value}"

    def to_json(self) -> dict[str, object]:
        return {"role": self.role, "resource": self.resource, "value": self.value}

    @classmethod
    def from_json(cls, obj: object, where: str = "limit") -> Self:
        keys = Keys(obj, where, ScheduleError, "role resource value")
        return keys.make(
            cls,
            role=keys.take("role", str),
            resource=keys.take("resource", str),
            value=keys.take("value", int),
        )


# ---- The whole ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """What is generated, shrunk and saved. Where faults meet at one event, those that only put
    it off (delay, pause, hold until) come first, all of them; of the others the first holds.

    *seed* is what the random policy draws from, and what is random in controlled mode.
    *clock_start* is what the clock shows when the trial begins, in controlled mode."""

    mode: Mode = "controlled"
    seed: int = 0
    clock_start: str = CLOCK_START
    faults: tuple[FaultAt, ...] = ()
    switches: tuple[Switch, ...] = ()
    limits: tuple[Limit, ...] = ()

    def __post_init__(self) -> None:
        check_word("mode", self.mode, MODES, ScheduleError)
        check_int("seed", self.seed, 0, 2**64 - 1, ScheduleError)
        check_match("clock_start", self.clock_start, _CLOCK, CLOCK_START, ScheduleError)
        _check_time(self.clock_start)
        if self.mode == "free" and self.switches:
            raise ScheduleError("mode free has no switches: nothing is held there to be switched")

    def without(self, entries: Entries, index: int) -> Self:
        """The schedule with one entry fewer, which is always a valid one."""
        left = list(getattr(self, entries))
        del left[index]
        changed: dict[str, Any] = {entries: tuple(left)}
        return replace(self, **changed)

    def describe(self) -> str:
        count = len(self.switches)
        said = [fault.describe() for fault in self.faults]
        said += [limit.describe() for limit in self.limits]
        said += [f"{count} switch{'es' * (count > 1)}"] if count else []
        start = f"{self.mode}, seed {self.seed}"
        return f"{start}: {'; '.join(said) or 'nothing goes wrong'}"

    def to_json(self) -> dict[str, object]:
        return {
            "format": FORMAT,
            "mode": self.mode,
            "seed": self.seed,
            "clock_start": self.clock_start,
            "faults": [entry.to_json() for entry in self.faults],
            "switches": [entry.to_json() for entry in self.switches],
            "limits": [entry.to_json() for entry in self.limits],
        }

    @classmethod
    def from_json(cls, obj: object, where: str = "schedule") -> Self:
        expect_format(obj, FORMAT, where, ScheduleError)
        names = "format mode? seed? clock_start? faults? switches? limits?"
        keys = Keys(obj, where, ScheduleError, names)
        return keys.make(
            cls,
            mode=cast(Mode, keys.take("mode", str, "controlled")),
            seed=keys.take("seed", int, 0),
            clock_start=keys.take("clock_start", str, CLOCK_START),
            faults=keys.read_all("faults", FaultAt.from_json),
            switches=keys.read_all("switches", Switch.from_json),
            limits=keys.read_all("limits", Limit.from_json),
        )

    def dumps(self) -> str:
        """The text of a schedule file."""
        return dumps(self.to_json())

    @classmethod
    def loads(cls, text: str | bytes, where: str = "schedule") -> Self:
        """The schedule in the text of a file named *where*."""
        return cls.from_json(loads(text, where, ScheduleError), where)


def _check_time(text: str) -> None:
    if text == CLOCK_START:
        return
    # Imported here: hardly any schedule has another start, and then need not pay for the import.
    from datetime import datetime

    try:
        year = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").year
    except ValueError:
        raise ScheduleError(f"clock_start {text!r} is not a time that there is") from None
    # The kernel counts nanoseconds since 1970 in 63 bits.
    if not 1970 <= year <= 2261:
        raise ScheduleError(f"clock_start {text!r} is not in the years 1970 to 2261")


# ---- The command line's forms ------------------------------------------------------------------


def parse_fault_at(text: str, root: str = ROOT) -> FaultAt:
    """`[ROLE:]CALL[#N][@PHASE]=FAULT`: the first call of the task *root* unless it says others."""
    (one,) = _parse(text, root, lambda fault: (parse_fault(fault, root),))
    return one


def parse_faults_at(text: str, root: str = ROOT) -> tuple[FaultAt, ...]:
    """The same, and FAULT may be several: `short(1)+delay(2s)`. Each is an entry of its own."""
    return _parse(text, root, lambda faults: parse_faults(faults, root))


def _parse(text: str, root: str, read: Callable[[str], Sequence[Fault]]) -> tuple[FaultAt, ...]:
    form = _FAULT_AT.fullmatch(text)
    if form is None:
        raise ScheduleError(
            f"fault {quoted(text)} is not of the form [ROLE:]CALL[#N][@PHASE]=FAULT,"
            " as in write#2=ENOSPC or service/*:read#*=short(1)"
        )
    try:
        at = trigger_of(form, root)
        return tuple(FaultAt(at=at, fault=fault) for fault in read(form["fault"]))
    except ScheduleError as wrong:
        raise ScheduleError(f"fault {quoted(text)}: {wrong}") from None


def parse_limit(text: str, root: str = ROOT) -> Limit:
    """`[ROLE:]RESOURCE=VALUE`: of the task *root* unless it says others."""
    form = _LIMIT.fullmatch(text)
    if form is None:
        raise ScheduleError(
            f"limit {quoted(text)} is not of the form [ROLE:]RESOURCE=VALUE, as in NOFILE=16"
        )
    role = root if form["role"] is None else form["role"]
    try:
        return Limit(role=role, resource=form["resource"], value=int(form["value"]))
    except ScheduleError as wrong:
        raise ScheduleError(f"limit {quoted(text)}: {wrong}") from None
