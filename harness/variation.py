"""What may differ from run to run although nothing went wrong: the values in which a golden run
keeps it, and whether something fits them. Pure.

Nothing here learns (learning.py), and nothing judges."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

from harness.errors import RecordingError, UsageError, printable, quoted
from harness.strict import Keys, check_int, check_sha256, check_word, inside, take

#: What may stand in a hole of a line: a name for recordings, and the expression that it must match.
HOLES = {
    "digits": r"[0-9]+",
    "hex": r"(?:0x)?[0-9A-Fa-f]+",
    "number": r"[0-9.,:+-]+(?:[eE][+-]?[0-9]+)?",
    "word": r"[A-Za-z0-9_]+",
    "base64": r"[A-Za-z0-9_+/=-]+",
    "space": r"\s+",
    "text": r"\S*",
    "any": r".*",
}
#: Stands for what a declared pattern matched. No text has it: what has a NUL is no text.
MARK = "\0"
STDOUT, STDERR = "stdout", "stderr"
_PLACES_MAX = 4
_SIZE_MAX = 2**63 - 1


# ---- Lines ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A line, or a name: literal text, then the name of a hole, then literal text, and so on.

    *optional*: it need not be there."""

    parts: tuple[str, ...]
    optional: bool = False

    def __post_init__(self) -> None:
        if len(self.parts) % 2 == 0:
            raise RecordingError("a line must begin and end with text, with holes between texts")
        for hole in self.parts[1::2]:
            check_word("hole", hole, HOLES, RecordingError)

    @property
    def varies(self) -> bool:
        """Whether it is not always there, and always the same."""
        return self.optional or len(self.parts) > 1

    def fits(self, text: str) -> bool:
        """Whether *text* is such a line."""
        if len(self.parts) == 1:
            return text == self.parts[0]
        return _expression(self.parts).fullmatch(text) is not None

    def describe(self) -> str:
        shown = (part if at % 2 == 0 else "*" for at, part in enumerate(self.parts))
        return printable("".join(shown).replace(MARK, "*"))

    def to_json(self) -> object:
        if self.optional:
            return {"optional": list(self.parts)}
        return list(self.parts) if self.varies else self.parts[0]

    @classmethod
    def from_json(cls, obj: object, where: str = "line") -> Self:
        if isinstance(obj, str):
            return cls(parts=(obj,))
        optional = isinstance(obj, dict)
        if optional:
            obj = Keys(obj, where, RecordingError, "optional").take("optional", list)
        parts = take(obj, list, where, RecordingError)
        texts = tuple(take(part, str, where, RecordingError) for part in parts)
        try:
            return cls(parts=texts, optional=optional)
        except UsageError as wrong:
            raise RecordingError(f"{where}: {wrong}") from None


@lru_cache(maxsize=4096)
def _expression(parts: tuple[str, ...]) -> re.Pattern[str]:
    made = (re.escape(part) if at % 2 == 0 else HOLES[part] for at, part in enumerate(parts))
    return re.compile("".join(made), re.DOTALL)


def lines_fit(lines: Sequence[Line], texts: Sequence[str]) -> bool:
    """Whether *texts* are *lines*, each in its turn, but for optional ones that are missing."""
    at = _with_optional(lines, {0})
    for text in texts:
        at = _with_optional(
            lines, {here + 1 for here in at if here < len(lines) and lines[here].fits(text)}
        )
        if not at:
            return False
    return len(lines) in at


def _with_optional(lines: Sequence[Line], at: set[int]) -> set[int]:
    """The places in *lines* that are reached from *at* without another text."""
    found = set(at)
    for here in at:
        while here < len(lines) and lines[here].optional:
            here += 1
            found.add(here)
    return found


# ---- Contents ------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Lines:
    """Text: these lines."""

    lines: tuple[Line, ...]

    def places(self, name: str) -> list[str]:
        """Where in *name* something may differ, in words."""
        return [f"{name} line {number}" for number, line in enumerate(self.lines, 1) if line.varies]

    def to_json(self) -> dict[str, object]:
        return {"lines": [line.to_json() for line in self.lines]}


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranges:
    """Bytes that are no text: *size* of them, of which *ranges* (from, until) may be any, and the
    others, one after the other, have the digest *sha256*."""

    size: int
    ranges: tuple[tuple[int, int], ...]
    sha256: str

    def __post_init__(self) -> None:
        check_int("size", self.size, 0, _SIZE_MAX, RecordingError)
        last = 0
        for start, end in self.ranges:
            check_int("ranges", start, last, self.size, RecordingError)
            check_int("ranges", end, start, self.size, RecordingError)
            last = end
        check_sha256("sha256", self.sha256, RecordingError)

    def places(self, name: str) -> list[str]:
        """Where in *name* something may differ, in words."""
        return [f"{name} bytes {start} to {end - 1}" for start, end in self.ranges]

    def to_json(self) -> dict[str, object]:
        ranges = [list(each) for each in self.ranges]
        return {"size": self.size, "ranges": ranges, "sha256": self.sha256}


@dataclass(frozen=True, kw_only=True, slots=True)
class Anything:
    """Whatever it is."""

    def places(self, name: str) -> list[str]:
        """Where in *name* something may differ, in words."""
        return [f"all of {name}"]

    def to_json(self) -> dict[str, object]:
        return {"anything": True}


Content = Lines | Ranges | Anything


