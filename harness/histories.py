"""Oracles over what clients told: each request is replied to once, with its own reply, in order and
not after its end; and the replies are those of one object that does one thing at a time. Pure.

A request is an operation that told what it asked (`client.invoke(name, **asked)`), or what it was
replied (`operation.reply(value)`). What failed visibly is no matter of these oracles. Each is a
function as `--oracle` and the fixtures take it; the nouns are those of Jepsen's histories.
"""

from collections.abc import Iterator

from harness.errors import printable
from harness.history import Operation, Reply
from harness.linearizability import (
    NEVER,
    Counter,
    Impossible,
    Model,
    Queue,
    Register,
    end_of,
    impossible,
    own_operations,
)
from harness.verdict import Finding, Outcome

_SHOWN_MAX = 20  # operations


# ---- Requests and replies ------------------------------------------------------------------------


def exactly_one_reply(outcome: Outcome, golden: Outcome | None) -> Iterator[Finding]:
    """A request that went well was replied to once, any other at most once."""
    for one in _requests(outcome, golden):
        count = len(one.replies)
        if count > 1 or (one.result == "ok" and not count):
            what = "has more than one reply" if count else "has no reply"
            yield _finding("exactly-one-reply", one, what)


def own_reply(outcome: Outcome, golden: Outcome | None) -> Iterator[Finding]:
    """What is replied has the key of what was asked: what was asked with as `key` is the member
    `key` of the reply, or the reply itself where that is no object."""
    for one in _requests(outcome, golden):
        if "key" in one.asked and any(_key(reply) != one.asked["key"] for reply in one.replies):
            yield _finding("own-reply", one, "is given another one's reply")


def order_kept(outcome: Outcome, golden: Outcome | None) -> Iterator[Finding]:
    """The requests of one client are replied to in their order; on each connection by itself, where
    they are asked with one as `connection`."""
    latest: dict[tuple[str, str], int] = {}
    for one in _requests(outcome, golden):
        if not one.replies:
            continue
        line = one.role, repr(one.asked.get("connection"))
        event = one.replies[0].event
        if event < latest.get(line, 0):
            yield _finding("order-kept", one, "is replied to before what was asked before it")
        latest[line] = max(event, latest.get(line, 0))


def no_reply_after_close(outcome: Outcome, golden: Outcome | None) -> Iterator[Finding]:
    """When a request is over nothing more is replied to it."""
    for one in _requests(outcome, golden):
        if one.ended and any(reply.event > one.ended for reply in one.replies):
            yield _finding("no-reply-after-close", one, "is replied to after its end")


def _requests(outcome: Outcome, golden: Outcome | None) -> list[Operation]:
    if not any(map(_is_request, (*outcome.history, *(golden.history if golden else ())))):
        raise ValueError(
            "no client has told what it asks: use client.invoke(name, key=...) and reply(value)"
        )
    return [one for one in outcome.history if _is_request(one)]


def _is_request(one: Operation) -> bool:
    return bool(one.asked or one.replies)


def _key(reply: Reply) -> object:
    return reply.value.get("key") if isinstance(reply.value, dict) else reply.value


def _finding(oracle: str, one: Operation, what: str) -> Finding:
    name = printable(one.name) or "an operation without a name"
    return Finding(oracle=oracle, role=one.role, what=f"{name} {what}", detail=_line(one))


# ---- One object ----------------------------------------------------------------------------------


def linearizable_register(outcome: Outcome, golden: Outcome | None) -> Iterator[Finding]:
    """`write`, `read` and `cas` are those of a register: see `linearizability.Register`."""
    return not_linearizable(outcome, golden, Register())


def linearizable_counter(outcome: Outcome, golden: Outcome | None) -> Iterator[Finding]:
    """`add` and `read` are those of a counter: see `linearizability.Counter`."""
    return not_linearizable(outcome, golden, Counter())


def linearizable_queue(outcome: Outcome, golden: Outcome | None) -> Iterator[Finding]:
    """`put` and `get` are those of a queue: see `linearizability.Queue`."""
    return not_linearizable(outcome, golden, Queue())


def not_linearizable(outcome: Outcome, golden: Outcome | None, model: Model) -> Iterator[Finding]:
    """What an oracle of yours gives that has a model of its own: a finding when no order of the
    operations that clients had of *model* explains all replies."""
    told = (*outcome.history, *(golden.history if golden else ()))
    if not own_operations(told, model):
        raise ValueError(f"no client has told an operation of {_name(model)}: {_verbs(model)}")
    if wrong := impossible(outcome.history, model):
        what = f"the history is not that of one {_name(model)}"
        yield Finding(oracle="linearizable", role="", what=what, detail=explained(wrong))


def explained(wrong: Impossible) -> str:
    """In words: the shortest beginning of the history that cannot be, the operation that shows it,
    and those that were under way at the same time."""
    begun = sorted((*wrong.until, *wrong.open), key=lambda one: one.began)
    beside = ", ".join(one.in_full() for one in wrong.concurrent) or "nothing"
    lines = [f"  {_line(one)}" for one in begun[-_SHOWN_MAX:]]
    if len(begun) > _SHOWN_MAX:
        lines.insert(0, f"  {len(begun) - _SHOWN_MAX} operations before")
    # A report shows all of it on one line, so that no clause can do without its end.
    return (
        f"no order explains {wrong.last.in_full()}, at event {end_of(wrong.last)};\n"
        f"under way at the same time: {beside};\n"
        "until then:\n" + ";\n".join(lines)
    )


def _line(one: Operation) -> str:
    last = end_of(one)
    return f"events {one.began}-{'...' if last == NEVER else last} {one.in_full()}"


def _name(model: Model) -> str:
    return type(model).__name__.lower()


def _verbs(model: Model) -> str:
    return " ".join(model.verbs) or "any name"
