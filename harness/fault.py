"""Faults: what goes wrong on purpose, at one system call.

A fault is a kind and at most one argument. Where it fires is a trigger's business (schedule.py),
how it is done is the supervisor's; here it is only said, checked, read and written."""

import re
from dataclasses import dataclass
from typing import ClassVar, Self

from harness.calls import Call, errno_number, signal_name, signal_number
from harness.errors import ScheduleError, quoted, unknown
from harness.strict import Keys, check_int, check_str, inside, peek, take

# The most that Linux moves in one call (MAX_RW_COUNT), so nothing longer would shorten any.
SHORT_MAX = 0x7FFFF000

# An answer to these is never seen: exit and exit_group do not come back, and rt_sigreturn comes
# back as whatever the interrupted code had in its registers.
_NEVER_ANSWERED = frozenset({"exit", "exit_group", "rt_sigreturn"})
# What these do unless handled is not to end the process. Source: signal(7).
_NOT_DEADLY = frozenset({"CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "WINCH"})
_LATER = frozenset({"corrupt", "delay", "drop", "duplicate", "eof", "pause", "reset"})

_TEXT = re.compile(r"([A-Za-z][A-Za-z0-9_-]*)(?:\((.*)\))?", re.DOTALL)
_COUNT = re.compile("[1-9][0-9]{0,9}")
_FORMS = {
    "crash": "crash or crash(SEGV)",
    "crash-after": "crash-after",
    "hold": "hold",
    "short": "short(1)",
    "signal": "signal(TERM)",
}


class _Kind:
    """What all kinds have in common, and all that a kind without an argument needs."""

    __slots__ = ()
    kind: ClassVar[str]

    def __str__(self) -> str:
        """The form that the command line takes."""
        return self.kind

    def describe(self) -> str:
        """What becomes of the call, in words that follow its name."""
        raise NotImplementedError

    def check_call(self, call: Call) -> None:
        """ScheduleError when this fault cannot be at *call*."""

    def to_json(self) -> dict[str, object]:
        return {"kind": self.kind}

    @classmethod
    def from_json(cls, obj: object, where: str = "fault") -> Self:
        return cls._keys(obj, where).make(cls)

    @classmethod
    def _keys(cls, obj: object, where: str, argument: str = "") -> Keys:
        keys = Keys(obj, where, ScheduleError, f"kind {argument}")
        if (kind := keys.take("kind", str)) != cls.kind:
            raise ScheduleError(f"{inside(where, 'kind')}: {quoted(kind)} is not {cls.kind!r}")
        return keys

    def _must_answer(self, call: Call) -> None:
        if call.name in _NEVER_ANSWERED:
            raise ScheduleError(f"{self} cannot be at {call.name}, which is never answered")


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrnoFault(_Kind):
    """The call fails with *errno*; it is not carried out. Source: errno(3)."""

    kind: ClassVar[str] = "errno"
    errno: str

    def __post_init__(self) -> None:
        check_str("errno", self.errno, ScheduleError)
        errno_number(self.errno)

    def __str__(self) -> str:
        return self.errno

    def describe(self) -> str:
        return f"fails with {self.errno}"

    def check_call(self, call: Call) -> None:
        self._must_answer(call)

    def to_json(self) -> dict[str, object]:
        return {"kind": self.kind, "errno": self.errno}

    @classmethod
    def from_json(cls, obj: object, where: str = "fault") -> Self:
        keys = cls._keys(obj, where, "errno")
        return keys.make(cls, errno=keys.take("errno", str))


@dataclass(frozen=True, kw_only=True, slots=True)
class ShortFault(_Kind):
    """The call moves at most *count* bytes, and says so."""

    kind: ClassVar[str] = "short"
    count: int

    def __post_init__(self) -> None:
        check_int("count", self.count, 1, SHORT_MAX, ScheduleError)

    def __str__(self) -> str:
        return f"short({self.count})"

    def describe(self) -> str:
        return f"moves at most {self.count} byte{'s' * (self.count > 1)}"

    def check_call(self, call: Call) -> None:
        if call.short == "-":
            raise ScheduleError(f"{self} cannot be at {call.name}, which moves no data")

    def to_json(self) -> dict[str, object]:
        return {"kind": self.kind, "count": self.count}

    @classmethod
    def from_json(cls, obj: object, where: str = "fault") -> Self:
        keys = cls._keys(obj, where, "count")
        return keys.make(cls, count=keys.take("count", int))


@dataclass(frozen=True, kw_only=True, slots=True)
class HoldFault(_Kind):
    """The call is never answered: the caller is stuck in it until it is killed."""

    kind: ClassVar[str] = "hold"

    def describe(self) -> str:
        return "is never answered"


@dataclass(frozen=True, kw_only=True, slots=True)
class CrashFault(_Kind):
    """The caller is sent *signal* at the call's entry; the call is not carried out."""

    kind: ClassVar[str] = "crash"
    signal: str = "KILL"

    def __post_init__(self) -> None:
        name = _signal(self.signal)
        if name in _NOT_DEADLY:
            raise ScheduleError(f"SIG{name} kills nobody; to deliver it: signal({name})")
        object.__setattr__(self, "signal", name)

    def __str__(self) -> str:
        return "crash" if self.signal == "KILL" else f"crash({self.signal})"

    def describe(self) -> str:
        return f"is not carried out: SIG{self.signal} kills the caller"

    def to_json(self) -> dict[str, object]:
        return {"kind": self.kind, "signal": self.signal}

    @classmethod
    def from_json(cls, obj: object, where: str = "fault") -> Self:
        keys = cls._keys(obj, where, "signal?")
        return keys.make(cls, signal=keys.take("signal", str, "KILL"))


@dataclass(frozen=True, kw_only=True, slots=True)
class CrashAfterFault(_Kind):
    """The call is carried out, and the caller killed before it can make use of that."""

    kind: ClassVar[str] = "crash-after"

    def describe(self) -> str:
        return "is carried out, then SIGKILL kills the caller"

    def check_call(self, call: Call) -> None:
        self._must_answer(call)


@dataclass(frozen=True, kw_only=True, slots=True)
class SignalFault(_Kind):
    """The caller gets *signal* exactly at the call."""

    kind: ClassVar[str] = "signal"
    signal: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "signal", _signal(self.signal))

    def __str__(self) -> str:
        return f"signal({self.signal})"

    def describe(self) -> str:
        return f"is met by SIG{self.signal}"

    def to_json(self) -> dict[str, object]:
        return {"kind": self.kind, "signal": self.signal}

    @classmethod
    def from_json(cls, obj: object, where: str = "fault") -> Self:
        keys = cls._keys(obj, where, "signal")
        return keys.make(cls, signal=keys.take("signal", str))


Fault = ErrnoFault | ShortFault | HoldFault | CrashFault | CrashAfterFault | SignalFault

_KINDS: dict[str, type[Fault]] = {
    kind.kind: kind
    for kind in (ErrnoFault, ShortFault, HoldFault, CrashFault, CrashAfterFault, SignalFault)
}


def fault_from_json(obj: object, where: str = "fault") -> Fault:
    """The fault that a JSON object says, by its `kind`."""
    place = inside(where, "kind")
    kind = take(peek(obj, "kind", where, ScheduleError), str, place, ScheduleError)
    if kind in _LATER:
        raise ScheduleError(f"{place}: {kind!r} is not in this version")
    if kind not in _KINDS:
        raise ScheduleError(f"{place}: {unknown('fault', kind, _KINDS)}")
    return _KINDS[kind].from_json(obj, where)


def parse_fault(text: str) -> Fault:
    """The fault that a word of the command line says: `ENOSPC`, `short(1)`, `crash(SEGV)`, ..."""
    form = _TEXT.fullmatch(text)
    if form is None:
        raise ScheduleError(f"fault {quoted(text)} is not of the form ENOSPC, hold or short(1)")
    word, argument = form.groups()
    match word, argument:
        case "hold", None:
            return HoldFault()
        case "crash-after", None:
            return CrashAfterFault()
        case "crash", None:
            return CrashFault()
        case "crash", str():
            return CrashFault(signal=argument)
        case "signal", str():
            return SignalFault(signal=argument)
        case "short", str() if _COUNT.fullmatch(argument):
            return ShortFault(count=int(argument))
    if word in _LATER or (word == "hold" and argument.startswith("until=")):
        raise ScheduleError(f"fault {quoted(text)} is not in this version")
    if word in _FORMS:
        raise ScheduleError(f"fault {quoted(text)} is not of the form {_FORMS[word]}")
    if argument is None and word[0] in "Ee":
        return ErrnoFault(errno=word)
    raise ScheduleError(unknown("fault", text, ["ENOSPC", *_FORMS]))


def _signal(name: str) -> str:
    """A signal's one name: without SIG."""
    check_str("signal", name, ScheduleError)
    return signal_name(signal_number(name))
