"""What a test needs of the machine: without it the test is skipped, with the reason and the fix, or
fails where `--harness-require` names it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import cache
from typing import NoReturn

import pytest

from ..doctor import Ability, check
from ..errors import MachineError, UsageError, unknown

#: The abilities of `harness doctor`, as words without spaces; and shorter ones for some.
ABILITIES = (
    *("architecture", "user-notification", "user-namespaces", "six-namespaces", "overlay"),
    *("fresh-/proc", "view-of-this-directory", "memory-of-a-task", "children-of-a-task"),
    *("descriptors-of-a-task", "synchronous-wake-up", "replaced-directories"),
    *("real-time-priority", "fuse", "strace", "socat", "perl", "prefork-interp", "busybox"),
)
SHORT = {"seccomp": "user-notification", "userns": "user-namespaces"}
#: All that every trial needs.
TRIALS = "trials"
#: Beside those, what a trial may turn out to need.
_MAY_NEED = "descriptors-of-a-task"


def abilities_in(text: str) -> frozenset[str]:
    """The abilities that *text* lists, separated by commas. Raises `UsageError`."""
    found = set()
    for word in filter(None, (part.strip() for part in text.split(","))):
        name = SHORT.get(word, word)
        if name not in (*ABILITIES, TRIALS):
            raise UsageError(unknown("ability", word, (*ABILITIES, *SHORT, TRIALS)))
        found.add(name)
    return frozenset(found)


def word_for(ability: Ability) -> str:
    """Its name as a word."""
    return ability.name.replace(" ", "-")


@cache
def _checked() -> tuple[Ability, ...]:
    return check()


def need(wanted: Collection[str], demanded: Collection[str]) -> None:
    """Skip the test unless the machine has the abilities *wanted*; fail where one that it lacks is
    *demanded*."""
    lacking = [one for one in _checked() if not one.works and _is_in(one, wanted)]
    if lacking:
        _end_without(lacking, demanded)


def end_without_trials(error: MachineError, demanded: Collection[str]) -> NoReturn:
    """End a test whose trial the machine could not hold. To skip it a missing ability must be the
    reason: what else goes wrong is a failure."""
    lacking = [
        one for one in _checked() if not one.works and (one.required or word_for(one) == _MAY_NEED)
    ]
    if not lacking:
        pytest.fail(str(error), pytrace=False)
    _end_without(lacking, demanded)


def _is_in(ability: Ability, words: Collection[str]) -> bool:
    return word_for(ability) in words or (ability.required and TRIALS in words)


def _end_without(lacking: Iterable[Ability], demanded: Collection[str]) -> NoReturn:
    first, *_ = lacking
    for one in lacking:
        if _is_in(one, demanded):
            pytest.fail(f"required, but this machine lacks {_said(one)}", pytrace=False)
    pytest.skip(f"this machine lacks {_said(first)}")


def _said(ability: Ability) -> str:
    return f"{word_for(ability)} ({ability.detail}); fix: {ability.fix}"
