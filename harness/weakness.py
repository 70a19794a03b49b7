"""Weaknesses: what a controlled trial could not hold still, by whose doing, and since when. They
are said beside what a trial gave; nothing is judged by them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from harness.errors import RecordingError
from harness.schedule import check_role
from harness.strict import Keys, check_int, check_match

_EVENTS_MAX = 10**9
_ONE_LINE = re.compile(r"[^\n]+")
SHOWN_MAX = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Weakness:
    """*role* did what no two runs need do alike, as *reason* says.

    *role* is empty where the whole trial is meant. *event* is how many events its trace had when
    that was seen first: it comes after that one."""

    role: str
    reason: str
    event: int

    def __post_init__(self) -> None:
        if self.role != "":
            check_role("role", self.role, RecordingError)
        check_match("reason", self.reason, _ONE_LINE, "one line: 'reads a clock'", RecordingError)
        check_int("event", self.event, 0, _EVENTS_MAX, RecordingError)

    def describe(self) -> str:
        return f"{self.role or 'the trial'} {self.reason}"

    def to_json(self) -> dict[str, object]:
        return {"role": self.role, "reason": self.reason, "event": self.event}

    @classmethod
    def from_json(cls, obj: object, where: str = "weakness") -> Self:
        keys = Keys(obj, where, RecordingError, "role reason event")
        return keys.make(
            cls,
            role=keys.take("role", str),
            reason=keys.take("reason", str),
            event=keys.take("event", int),
        )


def in_few(weakened: Sequence[Weakness]) -> str:
    """The first few on one line; empty when there are none."""
    said = [one.describe() for one in weakened[:SHOWN_MAX]]
    if len(weakened) > SHOWN_MAX:
        said.append(f"{len(weakened) - SHOWN_MAX} more")
    return f"weakened: {', '.join(said)}" if said else ""
