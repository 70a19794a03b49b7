"""Learning from runs in which nothing goes wrong what may differ from one to the next. Pure.

They differ only in what is random, in the time, and in the numbers of processes; so whatever is not
the same in all of them says nothing about a fault, nor about an order of events. What is learned is
as narrow as can be told from a few runs: the number, word or piece of text at the same place of the
same line; a line or a name that only some have.

Aligning lines is the edit distance of Needleman and Wunsch (1970), on lines in place of letters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

from .errors import UsageError, quoted
from .strict import sha256_of
from .usual import rest_of
from .variation import (
    HOLES,
    STDERR,
    STDOUT,
    Anything,
    Content,
    Line,
    Lines,
    Ranges,
    Renamed,
    Variation,
    is_all_masked,
    lines_fit,
    lines_of,
    masked,
    patterns,
)
from .verdict import FileChange, Outcome

_ALIGNED_MAX = 90_000  # pairs of lines that are looked at
_GAP = 8  # bytes: two places of a binary file that are nearer are one
_PIECE = 4096  # bytes
_PARTS_MAX = 3  # of a number
_DRAWN_MIN = 16  # characters of what is taken for base64
_CHUNKS = re.compile(r"(\s+)")
_TOKENS = re.compile(r"[A-Za-z0-9_]+|\s+|[^A-Za-z0-9_\s]")
_WORD = re.compile(r"[A-Za-z0-9_]+")


def learned(runs: Sequence[Outcome], declared: Sequence[str] = ()) -> Variation:
    """What may differ from the first of *runs*, the golden one, since it differs in the others, or
    is *declared*. Raises `UsageError` for a pattern that matches nothing in any of them."""
    given = tuple(dict.fromkeys(declared))
    _check_used(runs, given)
    names = _Names(runs, given)
    contents = [*_streams(runs, given), *names.contents()]
    return Variation(
        declared=given,
        contents=tuple(contents),
        renamed=(*names.renamed(), *_operations(runs, given)),
        extra=names.extra(),
        missing=names.missing(),
    )


def _check_used(runs: Sequence[Outcome], declared: tuple[str, ...]) -> None:
    for text, pattern in zip(declared, patterns(declared), strict=True):
        if not any(pattern.search(line) for run in runs for line in _texts(run)):
            raise UsageError(
                f"may-differ {quoted(text)} matches nothing that comes out of the run without a "
                "fault: no line of its output and files, no name"
            )


def _texts(run: Outcome) -> Iterator[str]:
    for _, data in run.contents:
        yield from lines_of(data, ()) or ()
    yield from (change.path for change in run.files)
    yield from (operation.name for operation in run.history)


# ---- Contents ------------------------------------------------------------------------------------


def _streams(runs: Sequence[Outcome], declared: tuple[str, ...]) -> Iterator[tuple[str, Content]]:
    for name in STDOUT, STDERR:
        digests = {getattr(run, name).sha256 for run in runs}
        if len(digests) > 1 or declared:
            data = [dict(run.contents).get(name) for run in runs]
            if content := content_of(data, declared, differs=len(digests) > 1):
                yield name, content


def content_of(
    samples: Sequence[bytes | None], declared: tuple[str, ...] = (), *, differs: bool = True
) -> Content | None:
    """What all of *samples* fit, None being too much to look at; None when that is only the first
    of them."""
    data = [one for one in samples if one is not None]
    if len(data) < len(samples):
        return Anything() if differs else None
    texts = [lines_of(one, declared) for one in data]
    lines = [text for text in texts if text is not None]
    if len(lines) == len(texts):
        rows = _aligned(lines)
        made = None if rows is None else tuple(_line_of(row, len(lines)) for row in rows)
        if made is None or not all(lines_fit(made, text) for text in lines):
            return Anything()
        return Lines(lines=made)
    if not differs:
        return None
    if len({len(one) for one in data}) > 1:
        return Anything()
    ranges = _ranges(data)
    kept = rest_of(data[0], ranges)
    return Ranges(size=len(data[0]), ranges=ranges, sha256=sha256_of(kept))


def _ranges(data: Sequence[bytes]) -> tuple[tuple[int, int], ...]:
    """Where not all of *data*, which are of one size, are the same."""
    first, *others = data
    found: list[list[int]] = []
    for piece in range(0, len(first), _PIECE):
        part = slice(piece, piece + _PIECE)
        if all(first[part] == other[part] for other in others):
            continue
        for at in range(piece, min(piece + _PIECE, len(first))):
            if all(first[at] == other[at] for other in others):
                continue
            if found and at - found[-1][1] < _GAP:
                found[-1][1] = at + 1
            else:
                found.append([at, at + 1])
    return tuple((start, end) for start, end in found)


def _aligned(texts: Sequence[Sequence[str]]) -> list[list[str]] | None:
    """The lines of all *texts*, those that are one and the same line together; None when they are
    too many to tell."""
    rows: list[list[str]] | None = [[line] for line in texts[0]]
    for text in texts[1:]:
        rows = None if rows is None else _joined(rows, text)
    return rows


def _joined(rows: list[list[str]], text: Sequence[str]) -> list[list[str]] | None:
    """*rows* with the lines of one more *text*."""
    head = _alike(zip(rows, text, strict=False))
    tail = _alike(zip(reversed(rows[head:]), reversed(text[head:]), strict=False))
    middle, more = rows[head : len(rows) - tail], text[head : len(text) - tail]
    if len(middle) * len(more) > _ALIGNED_MAX:
        if len(middle) != len(more):
            return None
        pairs: list[tuple[list[str], list[str]]] = [
            (row, [line]) for row, line in zip(middle, more, strict=True)
        ]
    else:
        pairs = _paired(middle, more)
    joined = [[*row, *line] for row, line in pairs]
    # What all runs before had was counted in its row: a row says by its length who has it.
    first = [[*row, line] for row, line in zip(rows[:head], text[:head], strict=True)]
    last = zip(rows[len(rows) - tail :], text[len(text) - tail :], strict=True)
    return [*first, *joined, *([*row, line] for row, line in last)]


def _alike(pairs: Iterable[tuple[list[str], str]]) -> int:
    """How many of *pairs*, from the first on, are equal."""
    count = 0
    for row, line in pairs:
        if row[-1] != line:
            break
        count += 1
    return count


def _paired(rows: Sequence[list[str]], text: Sequence[str]) -> list[tuple[list[str], list[str]]]:
    """Each row with its line, in their order; one of them is empty where the other has none."""
    best = [[0] * (len(text) + 1) for _ in range(len(rows) + 1)]
    shapes, wanted = [_shape(row[-1]) for row in rows], [_shape(line) for line in text]

    def score(at: int, to: int) -> int:
        if rows[at][-1] == text[to]:
            return 4
        return 2 if shapes[at] == wanted[to] else 1

    for at in range(len(rows) - 1, -1, -1):
        for to in range(len(text) - 1, -1, -1):
            both = best[at + 1][to + 1] + score(at, to)
            best[at][to] = max(both, best[at + 1][to], best[at][to + 1])
    pairs: list[tuple[list[str], list[str]]] = []
    at = to = 0
    while at < len(rows) and to < len(text):
        if best[at][to] == best[at + 1][to + 1] + score(at, to):
            pairs.append((rows[at], [text[to]]))
            at, to = at + 1, to + 1
        elif best[at][to] == best[at + 1][to]:
            pairs.append((rows[at], []))
            at += 1
        else:
            pairs.append(([], [text[to]]))
            to += 1
    pairs += [(row, []) for row in rows[at:]]
    return pairs + [([], [line]) for line in text[to:]]


def _shape(line: str) -> str:
    """*line* but for its numbers and words: two that have one shape are taken for one line."""
    return _WORD.sub("w", line)


# ---- Lines ---------------------------------------------------------------------------------------


def _line_of(texts: Sequence[str], runs: int) -> Line:
    return Line(parts=parts_of(texts), optional=len(texts) < runs)


def parts_of(texts: Sequence[str]) -> tuple[str, ...]:
    """The parts of a `Line` that all of *texts* fit."""
    if len({*texts}) == 1:
        return (texts[0],)
    split = [_CHUNKS.split(text) for text in texts]
    if len({len(chunks) for chunks in split}) > 1:
        return _between(texts, "any")
    made: list[str] = [""]
    for at, chunks in enumerate(zip(*split, strict=True)):
        if len({*chunks}) == 1:
            made[-1] += chunks[0]
        elif at % 2:
            made += ["space", ""]
        else:
            _append(made, _chunk(chunks))
    return tuple(made)


def _append(made: list[str], more: Sequence[str]) -> None:
    """More parts after those that are *made*: the texts where they meet are one."""
    made[-1] += more[0]
    made += more[1:]


def _chunk(texts: Sequence[str]) -> Sequence[str]:
    """The parts of what stands between white space."""
    split = [_TOKENS.findall(text) for text in texts]
    if len({tuple(_shape(token) for token in tokens) for tokens in split}) > 1:
        return _between(texts, "text")
    columns = [*zip(*split, strict=True)]
    holes = [None if len({*tokens}) == 1 else _hole(tokens) for tokens in columns]
    if "hex" in holes:  # a piece of one hexadecimal number may happen to have no letter
        holes = ["hex" if hole == "digits" else hole for hole in holes]
    for number in _numbers(columns):
        if "digits" in {holes[at] for at in number}:
            for at in number:
                holes[at] = "digits"
    made: list[str] = [""]
    for hole, tokens in zip(holes, columns, strict=True):
        if hole is None:
            made[-1] += tokens[0]
        else:
            made += [hole, ""]
    return made


def _numbers(columns: Sequence[Sequence[str]]) -> Iterator[list[int]]:
    """The places of the digits of each number, as 0.12 or 1:02.3: when it varies each of them may,
    whatever a few runs have in common. Not of what has more parts, as an address."""
    number: list[int] = []
    for at, tokens in enumerate([*columns, ("",)]):
        if "".join(tokens).isdecimal():
            number.append(at)
        elif not (number and tokens[0] in (".", ":", ",") and number[-1] == at - 1):
            if 1 < len(number) <= _PARTS_MAX:
                yield number
            number = []


def _hole(tokens: Sequence[str]) -> str:
    """The narrowest hole for *tokens*, which are letters, digits and `_`."""
    every = "".join(tokens)
    if every.isdecimal():
        return "digits"
    if re.search("[0-9]", every) and all(_fits("hex", token) for token in tokens):
        return "hex"
    is_drawn = min(map(len, tokens)) >= _DRAWN_MIN and all(
        re.search(kind, every) for kind in ("[a-z]", "[A-Z]", "[0-9]")
    )
    # With so many characters of 64 some have others among them than letters and digits.
    return "base64" if is_drawn else "word"


def _fits(hole: str, text: str) -> bool:
    return re.fullmatch(HOLES[hole], text) is not None


def _between(texts: Sequence[str], hole: str) -> tuple[str, ...]:
    """A *hole*, or one for a number, between the tokens with which all of *texts* begin and end."""
    split = [_TOKENS.findall(text) for text in texts]
    head = _common(split)
    tail = _common([tokens[head:][::-1] for tokens in split])
    middles = ("".join(tokens[head : len(tokens) - tail]) for tokens in split)
    if all(_fits("number", middle) for middle in middles):
        hole = "number"
    first = split[0]
    return "".join(first[:head]), hole, "".join(first[len(first) - tail :])


def _common(split: Sequence[Sequence[str]]) -> int:
    count = 0
    for tokens in zip_longest(*split):
        if len({*tokens}) > 1:
            break
        count += 1
    return count


# ---- Names ---------------------------------------------------------------------------------------


class _Names:
    """The files of all *runs*: which are one and the same, whatever they are called."""

    def __init__(self, runs: Sequence[Outcome], declared: tuple[str, ...]) -> None:
        self._runs, self._declared = runs, declared
        golden, *others = ({change.path: change for change in run.files} for run in runs)
        self._golden = golden
        #: By the golden run's name: what it is in each run, or None.
        self._same: dict[str, list[FileChange | None]] = {
            path: [change] for path, change in golden.items()
        }
        self._more: list[list[FileChange]] = []
        for other in others:
            self._take(other)

    def _take(self, other: dict[str, FileChange]) -> None:
        left = {path: change for path, change in other.items() if path not in self._golden}
        for path, row in self._same.items():
            found = other.get(path) or _nearest(row[0], left)
            if found is not None:
                left.pop(found.path, None)
            row.append(found)
        for change in left.values():
            row_of = next((row for row in self._more if _likeness(row[0], change) > 2), None)
            if row_of is None:
                self._more.append([change])
            else:
                row_of.append(change)

    def renamed(self) -> Iterator[Renamed]:
        for path, row in self._same.items():
            names = [change.path for change in row if change is not None]
            seen = [masked(name, self._declared) for name in names]
            if not is_all_masked(seen[0]) and (len({*names}) > 1 or seen[0] != path):
                yield Renamed(name=path, line=Line(parts=parts_of(seen)))

    def extra(self) -> tuple[Line, ...]:
        rows = ([masked(change.path, self._declared) for change in row] for row in self._more)
        return tuple(Line(parts=parts_of(row)) for row in rows if not is_all_masked(row[0]))

    def missing(self) -> tuple[str, ...]:
        kinds = {
            path: {(one.kind, one.mode) if one is not None else None for one in row}
            for path, row in self._same.items()
        }
        return tuple(
            path
            for path, kind in kinds.items()
            if len(kind) > 1 or is_all_masked(masked(path, self._declared))
        )

    def contents(self) -> Iterator[tuple[str, Content]]:
        missing = self.missing()
        for path, row in self._same.items():
            if path in missing:
                continue
            data = [
                dict(run.contents).get(change.path)
                for run, change in zip(self._runs, row, strict=True)
                if change is not None
            ]
            states = {(change.size, change.sha256) for change in row if change is not None}
            differs = len(states) > 1
            content = None
            if differs or (self._declared and None not in data):
                content = content_of(data, self._declared, differs=differs)
            if content is not None:
                yield path, content


def _nearest(wanted: FileChange | None, left: dict[str, FileChange]) -> FileChange | None:
    """What is most like *wanted*, if anything is."""
    if wanted is None:
        return None
    best = max(left.values(), key=lambda one: _likeness(wanted, one), default=None)
    return best if best is not None and _likeness(wanted, best) else None


def _likeness(one: FileChange, other: FileChange) -> int:
    """How much speaks for two names being one; 0 when they cannot be."""
    mine, its = one.path.split("/"), other.path.split("/")
    if (one.kind, one.mode, len(mine)) != (other.kind, other.mode, len(its)):
        return 0
    if not any(a == b for a, b in zip(mine[1:], its[1:], strict=True)):
        return 0
    return (
        1
        + 4 * (_shape(one.path) == _shape(other.path))
        + 2 * (mine[:-1] == its[:-1])
        + 1 * ((one.size, one.sha256) == (other.size, other.sha256))
    )


def _operations(runs: Sequence[Outcome], declared: tuple[str, ...]) -> Iterator[Renamed]:
    """The operations of clients whose names vary. A client that does more, or sees something else,
    in another run is none of which anything could be learned."""
    for role in dict.fromkeys(operation.role for operation in runs[0].history):
        every = [[one for one in run.history if one.role == role] for run in runs]
        if len({tuple(one.result for one in own) for own in every}) > 1:
            continue
        for rows in zip(*every, strict=True):
            names = [masked(one.name, declared) for one in rows]
            if len({*names}) > 1 or names[0] != rows[0].name:
                yield Renamed(name=rows[0].name, line=Line(parts=parts_of(names)), role=role)
