"""Strict reading: from JSON text to the arguments of a value, or one line saying where it is wrong.

Every value is read through this module, so each `from_json` says only which keys there are and
which value each becomes. An unknown key, a missing one, a wrong type and a wrong value are all
errors that name the file and the key; nothing is guessed, ignored or converted. It opens no
file."""

import json
import math
import re
from collections.abc import Callable, Collection
from typing import NoReturn, ParamSpec, TypeVar

from harness.errors import UsageError, quoted, unknown

P = ParamSpec("P")
T = TypeVar("T")

Reader = Callable[[object, str], T]  # how a value is read: (plain JSON, where it stands)

_TYPES: dict[type, str] = {
    str: "a string",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "an array",
    dict: "an object",
    type(None): "null",
}
_PAGE = 100  # columns
_MODE = re.compile("[0-7]{4}")
_SHA256 = re.compile("[0-9a-f]{64}")


def type_name(value: object) -> str:
    """What JSON calls *value*: never its contents, which may be of any size and depth."""
    return _TYPES.get(type(value), f"a Python {type(value).__name__}")


# ---- Reading -----------------------------------------------------------------------------------


def loads(text: str | bytes, where: str, error: type[UsageError]) -> object:
    """The JSON in *text*, where no object has a key twice and no number is NaN or infinite."""

    def members(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise error(f"{where}: key {quoted(twice)} stands twice in one object")
        return found

    def constant(name: str) -> NoReturn:
        raise error(f"{where}: {name} is not a JSON number")

    try:
        plain = text if isinstance(text, str) else text.decode()
        return json.loads(plain, object_pairs_hook=members, parse_constant=constant)
    except json.JSONDecodeError as wrong:
        place = f"line {wrong.lineno} column {wrong.colno}"
        raise error(f"{where}: not JSON at {place}: {wrong.msg}") from None
    except UnicodeDecodeError as wrong:
        raise error(f"{where}: not UTF-8 at byte {wrong.start}") from None
    except ValueError:
        raise error(f"{where}: a number has too many digits") from None
    except RecursionError:
        raise error(f"{where}: nested too deeply") from None


def dumps(value: object) -> str:
    """*value* as JSON for people: an object or array that fits on a line stands on one."""
    return _page(value, "") + "\n"


def _page(value: object, margin: str) -> str:
    line = json.dumps(value)
    if not isinstance(value, dict | list) or len(margin) + len(line) <= _PAGE:
        return line
    deeper = margin + "  "
    if isinstance(value, dict):
        items = [f"{json.dumps(key)}: {_page(item, deeper)}" for key, item in value.items()]
    else:
        items = [_page(item, deeper) for item in value]
    start, end = line[0], line[-1]
    return f"{start}\n{deeper}" + f",\n{deeper}".join(items) + f"\n{margin}{end}"


def mode_to_json(mode: int) -> str:
    """Permission bits as people read them: `0644`."""
    return f"{mode:04o}"


def inside(where: str, key: str) -> str:
    """The place *key* within *where*: `file: key`, then `file: key.key`."""
    return f"{where}.{key}" if ": " in where else f"{where}: {key}"


def take(obj: object, kind: type[T], where: str, error: type[UsageError]) -> T:
    """*obj*, when it is of exactly the type *kind*; a whole number also is a number."""
    # type(), not isinstance(): a bool is no number here.
    if kind is float and type(obj) is int and abs(obj) <= 2**53:
        obj = float(obj)
    if type(obj) is kind:
        return obj
    raise error(f"{where}: expected {_TYPES[kind]}, not {type_name(obj)}")


def peek(obj: object, key: str, where: str, error: type[UsageError]) -> object:
    """The member *key*, on which it depends which other keys there may be."""
    members = take(obj, dict, where, error)
    if key not in members:
        raise error(f"{where}: missing key {key!r}")
    return members[key]


def expect_format(obj: object, number: int, where: str, error: type[UsageError]) -> None:
    """Check the version before anything else: another one may have other keys."""
    found = take(peek(obj, "format", where, error), int, inside(where, "format"), error)
    if found != number:
        raise error(f"{inside(where, 'format')}: this version reads format {number} only")


class Keys:
    """The members of one JSON object, each taken by its name and type.

    *names* are all keys that it may have, with a `?` after those that may be missing."""

    def __init__(self, obj: object, where: str, error: type[UsageError], names: str) -> None:
        self._where = where
        self._error = error
        self._members: dict[str, object] = take(obj, dict, where, error)
        known = [name.rstrip("?") for name in names.split()]
        for key in self._members:
            if key not in known:
                raise error(f"{where}: {unknown('key', take(key, str, where, error), known)}")
        for name in names.split():
            if not name.endswith("?") and name not in self._members:
                raise error(f"{where}: missing key {name!r}")

    def has(self, key: str) -> bool:
        """Whether there is a member *key*."""
        return key in self._members

    def take(self, key: str, kind: type[T], default: T | None = None) -> T:
        """The member *key*, of the type *kind*; *default* when it may be missing and is."""
        return self.read(key, self._reader(kind), default)

    def take_all(self, key: str, kind: type[T]) -> tuple[T, ...]:
        """The items of the array *key*, all of the type *kind*; none when it is missing."""
        return self.read_all(key, self._reader(kind))

    def read(self, key: str, reader: Reader[T], default: T | None = None) -> T:
        """The member *key* as the value that *reader* makes of it."""
        if default is not None and key not in self._members:
            return default
        return reader(self._members[key], inside(self._where, key))

    def read_all(self, key: str, reader: Reader[T]) -> tuple[T, ...]:
        """The items of the array *key* as the values that *reader* makes of them."""
        where = inside(self._where, key)
        items: list[object] = take(self._members.get(key, []), list, where, self._error)
        return tuple(reader(item, f"{where}[{i}]") for i, item in enumerate(items))

    def take_or_null(self, key: str, kind: type[T]) -> T | None:
        """As take(), where null means none."""
        return None if self._members[key] is None else self.take(key, kind)

    def read_or_null(self, key: str, reader: Reader[T]) -> T | None:
        """As read(), where null means none; so does a key that may be missing and is."""
        return None if self._members.get(key) is None else self.read(key, reader)

    def take_mode(self, key: str) -> int:
        """The permission bits that mode_to_json() wrote."""
        text = self.take(key, str)
        check_match(inside(self._where, key), text, _MODE, "0644", self._error)
        return int(text, 8)

    def take_pairs(self, key: str) -> tuple[tuple[str, str], ...]:
        """The members of the object *key*, whose keys are free and whose values are strings."""
        where = inside(self._where, key)
        members: dict[object, object] = take(self._members[key], dict, where, self._error)
        text = self._reader(str)
        return tuple(
            (name, text(value, inside(where, name)))
            for name, value in ((text(name, where), value) for name, value in members.items())
        )

    def make(self, build: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Build a value; what it finds wrong with its arguments is wrong in this object."""
        try:
            return build(*args, **kwargs)
        except UsageError as wrong:
            raise self._error(f"{self._where}: {wrong}") from None

    def _reader(self, kind: type[T]) -> Reader[T]:
        return lambda obj, where: take(obj, kind, where, self._error)


def sha256_of(data: bytes) -> str:
    """The SHA-256 of *data* in lower-case hexadecimal."""
    # Imported here: it loads OpenSSL, which only who asks for a digest needs.
    from hashlib import sha256

    return sha256(data).hexdigest()


# ---- What a value checks when it is made -------------------------------------------------------


def check_int(name: str, value: object, low: int, high: int, error: type[UsageError]) -> None:
    """*value* is a whole number from *low* to *high*."""
    if type(value) is not int:
        raise error(f"{name} must be a whole number, not {type_name(value)}")
    if not low <= value <= high:
        raise error(f"{name} must be a whole number from {low} to {high}")


def check_positive(name: str, value: object, error: type[UsageError]) -> None:
    """*value* is a number above 0 that has an end."""
    if type(value) not in (int, float):
        raise error(f"{name} must be a number, not {type_name(value)}")
    assert isinstance(value, int | float)
    if not 0 < value < math.inf:
        raise error(f"{name} must be above 0, and not infinite")


def check_word(name: str, value: object, words: Collection[str], error: type[UsageError]) -> None:
    """*value* is one of *words*."""
    check_str(name, value, error)
    assert isinstance(value, str)
    if value not in words:
        raise error(unknown(name, value, words))


def check_text(name: str, value: object, error: type[UsageError]) -> None:
    """*value* is a string that can be encoded.

    Bytes that are no UTF-8 stand in it as os.fsdecode() puts them, one lone surrogate each."""
    if type(value) is not str:
        raise error(f"{name} must be a string, not {type_name(value)}")
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise error(f"{name} cannot be encoded: {quoted(value)}") from None


def check_str(name: str, value: object, error: type[UsageError]) -> None:
    """*value* is a string that the kernel can be given: with no NUL in it."""
    check_text(name, value, error)
    assert isinstance(value, str)
    if "\0" in value:
        raise error(f"{name} has a NUL character in it: {quoted(value)}")


def check_match(
    name: str, value: object, pattern: re.Pattern[str], example: str, error: type[UsageError]
) -> None:
    """*value* is text of the form *pattern*; *example* shows the form to whoever got it wrong."""
    check_str(name, value, error)
    assert isinstance(value, str)
    if not pattern.fullmatch(value):
        raise error(f"{name} {quoted(value)} is not of the form {example}")


def is_json(value: object) -> bool:
    """Whether *value* is the same after a way through JSON: no tuple, no number as a key."""
    try:
        return bool(json.loads(json.dumps(value, allow_nan=False)) == value)
    except (TypeError, ValueError, RecursionError):
        return False


def check_json(name: str, value: object, error: type[UsageError]) -> None:
    """*value* is one that JSON has."""
    if not is_json(value):
        raise error(f"{name}: {type_name(value)} is no value of JSON")


def check_sha256(name: str, value: object, error: type[UsageError]) -> None:
    """*value* is a SHA-256 in lower-case hexadecimal."""
    check_match(name, value, _SHA256, "64 digits 0-9a-f", error)
