"""How the tests of values read them: there and back, and what is said of what cannot be read."""

import json
from collections.abc import Callable
from typing import Protocol, Self, TypeVar

import pytest

from harness.errors import UsageError

FILE = "file.json"


class Value(Protocol):
    """What every value of row 1 can do."""

    def describe(self) -> str: ...
    def to_json(self) -> object: ...
    @classmethod
    def from_json(cls, obj: object, where: str = ...) -> Self: ...


T = TypeVar("T")
V = TypeVar("V", bound=Value)


def through_json(value: V) -> V:
    """*value* written as JSON text and read again."""
    return type(value).from_json(json.loads(json.dumps(value.to_json())))


def refusal(act: Callable[[], object], error: type[UsageError] = UsageError) -> str:
    """The one line with which *act* is refused."""
    with pytest.raises(error) as caught:
        act()
    line = str(caught.value)
    assert line.isprintable()
    return line


def attempt(act: Callable[[], T]) -> tuple[T | None, str]:
    """What *act* gives, or None and the one line with which it is refused."""
    line = ""
    try:
        return act(), line
    except UsageError as wrong:
        line = str(wrong)
    assert line.isprintable()
    return None, line


def assert_reads_or_says_where(read: Callable[[object, str], Value], obj: object) -> None:
    """Reading *obj* gives a value that is read again as the same, or one line naming the file."""
    value, line = attempt(lambda: read(obj, FILE))
    if value is None:
        assert line.startswith(f"{FILE}: ")
    else:
        assert through_json(value) == value
