"""Histories: what the clients of a trial did, and what came of it, as they told it themselves.

A client tells it as it goes, so its history lies in the trace, in order with everything else; here
it is only read out of it. Nothing here judges."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self, cast

from harness.errors import RecordingError, printable, quoted
from harness.schedule import check_role
from harness.strict import Keys, check_text, check_word
from harness.trace import Event, Trace

Result = Literal["ok", "fail", "info", "wrong"]

RESULTS = ("ok", "fail", "info", "wrong")
INVOKE = "invoke"

_WORDS = {"ok": "ok", "fail": "failed", "info": "not known whether it happened", "wrong": "wrong"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """One thing that the client *role* had done for it, and what it saw come of it.

    *name* is the client's own; within another operation, after that one's name and a slash.
    *result* is `ok` (it happened as it should), `fail` (it did not happen, and was seen not to),
    `info` (it is not known whether it happened) or `wrong` (an answer that must not be). *detail*
    is for the reader and may differ from run to run."""

    role: str
    name: str
    result: Result
    detail: str = ""

    def __post_init__(self) -> None:
        check_role("role", self.role, RecordingError)
        check_text("name", self.name, RecordingError)
        check_word("result", self.result, RESULTS, RecordingError)
        check_text("detail", self.detail, RecordingError)

    def describe(self) -> str:
        detail = f" ({printable(self.detail)})" if self.detail else ""
        return f"{self.role} {printable(self.name)}: {_WORDS[self.result]}{detail}"

    def to_json(self) -> dict[str, object]:
        return {
            "role": self.role,
            "name": self.name,
            "result": self.result,
            "detail": self.detail,
        }

    @classmethod
    def from_json(cls, obj: object, where: str = "operation") -> Self:
        keys = Keys(obj, where, RecordingError, "role name result detail")
        return keys.make(
            cls,
            role=keys.take("role", str),
            name=keys.take("name", str),
            result=cast(Result, keys.take("result", str)),
            detail=keys.take("detail", str),
        )


def describe_history(history: Sequence[Operation]) -> str:
    """How many operations came to what: `3 operations: 2 ok, 1 fail`."""
    results = [operation.result for operation in history]
    said = [f"{results.count(result)} {result}" for result in RESULTS if result in results]
    return f"{len(history)} operation{'s' * (len(history) != 1)}: {', '.join(said)}"


def history_of(trace: Trace) -> tuple[Operation, ...]:
    """The operations of all clients, in the order in which they began.

    An end is that of its role's latest operation of that name which has none yet. An operation
    without an end is `info`: its client died. A `wrong` is of its role's innermost open operation,
    whose later end then says nothing more; outside of one, as any end that nothing began, it is an
    operation of its own. RecordingError when an event of these is none that a client can make."""
    found: list[Operation] = []
    running: dict[str, list[tuple[str, int]]] = {}  # by role, what is not over: name, and where
    for event in trace.events:
        if event.call != INVOKE and event.call not in RESULTS:
            continue
        name, detail = _texts(event)
        mine = running.setdefault(event.role, [])
        if event.call == INVOKE:
            path = f"{found[mine[-1][1]].name}/{name}" if mine else name
            mine.append((name, len(found)))
            found.append(Operation(role=event.role, name=path, result="info"))
            continue
        result = cast(Result, event.call)
        ended = next((one for one in reversed(mine) if one[0] == name), None)
        if result == "wrong" and mine:
            # Which operation it came of is known by its place; its own name says what was wrong.
            innermost, at = mine[-1]
            detail = detail or (name if name != innermost else "")
        elif result != "wrong" and ended is not None:
            at = ended[1]
            mine.remove(ended)
        else:
            found.append(Operation(role=event.role, name=name, result=result, detail=detail))
            continue
        if found[at].result != "wrong":
            found[at] = replace(found[at], result=result, detail=detail)
    return tuple(found)


def _texts(event: Event) -> tuple[str, str]:
    """The name and the detail that the arguments of *event* hold."""
    texts = [_text(argument, event) for argument in event.args]
    if not texts:
        raise RecordingError(f"event {quoted(event.line())} has no name")
    # Whoever makes the call by himself may say more than a client does: it is all detail.
    return texts[0], " ".join(texts[1:])


def _text(argument: str, event: Event) -> str:
    """The text that path_arg() made *argument* of."""
    try:
        text = json.loads(argument)
    except (ValueError, RecursionError):
        text = None
    if type(text) is not str:
        raise RecordingError(f"event {quoted(event.line())} has an argument that is no JSON string")
    return text
