"""What came of a trial as it is held against a golden run: with the golden run's own in place of
whatever may differ from it. Pure.

So that who judges compares, and need not know what may differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .history import Operation
from .strict import sha256_of
from .variation import (
    STDERR,
    STDOUT,
    Anything,
    Content,
    Lines,
    Renamed,
    Variation,
    is_all_masked,
    lines_fit,
    lines_of,
    masked,
)
from .verdict import FileChange, Outcome


def as_usual(outcome: Outcome, golden: Outcome) -> Outcome:
    """*outcome* where only what may not differ from *golden* is other than there."""
    may = golden.may_differ
    if not may:
        return outcome
    allowed, data = dict(may.contents), dict(outcome.contents)
    streams = {
        name: getattr(golden, name)
        for name in (STDOUT, STDERR)
        if name in allowed and fits(allowed[name], data.get(name), may.declared)
    }
    return replace(
        outcome,
        files=_Files(outcome, golden).as_usual(),
        history=_history(outcome.history, golden.history, may),
        **streams,
    )


def fits(content: Content, data: bytes | None, declared: tuple[str, ...] = ()) -> bool:
    """Whether *data* is what *content* lets it be; None is too much to look at."""
    if isinstance(content, Anything):
        return True
    if data is None:
        return False
    if isinstance(content, Lines):
        texts = lines_of(data, declared)
        return texts is not None and lines_fit(content.lines, texts)
    if len(data) != content.size:
        return False
    return sha256_of(rest_of(data, content.ranges)) == content.sha256


def rest_of(data: bytes, ranges: Sequence[tuple[int, int]]) -> bytes:
    """*data* without *ranges*."""
    bounds = [0, *(bound for each in ranges for bound in each), len(data)]
    kept = zip(bounds[::2], bounds[1::2], strict=True)
    return b"".join(data[start:end] for start, end in kept)


# ---- Files ---------------------------------------------------------------------------------------


class _Files:
    """The files of one outcome, under the names that the golden run has for them."""

    def __init__(self, outcome: Outcome, golden: Outcome) -> None:
        self._may = golden.may_differ
        self._allowed = dict(self._may.contents)
        self._data = dict(outcome.contents)
        self._golden = {change.path: change for change in golden.files}
        self._files = outcome.files

    def as_usual(self) -> tuple[FileChange, ...]:
        there = {change.path for change in self._files}
        open_names = [one for one in self._may.renamed if not one.role and one.name not in there]
        found: dict[str, FileChange] = {}
        for change in self._files:
            if change.path in self._golden:
                found[change.path] = self._seen_as(change, change.path)
                continue
            if one := self._name_for(change, open_names):
                open_names.remove(one)
                found[one.name] = self._seen_as(change, one.name)
            elif not self._is_extra(change.path):
                found[change.path] = change
        for name in self._may.missing:
            if name in self._golden:
                found[name] = self._golden[name]
        return tuple(found[path] for path in sorted(found))

    def _name_for(self, change: FileChange, names: Sequence[Renamed]) -> Renamed | None:
        """Of *names* one that *change* may bear, best one under which it is as ever."""
        seen = masked(change.path, self._may.declared)
        fitting = [one for one in names if one.name in self._golden and one.line.fits(seen)]
        as_ever = (
            one for one in fitting if self._seen_as(change, one.name) == self._golden[one.name]
        )
        return next(as_ever, fitting[0] if fitting else None)

    def _is_extra(self, path: str) -> bool:
        seen = masked(path, self._may.declared)
        return is_all_masked(seen) or any(line.fits(seen) for line in self._may.extra)

    def _seen_as(self, change: FileChange, name: str) -> FileChange:
        """*change* under the golden run's *name*, with its contents where they are as allowed."""
        usual, content = self._golden[name], self._allowed.get(name)
        named = replace(change, path=name)
        if content is None or not fits(content, self._data.get(change.path), self._may.declared):
            return named
        return replace(named, size=usual.size, sha256=usual.sha256)


# ---- Histories -----------------------------------------------------------------------------------


def _history(
    history: tuple[Operation, ...], golden: tuple[Operation, ...], may: Variation
) -> tuple[Operation, ...]:
    """*history* with the golden run's names for its operations."""
    renamed = [one for one in may.renamed if one.role]
    if not renamed:
        return history
    seen = list(history)
    for role in dict.fromkeys(one.role for one in renamed):
        names = [one.name for one in golden if one.role == role]
        mine = [at for at, one in enumerate(history) if one.role == role]
        left = [one for one in renamed if one.role == role]
        for place, at in enumerate(mine):
            if names[place : place + 1] == [history[at].name]:
                continue
            text = masked(history[at].name, may.declared)
            fitting = [one for one in left if one.line.fits(text)]
            # The one at the same place, or an operation that was missed before it moves them all.
            here = [one for one in fitting if names[place : place + 1] == [one.name]]
            if chosen := (here or fitting)[:1]:
                left.remove(chosen[0])
                seen[at] = replace(history[at], name=chosen[0].name)
    return tuple(seen)
