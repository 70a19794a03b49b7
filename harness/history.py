"""Histories: what the clients of a trial did, and what came of it, as they told it themselves.

A client tells it as it goes, so its history lies in the trace, in order with everything else; here
it is only read out of it. Nothing here judges."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self, cast

from harness.errors import RecordingError, printable, quoted
from harness.schedule import check_role
from harness.strict import Keys, check_int, check_json, check_text, check_word
from harness.trace import Event, Trace

Result = Literal["ok", "fail", "info", "wrong"]

RESULTS = ("ok", "fail", "info", "wrong")
INVOKE = "invoke"
REPLY = "reply"
EVENT_MAX = 10**9

_WORDS = {"ok": "ok", "fail": "failed", "info": "not known whether it happened", "wrong": "wrong"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What a client was replied: any *value* of JSON, at the event of that number."""

    value: Any
    event: int = field(compare=False)

    def __post_init__(self) -> None:
        check_json("value", self.value, RecordingError)
        check_int("event", self.event, 0, EVENT_MAX, RecordingError)

    def describe(self) -> str:
        return json.dumps(self.value)

    def to_json(self) -> dict[str, object]:
        return {"value": self.value, "event": self.event}

    @classmethod
    def from_json(cls, obj: object, where: str = "reply") -> Self:
        keys = Keys(obj, where, RecordingError, "value event")
        value = keys.read("value", lambda plain, _: plain)
        return keys.make(cls, value=value, event=keys.take("event", int))


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """One thing that the client *role* had done for it, and what it saw come of it.

    *name* is the client's own; within another operation, after that one's name and a slash.
    *result* is `ok` (it happened as it should), `fail` (it did not happen, and was seen not to),
    `info` (it is not known whether it happened) or `wrong` (an answer that must not be). *detail*
    is for the reader and may differ from run to run.

    *began* and *ended* are the numbers of its events in the trace, from 1; 0 where it has none, as
    that of the end of whoever died, or where the recording is older than they are. They are no part
    of what makes two operations equal. *asked* is what it asked for and *replies* what came, both
    as far as the client told it."""

    role: str
    name: str
    result: Result
    detail: str = ""
    asked: Mapping[str, Any] = field(default_factory=dict)
    replies: tuple[Reply, ...] = ()
    began: int = field(default=0, compare=False)
    ended: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        check_role("role", self.role, RecordingError)
        check_text("name", self.name, RecordingError)
        check_word("result", self.result, RESULTS, RecordingError)
        check_text("detail", self.detail, RecordingError)
        check_json("asked", self.asked, RecordingError)
        check_int("began", self.began, 0, EVENT_MAX, RecordingError)
        check_int("ended", self.ended, 0, EVENT_MAX, RecordingError)

    @property
    def verb(self) -> str:
        """Its own name, without those of the operations that it lies in."""
        return self.name.rpartition("/")[2]

    def describe(self) -> str:
        detail = f" ({printable(self.detail)})" if self.detail else ""
        return f"{self.role} {printable(self.name)}: {_WORDS[self.result]}{detail}"

    def in_full(self) -> str:
        """With what it asked, and what it was replied: `client/0 read key="x": 3`."""
        asked = (f" {printable(name)}={json.dumps(value)}" for name, value in self.asked.items())
        said = " and ".join(reply.describe() for reply in self.replies) or _WORDS[self.result]
        return f"{self.role} {printable(self.name)}{''.join(asked)}: {said}"

    def to_json(self) -> dict[str, object]:
        more = {
            "asked": dict(self.asked),
            "replies": [reply.to_json() for reply in self.replies],
            "began": self.began,
            "ended": self.ended,
        }
        return {
            "role": self.role,
            "name": self.name,
            "result": self.result,
            "detail": self.detail,
            **{key: value for key, value in more.items() if value},
        }

    @classmethod
    def from_json(cls, obj: object, where: str = "operation") -> Self:
        names = "role name result detail asked? replies? began? ended?"
        keys = Keys(obj, where, RecordingError, names)
        return keys.make(
            cls,
            role=keys.take("role", str),
            name=keys.take("name", str),
            result=cast(Result, keys.take("result", str)),
            detail=keys.take("detail", str),
            asked=cast(dict[str, Any], keys.take("asked", dict, {})),
            replies=keys.read_all("replies", Reply.from_json),
            began=keys.take("began", int, 0),
            ended=keys.take("ended", int, 0),
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
    operation of its own. A reply is to its role's latest operation of that name, ended or not.
    RecordingError when an event of these is none that a client can make."""
    found: list[Operation] = []
    running: dict[str, list[tuple[str, int]]] = {}  # by role, what is not over: name, and where
    latest: dict[tuple[str, str], int] = {}
    for number, event in enumerate(trace.events, 1):
        if event.call not in _TOLD:
            continue
        name, detail = _texts(event)
        mine = running.setdefault(event.role, [])
        open_one = next((one for one in reversed(mine) if one[0] == name), None)
        if event.call == INVOKE:
            path = f"{found[mine[-1][1]].name}/{name}" if mine else name
            mine.append((name, len(found)))
            latest[event.role, name] = len(found)
            asked = _asked(detail)
            begun = Operation(role=event.role, name=path, result="info", asked=asked, began=number)
            found.append(begun)
            continue
        if event.call == REPLY:
            at = open_one[1] if open_one is not None else latest.get((event.role, name), -1)
            if at < 0:
                at = len(found)
                found.append(Operation(role=event.role, name=name, result="info"))
            reply = Reply(value=_value(detail), event=number)
            found[at] = replace(found[at], replies=(*found[at].replies, reply))
            continue
        result = cast(Result, event.call)
        ended = 0
        if result == "wrong" and mine:
            # Which operation it came of is known by its place; its own name says what was wrong.
            innermost, at = mine[-1]
            detail = detail or (name if name != innermost else "")
        elif result != "wrong" and open_one is not None:
            at, ended = open_one[1], number
            mine.remove(open_one)
        else:
            found.append(
                Operation(role=event.role, name=name, result=result, detail=detail, ended=number)
            )
            continue
        found[at] = replace(found[at], ended=ended)
        if found[at].result != "wrong":
            found[at] = replace(found[at], result=result, detail=detail)
    return tuple(found)


_TOLD = frozenset({INVOKE, REPLY, *RESULTS})


def _asked(text: str) -> dict[str, Any]:
    """What was asked for; nothing where it is not what a client tells."""
    value = _value(text)
    return value if isinstance(value, dict) else {}


def _value(text: str) -> Any:
    """The value that is told as *text*; the text itself where it is no JSON."""
    try:
        value = json.loads(text)
        check_json("value", value, RecordingError)
    except (ValueError, RecursionError, RecordingError):
        return text
    return value


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