def content_from_json(obj: object, where: str = "content") -> Content:
    """What `to_json` of any of them gave."""
    if isinstance(obj, dict) and "lines" in obj:
        keys = Keys(obj, where, RecordingError, "lines")
        return keys.make(Lines, lines=keys.read_all("lines", Line.from_json))
    if isinstance(obj, dict) and "ranges" in obj:
        keys = Keys(obj, where, RecordingError, "size ranges sha256")
        return keys.make(
            Ranges,
            size=keys.take("size", int),
            ranges=keys.read_all("ranges", _range_from_json),
            sha256=keys.take("sha256", str),
        )
    if not Keys(obj, where, RecordingError, "anything").take("anything", bool):
        raise RecordingError(f"{inside(where, 'anything')}: can only be true")
    return Anything()


def _range_from_json(obj: object, where: str) -> tuple[int, int]:
    both = take(obj, list, where, RecordingError)
    if len(both) != 2:
        raise RecordingError(f"{where}: expected two numbers")
    start, end = (take(one, int, where, RecordingError) for one in both)
    return start, end


# ---- What is declared ----------------------------------------------------------------------------


@lru_cache(maxsize=64)
def patterns(declared: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    """The user's *declared* patterns, compiled. Raises `UsageError` that names the wrong one."""
    found = []
    for text in declared:
        try:
            pattern = re.compile(text)
        except (re.error, OverflowError, RecursionError) as error:
            raise UsageError(
                f"may-differ {quoted(text)} is no regular expression: {error}"
            ) from None
        if pattern.fullmatch(""):
            raise UsageError(
                f"may-differ {quoted(text)} matches nothing at all, and so everywhere: "
                "say what must be there, as [0-9]+"
            )
        found.append(pattern)
    return tuple(found)


def masked(text: str, declared: tuple[str, ...]) -> str:
    """*text* with MARK for whatever is declared."""
    for pattern in patterns(declared):
        text = pattern.sub(MARK, text)
    return text


def is_all_masked(text: str) -> bool:
    """Whether nothing is left of a line or a name: then it need not even be there."""
    return bool(text) and not text.strip(MARK)


def lines_of(data: bytes, declared: tuple[str, ...]) -> list[str] | None:
    """The lines of *data* as they are compared; None when it is no text."""
    if MARK.encode() in data:
        return None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return [*_compared(text, declared)]


def _compared(text: str, declared: tuple[str, ...]) -> Iterator[str]:
    for line in text.split("\n"):
        seen = masked(line, declared)
        if not is_all_masked(seen):
            yield seen


# ---- All of it -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Renamed:
    """What the golden run calls *name*, another may call by any name that fits *line*. *role*: it
    is an operation of that client; empty for a file."""

    name: str
    line: Line
    role: str = ""

    def to_json(self) -> dict[str, object]:
        return {"name": self.name, "line": self.line.to_json(), "role": self.role}

    @classmethod
    def from_json(cls, obj: object, where: str = "renamed") -> Self:
        keys = Keys(obj, where, RecordingError, "name line role")
        return keys.make(
            cls,
            name=keys.take("name", str),
            line=keys.read("line", Line.from_json),
            role=keys.take("role", str),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Variation:
    """What may differ from a golden run.

    *declared* are the user's own patterns: what matches them is not compared. *contents* are those
    of `stdout`, `stderr` and files, by their names in the golden run; *renamed* the files and
    operations whose names may be others. *extra* are names that some runs have and the golden run
    has not; *missing* those of its own names that some have not, or have otherwise."""

    declared: tuple[str, ...] = ()
    contents: tuple[tuple[str, Content], ...] = ()
    renamed: tuple[Renamed, ...] = ()
    extra: tuple[Line, ...] = ()
    missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        patterns(self.declared)

    def __bool__(self) -> bool:
        return bool(self.declared or self.contents or self.renamed or self.extra or self.missing)

    @property
    def needs_contents(self) -> bool:
        """Whether the digests of what a trial wrote do not suffice."""
        return any(not isinstance(content, Anything) for _, content in self.contents)

    def places(self) -> list[str]:
        """Where something may differ, in words, but for what is declared."""
        found = [place for name, one in self.contents for place in one.places(printable(name))]
        found += [
            f"{one.role} {one.line.describe()}" if one.role else f"the name {one.line.describe()}"
            for one in self.renamed
            if one.line.varies
        ]
        found += [f"whether {line.describe()} is there" for line in self.extra]
        return found + [f"whether {printable(name)} is there" for name in self.missing]

    def describe(self) -> str:
        """`2 places: stdout line 3, the name /tmp/tmp.*`; empty when nothing may differ."""
        places, said = self.places(), []
        if places:
            shown = ", ".join(places[:_PLACES_MAX])
            more = len(places) - _PLACES_MAX
            rest = f" and {more} more" if more > 0 else ""
            said.append(f"{len(places)} place{'s' * (len(places) != 1)}: {shown}{rest}")
        if self.declared:
            said.append(f"declared: {', '.join(map(quoted, self.declared))}")
        return "; ".join(said)

    def to_json(self) -> dict[str, object]:
        return {
            "declared": list(self.declared),
            "contents": {name: content.to_json() for name, content in self.contents},
            "renamed": [one.to_json() for one in self.renamed],
            "extra": [line.to_json() for line in self.extra],
            "missing": list(self.missing),
        }

    @classmethod
    def from_json(cls, obj: object, where: str = "may_differ") -> Self:
        keys = Keys(obj, where, RecordingError, "declared contents renamed extra missing")
        return keys.make(
            cls,
            declared=keys.take_all("declared", str),
            contents=keys.read("contents", _contents_from_json),
            renamed=keys.read_all("renamed", Renamed.from_json),
            extra=keys.read_all("extra", Line.from_json),
            missing=keys.take_all("missing", str),
        )


NOTHING = Variation()


def _contents_from_json(obj: object, where: str) -> tuple[tuple[str, Content], ...]:
    members = take(obj, dict, where, RecordingError)
    return tuple(
        (name, content_from_json(value, inside(where, name))) for name, value in members.items()
    )
