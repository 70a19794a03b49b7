"""Lengths of time as people write them: `500ms`, `2s`, `1.5h`. Kept as whole nanoseconds."""

import re
from fractions import Fraction

from harness.errors import ScheduleError, quoted

#: Some 31 years: a time-out longer than that is none.
DURATION_MAX_NS = 10**18
_UNITS = {
    "h": 3600 * 10**9,
    "m": 60 * 10**9,
    "s": 10**9,
    "ms": 10**6,
    "us": 10**3,
    "ns": 1,
}
_TEXT = re.compile(r"([0-9]{1,19}(?:\.[0-9]{1,9})?)(ns|us|ms|s|m|h)")


def parse_duration(text: str) -> int:
    """Nanoseconds, from 1 to DURATION_MAX_NS. ScheduleError when it is none, or no whole number of
    them."""
    form = _TEXT.fullmatch(text)
    if form is None:
        raise ScheduleError(f"{quoted(text)} is not a time: 500ms, 2s, 1.5h")
    exact = Fraction(form[1]) * _UNITS[form[2]]
    if exact.denominator != 1 or not 1 <= exact <= DURATION_MAX_NS:
        longest = duration_text(DURATION_MAX_NS)
        raise ScheduleError(f"{quoted(text)} is not a whole time from 1ns to {longest}")
    return int(exact)


def duration_text(time_ns: int) -> str:
    """The shortest way to write it; `parse_duration` is the inverse."""
    for unit, length in _UNITS.items():
        if time_ns % length == 0:
            return f"{time_ns // length}{unit}"
    raise AssertionError(time_ns)
