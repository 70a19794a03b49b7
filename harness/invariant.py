"""Invariants: what must hold at every moment of a trial. Here it is only said, checked, read and
written; who looks is the supervisor (watching.py).

On the command line: `descriptors(ROLE) <= N`, `zombies(ROLE) <= N`, `waits(ROLE) <= TIME`."""

import re
from dataclasses import dataclass
from typing import Literal, Self, cast, get_args

from harness.duration import DURATION_MAX_NS, duration_text, parse_duration
from harness.errors import RecordingError, ScheduleError, UsageError, quoted
from harness.schedule import check_role
from harness.strict import Keys, check_int, check_match, check_text, check_word
from harness.trigger import ROLE_PATTERN

Kind = Literal["descriptors", "zombies", "waits"]

KINDS: tuple[Kind, ...] = get_args(Kind)
COUNT_MAX = 10**9
_EVENT_MAX = 10**9
_TEXT = re.compile(r"\s*(?P<kind>\w+)\s*\((?P<role>[^()]*)\)\s*<=\s*(?P<at_most>\S+)\s*")
_COUNT = re.compile("[0-9]{1,10}")
_FORM = "descriptors(ROLE) <= N, zombies(ROLE) <= N or waits(ROLE) <= TIME"


@dataclass(frozen=True, kw_only=True, slots=True)
class Invariant:
    """Of each process that the pattern *role* means, at most so many *descriptors* are open, or of
    its children so many are *zombies*; or no call of a task that it means *waits* longer than that,
    by the trial's time.

    *at_most* is a count, or nanoseconds."""

    kind: Kind
    role: str
    at_most: int

    def __post_init__(self) -> None:
        check_word("kind", self.kind, KINDS, UsageError)
        check_match("role", self.role, ROLE_PATTERN, "service, service/* or client/**", UsageError)
        if self.kind == "waits":
            check_int("at_most", self.at_most, 1, DURATION_MAX_NS, UsageError)
        else:
            check_int("at_most", self.at_most, 0, COUNT_MAX, UsageError)

    @property
    def bound(self) -> str:
        """The number, or the time, as the command line has it."""
        return duration_text(self.at_most) if self.kind == "waits" else str(self.at_most)

    def __str__(self) -> str:
        """The form that the command line takes."""
        return f"{self.kind}({self.role}) <= {self.bound}"

    def describe(self) -> str:
        return {
            "descriptors": f"{self.role} has at most {self.bound} descriptors open",
            "zombies": f"{self.role} has at most {self.bound} children that it has not waited for",
            "waits": f"no call of {self.role} waits longer than {self.bound}",
        }[self.kind]

    def to_json(self) -> dict[str, object]:
        at_most = self.bound if self.kind == "waits" else self.at_most
        return {"kind": self.kind, "role": self.role, "at_most": at_most}

    @classmethod
    def from_json(cls, obj: object, where: str = "invariant") -> Self:
        keys = Keys(obj, where, RecordingError, "kind role at_most")
        kind = cast(Kind, keys.take("kind", str))
        if kind == "waits":
            at_most = keys.make(parse_duration, keys.take("at_most", str))
        else:
            at_most = keys.take("at_most", int)
        return keys.make(cls, kind=kind, role=keys.take("role", str), at_most=at_most)


def parse_invariant(text: str) -> Invariant:
    """The invariant of *text*, as `descriptors(service) <= 8`. Raises `UsageError`."""
    form = _TEXT.fullmatch(text)
    if form is None:
        raise UsageError(f"invariant {quoted(text)} is not of the form {_FORM}")
    kind = form["kind"]
    try:
        check_word("kind", kind, KINDS, UsageError)
        if kind == "waits":
            at_most = parse_duration(form["at_most"])
        elif _COUNT.fullmatch(form["at_most"]):
            at_most = int(form["at_most"])
        else:
            raise UsageError(f"{quoted(form['at_most'])} is not a whole number")
        return Invariant(kind=cast(Kind, kind), role=form["role"], at_most=at_most)
    except (UsageError, ScheduleError) as wrong:
        raise UsageError(f"invariant {quoted(text)}: {wrong}") from None


@dataclass(frozen=True, kw_only=True, slots=True)
class Broken:
    """*invariant* did not hold for *role*. *event* is how many events the trace had when that was
    seen first, *found* what was seen, in words."""

    invariant: Invariant
    role: str
    event: int
    found: str

    def __post_init__(self) -> None:
        check_role("role", self.role, RecordingError)
        check_int("event", self.event, 0, _EVENT_MAX, RecordingError)
        check_text("found", self.found, RecordingError)

    def describe(self) -> str:
        return f"{self.role} breaks {self.invariant}: {self.found}, after event {self.event}"

    def to_json(self) -> dict[str, object]:
        return {
            "invariant": self.invariant.to_json(),
            "role": self.role,
            "event": self.event,
            "found": self.found,
        }

    @classmethod
    def from_json(cls, obj: object, where: str = "broken") -> Self:
        keys = Keys(obj, where, RecordingError, "invariant role event found")
        return keys.make(
            cls,
            invariant=keys.read("invariant", Invariant.from_json),
            role=keys.take("role", str),
            event=keys.take("event", int),
            found=keys.take("found", str),
        )
