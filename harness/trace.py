"""Traces: what the supervisor saw and did, in order, one line an event.

A line is `ROLE CALL#NTH ACTION ARG ...`, single spaces between and none inside; a mark, which is no
call (a phase, a note), has the role `-`. A line holds only what is equal in equal runs: never a
pid, an address, contents or a time."""

import json
import re
from dataclasses import dataclass
from typing import Self

from harness.calls import CALLS
from harness.errors import RecordingError, quoted
from harness.schedule import NTH_MAX, ROLE
from harness.strict import check_int, sha256_of, take

CONTINUED = "-"  # the action of a call that the kernel simply carried out
NO_ROLE = "-"
_ACTION = (
    r"-|hold|eof|reset|crash-after|fail:E[A-Z0-9]+|short:[1-9][0-9]*"
    r"|(?:delay|pause):[1-9][0-9]*(?:h|m|s|ms|us|ns)|(?:crash|signal):[A-Z0-9+-]+|refuse:[!-~]+"
)
_LINE = re.compile(
    rf"(?P<role>-|{ROLE}) (?P<call>[a-z_][a-z0-9_-]*)#(?P<nth>[1-9][0-9]{{0,8}})"
    rf" (?P<action>{_ACTION})(?P<args>(?: [!-~]+)*)"
)


def path_arg(path: str | bytes) -> str:
    """A path as an argument of an event: a JSON string with no space in it.

    Bytes that are no UTF-8 become one lone surrogate each, as os.fsdecode() has it."""
    text = path if isinstance(path, str) else path.decode("utf-8", "surrogateescape")
    return json.dumps(text).replace(" ", r"\u0020")


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One call and what was done about it: the *nth* of its name that *role* made."""

    role: str
    call: str
    nth: int
    action: str = CONTINUED
    args: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_int("nth", self.nth, 1, NTH_MAX, RecordingError)
        line = self.line()
        # A space inside a part would make it two: counting is all that a part needs besides.
        if not _LINE.fullmatch(line) or line.count(" ") != 2 + len(self.args):
            raise RecordingError(_not_an_event(line))

    @classmethod
    def mark(cls, name: str, nth: int, *args: str) -> Self:
        """An event that is no call: the start of a phase, a note."""
        return cls(role=NO_ROLE, call=name, nth=nth, args=args)

    @classmethod
    def parse(cls, line: str) -> Self:
        """The event of a line that line() gave."""
        form = _LINE.fullmatch(line)
        if form is None:
            raise RecordingError(_not_an_event(line))
        role, call, nth, action, args = form.groups()
        return cls(
            role=role, call=call, nth=int(nth), action=action, args=tuple(args.split(" ")[1:])
        )

    def line(self) -> str:
        """The event as a trace holds it; parse() is the inverse."""
        return " ".join((self.role, f"{self.call}#{self.nth}", self.action, *self.args))

    def describe(self) -> str:
        args = f"({', '.join(self.args)})" if self.args else ""
        action = "" if self.action == CONTINUED else f": {self.action.replace(':', ' ')}"
        role = "" if self.role == NO_ROLE else f"{self.role} "
        return f"{role}{self.call}#{self.nth}{args}{action}"

    @property
    def counts(self) -> bool:
        """Whether equal runs must have it: not a note, nor a call that the table leaves untrapped.

        Such a call is seen only where a fault names it, and how often it is made is chance."""
        if self.role == NO_ROLE:
            return self.call != "note"
        known = CALLS.get(self.call)
        return known is None or known.trapped


def _not_an_event(line: str) -> str:
    return f"event {quoted(line)} is not of the form ROLE CALL#NTH ACTION ARG ..."


@dataclass(frozen=True, kw_only=True, slots=True)
class Trace:
    """The events of one trial."""

    events: tuple[Event, ...] = ()

    def lines(self) -> tuple[str, ...]:
        """A line for each event, notes and all."""
        return tuple(event.line() for event in self.events)

    def counted(self) -> tuple[Event, ...]:
        """The events that are compared: those that equal runs must have."""
        return tuple(event for event in self.events if event.counts)

    @property
    def digest(self) -> str:
        """SHA-256 over the lines of the counted events; equal runs have equal digests."""
        return sha256_of("\n".join(event.line() for event in self.counted()).encode())

    def describe(self) -> str:
        roles = {event.role for event in self.events} - {NO_ROLE}
        events = f"{len(self.events)} event{'s' * (len(self.events) != 1)}"
        return f"{events} of {len(roles)} task{'s' * (len(roles) != 1)}, digest {self.digest[:12]}"

    def to_json(self) -> list[str]:
        return list(self.lines())

    @classmethod
    def from_json(cls, obj: object, where: str = "trace") -> Self:
        lines: list[object] = take(obj, list, where, RecordingError)
        return cls(events=tuple(_event(line, f"{where}[{i}]") for i, line in enumerate(lines)))


def _event(obj: object, where: str) -> Event:
    line = take(obj, str, where, RecordingError)
    try:
        return Event.parse(line)
    except RecordingError as wrong:
        raise RecordingError(f"{where}: {wrong}") from None


def first_difference(expected: Trace, actual: Trace) -> int | None:
    """Where two traces part: an index into counted() of both, or None when they are equal.

    Where one is the beginning of the other, it is the length of the shorter."""
    ours, theirs = expected.counted(), actual.counted()
    for i, (one, other) in enumerate(zip(ours, theirs, strict=False)):
        if one != other:
            return i
    return None if len(ours) == len(theirs) else min(len(ours), len(theirs))
