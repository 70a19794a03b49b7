"""The steps of a trial at which more than one task could go, and where it may matter who did.

Pure: what a call touches is told by who can look (footprint.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from typing import Any, NamedTuple

from .scheduler import Parked


class Footprint(NamedTuple):
    """What a call *changed* of what others could see, and what it only *looked* at, by names that
    are equal for the same thing. *everything*: nobody can say what it touches, or it is too much to
    say."""

    changed: frozenset[str] = frozenset()
    looked: frozenset[str] = frozenset()
    everything: bool = False


def conflict(one: Footprint, other: Footprint) -> bool:
    """Whether it may matter which of two calls is first: they touch the same thing, and at least
    one of them changes it."""
    return one.everything or other.everything or _meet(one, other.changed, other.looked)


def _meet(footprint: Footprint, changed: Set[str], looked: Set[str]) -> bool:
    """Whether it shares a thing with those that one of the two changes."""
    return not (
        footprint.changed.isdisjoint(changed)
        and footprint.changed.isdisjoint(looked)
        and footprint.looked.isdisjoint(changed)
    )


class Decision(NamedTuple):
    """A step at which more than one task could go.

    *role* is who goes by the default policy, *call* with *nth* and *total* where it stands; the
    *others* follow in order of birth, those born before it last. *chosen* went. *preempts*: *role*
    is who ran last, or should have gone on; to let another one go is to preempt it. *conflicts* are
    those of the others who, or whose descendants, make a call in this trial that conflicts with
    *call*: it may matter that they are first. Nobody, unless that was asked for."""

    role: str
    call: str
    nth: int
    total: int
    others: tuple[str, ...]
    chosen: str
    preempts: bool
    conflicts: tuple[str, ...] = ()


class Decisions:
    """Writes them down. *touches*, when given, says what a parked call touches."""

    def __init__(self, touches: Callable[[Any], Footprint] | None = None) -> None:
        self._touches = touches
        self._made: list[tuple[Decision, Footprint]] = []
        #: By role and all above it: what was looked at, and what was changed.
        self._looked: dict[str, set[str]] = {}
        self._changed: dict[str, set[str]] = {}

    def step(self, default: Parked, chosen: Parked, parked: Sequence[Parked], running: str) -> None:
        """*chosen* of *parked* goes; *default* would by the default policy, *running* went last."""
        footprint = Footprint()
        if self._touches is not None:
            went = self._touches(chosen)
            footprint = went if chosen is default else self._touches(default)
            for role in _lineage(chosen.name):
                self._looked.setdefault(role, set()).update(went.looked)
                self._changed.setdefault(role, set()).update(went.changed)
        if len(parked) == 1:
            return
        names = [task.name for task in parked]
        at = names.index(default.name)
        decision = Decision(
            role=default.name,
            call=default.call_name,
            nth=default.nth,
            total=default.total,
            others=(*names[at + 1 :], *names[:at]),
            chosen=chosen.name,
            # At the end of its quantum the default policy itself takes a task's turn away; only
            # that is free, or one that polls would have endlessly many ways to go on.
            preempts=running in names,
        )
        self._made.append((decision, footprint))

    def all(self) -> tuple[Decision, ...]:
        """Those of the whole trial, once it is over."""
        return tuple(
            decision._replace(
                conflicts=tuple(
                    other for other in decision.others if self._conflicts(footprint, other)
                )
            )
            for decision, footprint in self._made
        )

    def _conflicts(self, footprint: Footprint, role: str) -> bool:
        return _meet(footprint, self._changed.get(role, set()), self._looked.get(role, set()))


def _lineage(role: str) -> list[str]:
    """The role, and those that it descends from."""
    return [role[:end] for end in range(1, len(role)) if role[end] in "/#"] + [role]
