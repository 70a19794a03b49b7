"""What a trial did that none before it did: by which calls follow one another, and at which calls
one task hands over to another. Pure."""

from __future__ import annotations

from ..trace import CONTINUED, Trace

_LENGTH = 3  # of the runs of events that are told apart

Gram = tuple[str, ...]


def grams(trace: Trace) -> frozenset[Gram]:
    """The runs of three events of *trace*, and the pairs of calls between which the turn passed
    from one task to another, each once."""
    words = []
    handovers = set[Gram]()
    role_before, call_before = "", ""
    for event in trace.counted():
        action = "" if event.action == CONTINUED else f" {event.action}"
        words.append(f"{event.role} {event.call}{action}")
        if role_before not in ("", event.role):
            handovers.add((role_before, call_before, event.role, event.call))
        role_before, call_before = event.role, event.call
    runs = {tuple(words[i : i + _LENGTH]) for i in range(len(words) - _LENGTH + 1)}
    return frozenset(runs | handovers)


class Coverage:
    """All that was met so far."""

    def __init__(self) -> None:
        self._met = set[Gram]()

    def __len__(self) -> int:
        """How many different ones were met."""
        return len(self._met)

    def add(self, found: frozenset[Gram]) -> int:
        """Note what a trial met; how much of it is new."""
        new = found - self._met
        self._met |= new
        return len(new)
