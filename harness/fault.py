"""Faults: what goes wrong on purpose, at one system call.

A fault is a kind and at most one argument. Most say what becomes of the call; some only when it
comes to that (`puts_off`), and these go together with any other. Where it fires is a trigger's
business (trigger.py), how it is done is the supervisor's; here it is only said, checked, read and
written."""

import re
from dataclasses import dataclass
from typing import ClassVar, Self

from harness.calls import Call, errno_number, signal_name, signal_number
from harness.duration import DURATION_MAX_NS, duration_text, parse_duration
from harness.errors import ScheduleError, quoted, unknown
from harness.strict import Keys, check_int, check_str, inside, peek, take
from harness.trigger import ROOT, TRIGGER_TEXT, Trigger, trigger_of

# The most that Linux moves in one call (MAX_RW_COUNT), so nothing longer would shorten any.
SHORT_MAX = 0x7FFFF000

# An answer to these is never seen: exit and exit_group do not come back, and rt_sigreturn comes
# back as whatever the interrupted code had in its registers.
_NEVER_ANSWERED = frozenset({"exit", "exit_group", "rt_sigreturn"})
# What these do unless handled is not to end the process. Source: signal(7).
_NOT_DEADLY = frozenset({"CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "WINCH"})
_LATER = frozenset({"corrupt", "drop", "duplicate"})

#: The calls that read from, and write to, what has another end. Not those with two descriptors
#: (splice, sendfile), whose end would be that of either, nor those with a place in a file.
RECEIVES = frozenset({"read", "readv", "recvfrom", "recvmsg", "recvmmsg"})
SENDS = frozenset({"write", "writev", "sendto", "sendmsg", "sendmmsg"})

_TEXT = re.compile(r"([A-Za-z][A-Za-z0-9_-]*)(?:\((.*)\))?", re.DOTALL)
_COUNT = re.compile("[1-9][0-9]{0,9}")
_UNTIL = re.compile(f"until={TRIGGER_TEXT}")
_FORMS = {
    "crash": "crash or crash(SEGV)",
    "crash-after": "crash-after",
    "delay": "delay(2s)",
    "eof": "eof",
    "hold": "hold or hold(until=ROLE:CALL#N)",
    "pause": "pause(2s)",
    "reset": "reset",
    "short": "short(1)",
    "signal": "signal(TERM)",
}


class _Kind:
    """What all kinds have in common, and all that a kind without an argument needs."""

    __slots__ = ()
    kind: ClassVar[str]

    @property
    def puts_off(self) -> bool:
        """Whether it only says when the call is made, and not what becomes of it."""
        return False

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
    """The call is never answered: the caller is stuck in it until it is killed; or until the
    trigger *until* is met, and then the call is made.

    A trigger with one number is met once, and a hold that comes later does not hold."""

    kind: ClassVar[str] = "hold"
    until: Trigger | None = None

    @property
    def puts_off(self) -> bool:
        return self.until is not None

    def __str__(self) -> str:
        return "hold" if self.until is None else f"hold(until={self.until})"

    def describe(self) -> str:
        return "is never answered" if self.until is None else f"waits until {self.until.describe()}"

    def to_json(self) -> dict[str, object]:
        until = {} if self.until is None else {"until": self.until.to_json()}
        return {"kind": self.kind, **until}

    @classmethod
    def from_json(cls, obj: object, where: str = "fault") -> Self:
        keys = cls._keys(obj, where, "until?")
        if not keys.has("until"):
            return keys.make(cls)
        return keys.make(cls, until=keys.read("until", Trigger.from_json))


@dataclass(frozen=True, kw_only=True, slots=True)
class _TimedFault(_Kind):
    """What lasts *time_ns* nanoseconds of the trial's time: virtual in controlled mode."""

    time_ns: int

    def __post_init__(self) -> None:
        check_int("time_ns", self.time_ns, 1, DURATION_MAX_NS, ScheduleError)

    @property
    def puts_off(self) -> bool:
        return True

    def __str__(self) -> str:
        return f"{self.kind}({duration_text(self.time_ns)})"

    def to_json(self) -> dict[str, object]:
        return {"kind": self.kind, "time_ns": self.time_ns}

    @classmethod
    def from_json(cls, obj: object, where: str = "fault") -> Self:
        keys = cls._keys(obj, where, "time_ns")
        return keys.make(cls, time_ns=keys.take("time_ns", int))


@dataclass(frozen=True, kw_only=True, slots=True)
class DelayFault(_TimedFault):
    """The call is made *time_ns* nanoseconds later. Until then a signal does what it does to a task
    that has not made its call yet."""

    kind: ClassVar[str] = "delay"

    def describe(self) -> str:
        return f"is made {duration_text(self.time_ns)} later"


@dataclass(frozen=True, kw_only=True, slots=True)
class PauseFault(_TimedFault):
    """The caller's process is stopped at the call, by SIGSTOP, and *time_ns* nanoseconds later
    continued, by SIGCONT; then it makes the call. Source: signal(7), waitpid(2)."""

    kind: ClassVar[str] = "pause"

    def describe(self) -> str:
        return f"waits: the process is stopped for {duration_text(self.time_ns)}"


class _Cut(_Kind):
    """The other end of what the call reads or writes is gone."""

    __slots__ = ()

    def check_call(self, call: Call) -> None:
        if call.name not in RECEIVES | SENDS:
            raise ScheduleError(
                f"{self} cannot be at {call.name}, which neither reads nor writes a stream"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class EofFault(_Cut):
    """The other end of the socket or pipe has ended: a read gives 0 bytes, a write EPIPE and
    SIGPIPE, and so do those after it. Source: shutdown(2), pipe(7)."""

    kind: ClassVar[str] = "eof"

    def describe(self) -> str:
        return "finds that the other end has ended"


@dataclass(frozen=True, kw_only=True, slots=True)
class ResetFault(_Cut):
    """The connection is reset: the call fails with ECONNRESET, and the other end finds it cut too.
    Source: tcp(7), unix(7)."""

    kind: ClassVar[str] = "reset"

    def describe(self) -> str:
        return "finds the connection reset"


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


Fault = (
    ErrnoFault
    | ShortFault
    | EofFault
    | ResetFault
    | HoldFault
    | DelayFault
    | PauseFault
    | CrashFault
    | CrashAfterFault
    | SignalFault
)

_KINDS: dict[str, type[Fault]] = {
    kind.kind: kind
    for kind in (
        *(ErrnoFault, ShortFault, EofFault, ResetFault, HoldFault, DelayFault, PauseFault),
        *(CrashFault, CrashAfterFault, SignalFault),
    )
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


def parse_fault(text: str, root: str = ROOT) -> Fault:
    """The fault that a word of the command line says: `ENOSPC`, `short(1)`, `crash(SEGV)`, ...

    *root* is the role that `until=CALL` means when it names none."""
    form = _TEXT.fullmatch(text)
    if form is None:
        raise ScheduleError(f"fault {quoted(text)} is not of the form ENOSPC, hold or short(1)")
    word, argument = form.groups()
    match word, argument:
        case "hold", None:
            return HoldFault()
        case "hold", str() if until := _UNTIL.fullmatch(argument):
            return HoldFault(until=trigger_of(until, root))
        case "crash-after", None:
            return CrashAfterFault()
        case "crash", None:
            return CrashFault()
        case "crash", str():
            return CrashFault(signal=argument)
        case "delay", str():
            return DelayFault(time_ns=parse_duration(argument))
        case "eof", None:
            return EofFault()
        case "pause", str():
            return PauseFault(time_ns=parse_duration(argument))
        case "reset", None:
            return ResetFault()
        case "signal", str():
            return SignalFault(signal=argument)
        case "short", str() if _COUNT.fullmatch(argument):
            return ShortFault(count=int(argument))
    if word in _LATER:
        raise ScheduleError(f"fault {quoted(text)} is not in this version")
    if word in _FORMS:
        raise ScheduleError(f"fault {quoted(text)} is not of the form {_FORMS[word]}")
    if argument is None and word[0] in "Ee":
        return ErrnoFault(errno=word)
    raise ScheduleError(unknown("fault", text, ["ENOSPC", *_FORMS]))


def parse_faults(text: str, root: str = ROOT) -> tuple[Fault, ...]:
    """The faults that go together at one call: `short(1)+delay(2s)`. All but one put it off."""
    faults = tuple(parse_fault(part, root) for part in _parts(text))
    deciding = [fault for fault in faults if not fault.puts_off]
    if len(deciding) > 1:
        raise ScheduleError(
            f"{deciding[0]} and {deciding[1]} cannot both be at one call:"
            " only delay, pause and hold(until=...) go with another fault"
        )
    return faults


def _parts(text: str) -> list[str]:
    """*text* cut at each `+` that is not within parentheses, as that of `signal(RTMIN+1)` is."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == "+" and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def _signal(name: str) -> str:
    """A signal's one name: without SIG."""
    check_str("signal", name, ScheduleError)
    return signal_name(signal_number(name))
