"""Whether a history is one that clients could have of a single object that does one thing at a
time. Pure.

An operation may take effect at any moment between its beginning and its end (its first reply, where
it has one). A history is linearizable when these moments can be chosen so that an object that is
simple, the model, would have given the same replies. What came of an operation that never ended is
not known: it may have taken effect at any time since it began, or not at all. One that failed has
not.

The search takes one operation after the other, those first that ended first, and comes back where
none of those that may be next can be: Wing and Gong, "Testing and verifying concurrent objects"
(1993). It remembers which operations it has taken with which state left, since nothing new can come
of the same again: Lowe, "Testing for linearizability" (2017). Operations on different keys are
judged by themselves: Herlihy and Wing, "Linearizability: a correctness condition for concurrent
objects" (1990), theorem 1. The problem is NP-complete (Gibbons and Korach, 1997), so the search has
a limit.
"""

import json
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.history import Operation

STATES_MAX = 200_000
NEVER = 1 << 62


# ---- Models --------------------------------------------------------------------------------------


class Model:
    """What an object does that does one thing at a time. Make your own by `step`.

    *verbs* are the names of the operations that it knows, and others are left out; where it is
    empty all are its own. *initial* is the state before anything has happened. A state must be
    hashable, and equal to another when nobody could tell the two apart."""

    verbs: Collection[str] = ()
    initial: Hashable = None

    def key(self, operation: Operation) -> str:
        """Which of several objects that know nothing of each other it is an operation on."""
        return ""

    def step(self, state: Any, operation: Operation) -> tuple[bool, Hashable]:
        """Whether *operation* can take effect in *state*, given what it was replied; and the state
        then. Where it has no replies nobody knows what it would have been replied: anything."""
        raise NotImplementedError


class Keyed(Model):
    """Many objects, each with a key: what an operation has *asked* with as `key`."""

    def key(self, operation: Operation) -> str:
        key = operation.asked.get("key", "")
        return key if isinstance(key, str) else _text(key)


class Register(Keyed):
    """A value that is written and read: `write value=3`; `read`, with the value as its reply, null
    before anything was written; `cas old=1 new=2`, which replies whether it has changed it."""

    verbs = ("write", "read", "cas")
    initial = "null"

    def step(self, state: str, operation: Operation) -> tuple[bool, Hashable]:
        if operation.verb == "write":
            return True, _text(operation.asked["value"])
        if operation.verb == "read":
            return _could_reply(operation, state), state
        changes = state == _text(operation.asked["old"])
        after = _text(operation.asked["new"]) if changes else state
        return _could_reply(operation, _text(changes)), after


class Counter(Keyed):
    """A number from 0 on: `add value=3` (1, unless it says), which may reply the new number;
    `read`, which replies the number."""

    verbs = ("add", "read")
    initial = 0

    def step(self, state: int, operation: Operation) -> tuple[bool, Hashable]:
        after = state + operation.asked.get("value", 1) if operation.verb == "add" else state
        return _could_reply(operation, _text(after)), after


class Queue(Keyed):
    """First in, first out: `put value=3`; `get`, with the value as its reply, null from an empty
    queue."""

    verbs = ("put", "get")
    initial = ()

    def step(self, state: tuple[str, ...], operation: Operation) -> tuple[bool, Hashable]:
        if operation.verb == "put":
            return True, (*state, _text(operation.asked["value"]))
        return _could_reply(operation, state[0] if state else "null"), state[1:]


def _could_reply(operation: Operation, text: str) -> bool:
    return not operation.replies or _text(operation.replies[0].value) == text


def _text(value: object) -> str:
    """Equal for equal values of JSON, of which a list is not hashable, and true is no 1."""
    return json.dumps(value, sort_keys=True)


# ---- The search ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Impossible:
    """The shortest beginning of a history that no order of its operations explains.

    *until* are the operations on one key that had ended by then, in the order in which they ended,
    the last of them the one that cannot be; *open* are those that had begun."""

    until: tuple[Operation, ...]
    open: tuple[Operation, ...]

    @property
    def last(self) -> Operation:
        """The one whose end shows it."""
        return self.until[-1]

    @property
    def concurrent(self) -> tuple[Operation, ...]:
        """The operations that were under way at some time while the last one was."""
        ended = (one for one in self.until[:-1] if end_of(one) > self.last.began)
        return (*ended, *self.open)


