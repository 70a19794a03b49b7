"""Which trials of a sweep can be left out, because others like them went alike. Pure.

Calls that the same program makes at the same place are of one class: its role but for numbers, what
it executes, the call and what it is about, and the calls around it. Of each class the first and the
last call are tried with a fault. Where the program goes on alike after both, those between are left
out; where it does not, the one in the middle is tried, and the same is asked of both halves. So a
loop costs as many trials as it has ways of going on, times the logarithm of its length.

It is a bet: between two calls after which a program goes on alike may be one after which it does
not. So it must be asked for.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

from ..calls import CALLS
from ..points import Point
from ..trace import NO_ROLE, Trace
from .recovery import role_pattern, shape

_EXECUTES = frozenset({"execve", "execveat"})
#: Where the files of the system lie: they are opened by the dozen, one as the other.
_OF_THE_SYSTEM = ('"/usr/', '"/lib/', '"/lib64/')


class Pruning:
    """Which of some series of cases to try next.

    A series are the numbers of cases of one class with the same fault, in the order of the calls.
    *pruned* are those that need not be tried."""

    def __init__(self, series: Iterable[Sequence[int]]) -> None:
        self._open = [(one, 0, len(one) - 1) for one in series]
        self.pruned = set[int]()

    def wanted(self, known: Mapping[int, Hashable]) -> list[int]:
        """The cases to try now that it is *known* of some how the program went on; none when all is
        decided."""
        wanted = dict[int, None]()
        undecided, self._open = self._open, []
        while undecided:
            one, first, last = undecided.pop()
            ends = one[first], one[last]
            if missing := [number for number in ends if number not in known]:
                wanted |= dict.fromkeys(missing)
                self._open.append((one, first, last))
            elif known[ends[0]] == known[ends[1]]:
                self.pruned.update(one[first + 1 : last])
            elif last - first > 1:
                middle = (first + last) // 2
                undecided += [(one, first, middle), (one, middle, last)]
        return [*wanted]


def classes(golden: Trace, there: Iterable[Point]) -> Iterator[Hashable]:
    """The class of each point."""
    program, around = _programs(golden), _around(golden)
    for point in there:
        event = point.event
        call, kind, *arguments = shape(event, point.descriptor)
        yield (
            role_pattern(event.role),
            program[id(event)],
            point.at.phase,
            point.until,
            point.threads,
            (call, kind, *map(_place, arguments)),
            around[id(event)],
        )


def _place(argument: str) -> str:
    """A path; of a file of the system, its directory."""
    return argument.rpartition("/")[0] if argument.startswith(_OF_THE_SYSTEM) else argument


def _programs(golden: Trace) -> dict[int, str]:
    """By the id of each event, what its role executes: what it has last asked to execute, or its
    parent had when it was born."""
    of = dict[str, str]()
    found = {}
    for event in golden.events:
        role = event.role
        if role not in of:
            of[role] = of.get(role[: max(role.rfind("/"), role.rfind("#"), 0)], "")
        found[id(event)] = of[role]
        if event.call in _EXECUTES:
            of[role] = next((word for word in event.args if word.startswith('"')), "")
    return found


def _around(golden: Trace) -> dict[int, tuple[str, str, str]]:
    """By the id of each event, the two calls that its role made before it, and the one after."""
    by_role = dict[str, list[tuple[int, str]]]()
    for event in golden.events:
        if event.role != NO_ROLE and event.call in CALLS:
            by_role.setdefault(event.role, []).append((id(event), event.call))
    found = {}
    for made in by_role.values():
        calls = ["", "", *(call for _, call in made), ""]
        for index, (ident, _) in enumerate(made):
            found[ident] = calls[index], calls[index + 1], calls[index + 3]
    return found
