"""Fingerprints: what a trial stood on, so that a replay that goes another way can say what has
changed. They explain; nothing fails because of them. Nothing here reads a file."""

import re
from dataclasses import dataclass
from typing import Self

from harness.errors import RecordingError
from harness.strict import Keys, check_int, check_match, check_sha256, check_str

CHANGES_MAX = 6  # lines
_PROCESSORS_MAX = 1 << 20
_ABSOLUTE = re.compile(r"/[^\0]*", re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fingerprint:
    """A machine as a trial met it.

    *machine* is as uname(2) has it, *processor* the model's name, *processors* how many there are.
    *as_root*: whether root of the machine ran it, for an ordinary user is the only one in a trial.
    *files* are the programs that were executed, their interpreters and libraries: path and
    SHA-256."""

    machine: str
    processor: str
    processors: int
    as_root: bool
    files: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        check_str("machine", self.machine, RecordingError)
        check_str("processor", self.processor, RecordingError)
        check_int("processors", self.processors, 1, _PROCESSORS_MAX, RecordingError)
        if type(self.as_root) is not bool:
            raise RecordingError("as_root must be true or false")
        for path, digest in self.files:
            check_match("files", path, _ABSOLUTE, "/an/absolute/path", RecordingError)
            check_sha256("files", digest, RecordingError)
        if len(dict(self.files)) < len(self.files):
            raise RecordingError("files has one path twice")

    def describe(self) -> str:
        count = f"{self.processors} processor{'s' * (self.processors != 1)}"
        model = f" ({self.processor})" if self.processor else ""
        who = "root" if self.as_root else "an ordinary user"
        files = f"{len(self.files)} file{'s' * (len(self.files) != 1)} known"
        return f"{self.machine}, {count}{model}, {who}, {files}"

    def to_json(self) -> dict[str, object]:
        return {
            "machine": self.machine,
            "processor": self.processor,
            "processors": self.processors,
            "as_root": self.as_root,
            "files": dict(self.files),
        }

    @classmethod
    def from_json(cls, obj: object, where: str = "fingerprint") -> Self:
        names = "machine processor processors as_root files"
        keys = Keys(obj, where, RecordingError, names)
        return keys.make(
            cls,
            machine=keys.take("machine", str),
            processor=keys.take("processor", str),
            processors=keys.take("processors", int),
            as_root=keys.take("as_root", bool),
            files=keys.take_pairs("files"),
        )


def changed_machine(then: Fingerprint, now: Fingerprint) -> list[str]:
    """What is not as it was, but for the files: a line each."""
    said = []
    for name in "machine", "processor", "processors":
        before, after = getattr(then, name), getattr(now, name)
        if before != after:
            said.append(f"{name}: {before or 'unknown'} -> {after or 'unknown'}")
    if then.as_root != now.as_root:
        said.append("run by root then" if then.as_root else "not run by root then")
    return said


def changed_file(path: str, is_there: bool) -> str:
    """A file that is not as it was, in words."""
    return f"{path} is another file" if is_there else f"{path} is no more"


def in_few_lines(said: list[str]) -> list[str]:
    """At most CHANGES_MAX of them."""
    if len(said) <= CHANGES_MAX:
        return said
    return [*said[: CHANGES_MAX - 1], f"and {len(said) - CHANGES_MAX + 1} more"]
