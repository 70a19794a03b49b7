"""Workloads by reference: the function that a process of the trial runs, named so that another
process, another day, finds it again."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self, cast

from harness.errors import RecordingError
from harness.strict import Keys, check_match, is_json, type_name

_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_FILE = re.compile(r"/[^\0]*", re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """A function at the top of a module, or in a class there, and its keyword arguments.

    *file* is where *module* comes from. *kwargs* are values that JSON has; `{dir}` in a string is
    the trial's directory."""

    module: str
    file: str
    qualname: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_match("module", self.module, _DOTTED, "package.module", RecordingError)
        check_match("file", self.file, _FILE, "/an/absolute/path", RecordingError)
        check_match("qualname", self.qualname, _DOTTED, "function", RecordingError)
        for name, value in self.kwargs.items():
            if not is_json(value):
                raise RecordingError(
                    f"argument {name} of {self.qualname}: {type_name(value)} is no value of JSON, "
                    "so no other process can be given it"
                )

    def __str__(self) -> str:
        """`module:function(name=value)`."""
        kwargs = ", ".join(f"{name}={value!r}" for name, value in self.kwargs.items())
        return f"{self.module}:{self.qualname}({kwargs})"

    def describe(self) -> str:
        return str(self)

    def to_json(self) -> dict[str, object]:
        return {
            "module": self.module,
            "file": self.file,
            "qualname": self.qualname,
            "kwargs": dict(self.kwargs),
        }

    @classmethod
    def from_json(cls, obj: object, where: str = "workload") -> Self:
        keys = Keys(obj, where, RecordingError, "module file qualname kwargs")
        return keys.make(
            cls,
            module=keys.take("module", str),
            file=keys.take("file", str),
            qualname=keys.take("qualname", str),
            kwargs=cast(dict[str, Any], keys.take("kwargs", dict)),
        )
