"""Triggers: where something happens, as role, call and occurrence.

One type for faults, for what ends a hold, and for switches. Counted within a role, so that an
address stays when other tasks come and go."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

from harness.calls import matching
from harness.errors import ScheduleError, UsageError, quoted
from harness.strict import Keys, check_int, check_match, check_word, type_name

PHASES = ("start", "work", "recover", "stop", "settle")
ROOT = "main"  # the role of the first task of a bare command
NTH_MAX = 999_999_999


def _levels(first: str, rest: str) -> str:
    return rf"[{first}][{rest}]*(?:[/#][{first}][{rest}]*)*"


# No level starts with "-": alone it stands for "no role" in a trace, and elsewhere for an option.
ROLE = _levels("A-Za-z0-9_.", "A-Za-z0-9_.-")
EXACT_ROLE = re.compile(ROLE)
ROLE_PATTERN = re.compile(_levels("A-Za-z0-9_.*", "A-Za-z0-9_.*-"))
_CALL = re.compile(r"[a-z0-9_*?!\[\]-]+")
_NTH = re.compile(r"(?P<first>[1-9][0-9]{0,8})(?P<on>\+)?|\*")
#: `[ROLE:]CALL[#N][@PHASE]`, as the command line has it
TRIGGER_TEXT = (
    "(?:(?P<role>[^:=]*):)?(?P<call>[^:#@=]+)(?:#(?P<nth>[^:#@=]*))?(?:@(?P<phase>[^:#@=]*))?"
)


# ---- Roles -------------------------------------------------------------------------------------


def check_role(name: str, role: object, error: type[UsageError]) -> None:
    """*role* names one task: parts of letters, digits and `_ . -`, separated by `/` and `#`."""
    check_match(name, role, EXACT_ROLE, "main, service/0 or service#1", error)


def process_of(role: str) -> str:
    """The role of the first thread of the process that *role* is a thread of."""
    first, _, thread = role.rpartition("#")
    return first if first and "/" not in thread else role


@lru_cache(maxsize=4096)
def role_matches(pattern: str, role: str) -> bool:
    """Whether *pattern* means *role*: `*` is any text within one level, `**` crosses levels."""
    # The set of places reached, not a regular expression: no pattern can make this slow.
    reached = {0}
    for part in re.split(r"(\*+)", pattern):
        if part == "*":
            for place in sorted(reached):
                level = re.compile("[^/#]*").match(role, place)
                assert level
                reached.update(range(place, level.end() + 1))
        elif part.startswith("**"):
            reached = set(range(min(reached, default=len(role) + 1), len(role) + 1))
        else:
            reached = {at + len(part) for at in reached if role.startswith(part, at)}
    return len(role) in reached


# ---- Where something happens -------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Trigger:
    """Where a fault or a switch fires: the *first* to *last* matching call of each matching role.

    Each role counts for itself. *last* is *first*, or None: every one from the first on."""

    role: str
    call: str
    first: int = 1
    last: int | None = 1
    phase: str = "work"

    def __post_init__(self) -> None:
        example = "main, service/* or client/**"
        check_match("role", self.role, ROLE_PATTERN, example, ScheduleError)
        check_match("call", self.call, _CALL, "write, recv* or io", ScheduleError)
        matching(self.call)
        check_int("first", self.first, 1, NTH_MAX, ScheduleError)
        if self.last is not None:
            check_int("last", self.last, 1, NTH_MAX, ScheduleError)
            if self.last != self.first:
                raise ScheduleError(f"last must be {self.first}, as first is, or None: no last")
        check_word("phase", self.phase, PHASES, ScheduleError)

    @property
    def nth(self) -> str:
        """Which of the calls, as the command line says it: `2`, `*` or `3+`."""
        if self.last is not None:
            return str(self.first)
        return "*" if self.first == 1 else f"{self.first}+"

    def __str__(self) -> str:
        """The form that the command line takes, always with its role."""
        nth = "" if self.nth == "1" else f"#{self.nth}"
        phase = "" if self.phase == "work" else f"@{self.phase}"
        return f"{self.role}:{self.call}{nth}{phase}"

    def describe(self) -> str:
        if self.last is not None:
            which = f"{self.call}#{self.first}"
        else:
            which = f"every {self.call}" + f" from #{self.first} on" * (self.first > 1)
        phase = "" if self.phase == "work" else f" in phase {self.phase}"
        return f"{self.role}: {which}{phase}"

    def to_json(self) -> dict[str, object]:
        nth = self.nth if self.last is None else self.first
        phase = {} if self.phase == "work" else {"phase": self.phase}
        return {"role": self.role, "call": self.call, "nth": nth, **phase}

    @classmethod
    def from_json(cls, obj: object, where: str = "trigger") -> Self:
        keys = Keys(obj, where, ScheduleError, "role call nth? phase?")
        first, last = keys.read("nth", _nth_from_json, _THE_FIRST)
        return keys.make(
            cls,
            role=keys.take("role", str),
            call=keys.take("call", str),
            first=first,
            last=last,
            phase=keys.take("phase", str, "work"),
        )


_THE_FIRST: tuple[int, int | None] = (1, 1)


def _nth_from_json(obj: object, where: str) -> tuple[int, int | None]:
    if type(obj) is int:
        return obj, obj
    if type(obj) is str and not obj.isdecimal():
        return _parse_nth(obj, where)
    raise ScheduleError(f'{where}: expected a whole number, "*" or "3+", not {type_name(obj)}')


def _parse_nth(text: str, where: str) -> tuple[int, int | None]:
    form = _NTH.fullmatch(text)
    if form is None:
        raise ScheduleError(f"{where}: {quoted(text)} is not of the form 2, * or 3+")
    first = int(form["first"] or 1)
    return first, first if form["first"] and not form["on"] else None


def trigger_of(form: re.Match[str], root: str) -> Trigger:
    """The trigger that a match of TRIGGER_TEXT says: the first call of the task *root* unless it
    says others. Where *root* is empty there is no such task."""
    if form["role"] is None and not root:
        raise ScheduleError(f"{form[0]} needs a role, as in until=client/0:{form['call']}")
    first, last = _THE_FIRST if form["nth"] is None else _parse_nth(form["nth"], "#N")
    return Trigger(
        role=root if form["role"] is None else form["role"],
        call=form["call"],
        first=first,
        last=last,
        phase="work" if form["phase"] is None else form["phase"],
    )