def impossible(history: Sequence[Operation], model: Model) -> Impossible | None:
    """Where *history* stops being linearizable; None when all of it is. ValueError when one of it
    has no place in time, or there are too many orders to try."""
    keys: dict[str, list[Operation]] = {}
    for one in own_operations(history, model):
        if not one.began:
            raise ValueError(f"it is not known when {one.describe()} began: an older recording?")
        keys.setdefault(model.key(one), []).append(one)
    found = [wrong for each in keys.values() if (wrong := _impossible(each, model))]
    return min(found, key=lambda wrong: end_of(wrong.last), default=None)


def own_operations(history: Sequence[Operation], model: Model) -> list[Operation]:
    """Those that *model* knows and that may have taken effect."""
    return [
        one
        for one in history
        if one.result != "fail" and (not model.verbs or one.verb in model.verbs)
    ]


def order_of(operations: Sequence[Operation], model: Model) -> list[Operation] | None:
    """An order in which *model* would have given all replies, without those that need not have
    taken effect; None when there is none."""
    spans = sorted(operations, key=lambda one: one.began)
    ends = [end_of(one) for one in spans]
    whole = sum(1 << at for at, end in enumerate(ends) if end < NEVER)
    if not whole:
        return []
    seen: set[tuple[int, Hashable]] = {(0, model.initial)}
    order: list[int] = []
    choices = [_choices(spans, ends, model, 0, model.initial)]
    while choices:
        for at, taken, state in choices[-1]:
            if (taken, state) in seen:
                continue
            if len(seen) == STATES_MAX:
                raise ValueError(
                    f"there are more than {STATES_MAX} ways to order {len(spans)} operations; "
                    "use more keys, or fewer clients at a time"
                )
            seen.add((taken, state))
            order.append(at)
            if taken & whole == whole:
                return [spans[at] for at in order]
            choices.append(_choices(spans, ends, model, taken, state))
            break
        else:
            choices.pop()
            if order:
                order.pop()
    return None


def _choices(
    spans: Sequence[Operation], ends: Sequence[int], model: Model, taken: int, state: Hashable
) -> Iterator[tuple[int, int, Hashable]]:
    """What may be next: what began before anything that is left had ended. Each as its place, all
    that is *taken* then, and the state."""
    first_left = (~taken & taken + 1).bit_length() - 1
    first_end = NEVER
    left = []
    for at in range(first_left, len(spans)):
        if spans[at].began > first_end:
            break
        if not taken >> at & 1:
            left.append(at)
            first_end = min(first_end, ends[at])
    for at in sorted(left, key=ends.__getitem__):
        is_possible, after = model.step(state, spans[at])
        if is_possible:
            yield at, taken | 1 << at, after


def _impossible(operations: Sequence[Operation], model: Model) -> Impossible | None:
    if order_of(operations, model) is not None:
        return None
    ended = sorted((one for one in operations if end_of(one) < NEVER), key=end_of)
    # Any beginning of a linearizable history is linearizable.
    count = _first(
        len(ended), lambda count: not _is_possible_until(operations, ended[count], model)
    )
    until = tuple(ended[: count + 1])
    now = end_of(until[-1])
    still_open = tuple(_still_open(one) for one in operations if one.began < now < end_of(one))
    return Impossible(until=until, open=still_open)


def _is_possible_until(operations: Sequence[Operation], last: Operation, model: Model) -> bool:
    """Whether what had happened at the end of *last* can be put in order."""
    now = end_of(last)
    begun = [
        one if end_of(one) <= now else _still_open(one) for one in operations if one.began < now
    ]
    return order_of(begun, model) is not None


def _still_open(operation: Operation) -> Operation:
    """It before its end: nobody knows yet what comes of it."""
    return replace(operation, result="info", replies=(), ended=0)


def _first(count: int, holds: Callable[[int], bool]) -> int:
    """The first number below *count* from which on it *holds*, as it does for the last one."""
    low, high = 0, count - 1
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


def end_of(operation: Operation) -> int:
    """The number of the event by which it had taken effect; NEVER where there is none."""
    if operation.replies:
        return operation.replies[0].event
    return operation.ended if operation.result == "ok" else NEVER
