"""Oracles over histories: what each holds against a trial, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from harness.histories import (
    exactly_one_reply,
    linearizable_counter,
    linearizable_queue,
    linearizable_register,
    no_reply_after_close,
    not_linearizable,
    order_kept,
    own_reply,
)
from harness.history import Operation, Reply, Result
from harness.linearizability import Model
from harness.oracle import Oracle, judged_by
from harness.verdict import Finding, Outcome
from tests.pure.served import GOLDEN, A, B

ALL = (
    exactly_one_reply,
    own_reply,
    order_kept,
    no_reply_after_close,
    linearizable_register,
    linearizable_counter,
    linearizable_queue,
)


def did(
    role: str, name: str, began: int, ended: int, result: Result, *replies: Reply, **asked: Any
) -> Operation:
    return Operation(
        role=role,
        name=name,
        result=result,
        asked=asked,
        replies=replies,
        began=began,
        ended=ended,
    )


def said(value: Any, event: int) -> Reply:
    return Reply(value=value, event=event)


ASKED = did(A, "ask", 1, 4, "ok", said(1, 3), key=1)


def found(oracle: Oracle, *history: Operation) -> list[str]:
    """What *oracle* finds in it, in words."""
    findings = oracle(replace(GOLDEN, history=history), None)
    return [one.describe() for one in findings if isinstance(one, Finding)]


def test_a_request_that_went_well_has_exactly_one_reply() -> None:
    assert found(exactly_one_reply, ASKED) == []
    twice = replace(ASKED, replies=(said(1, 2), said(1, 3)))
    assert found(exactly_one_reply, twice) == ["client/0: ask has more than one reply"]
    assert found(exactly_one_reply, replace(ASKED, replies=())) == ["client/0: ask has no reply"]


def test_a_request_that_did_not_go_well_has_at_most_one() -> None:
    for result in "fail", "info":
        lost = replace(ASKED, result=result, replies=())
        assert found(exactly_one_reply, lost) == []
        twice = replace(lost, replies=(said(1, 2), said(1, 3)))
        assert found(exactly_one_reply, twice) == ["client/0: ask has more than one reply"]


def test_a_reply_has_the_key_of_what_was_asked() -> None:
    for mine in 1, {"key": 1, "value": 5}:
        assert found(own_reply, replace(ASKED, replies=(said(mine, 3),))) == []
    for other in 2, {"key": 2}, {"value": 1}, None:
        wrong = replace(ASKED, replies=(said(other, 3),))
        assert found(own_reply, wrong) == ["client/0: ask is given another one's reply"]
    without = did(A, "ask", 1, 4, "ok", said(7, 3), value=1)
    assert found(own_reply, without) == []


def test_replies_come_in_the_order_of_the_requests_of_a_client_and_connection() -> None:
    early = did(A, "first", 1, 9, "ok", said(1, 8), key=1)
    late = did(A, "second", 2, 7, "ok", said(2, 6), key=2)
    assert found(order_kept, early, late) == [
        "client/0: second is replied to before what was asked before it"
    ]
    assert found(order_kept, early, replace(late, role=B)) == []
    on_its_own = replace(late, asked={"key": 2, "connection": 1})
    assert found(order_kept, early, on_its_own) == []
    assert found(order_kept, replace(early, replies=()), late) == []


def test_nothing_is_replied_to_what_is_over() -> None:
    assert found(no_reply_after_close, ASKED) == []
    late = replace(ASKED, replies=(said(1, 3), said(1, 5)))
    assert found(no_reply_after_close, late) == ["client/0: ask is replied to after its end"]
    died = replace(late, result="info", ended=0)
    assert found(no_reply_after_close, died) == []


def test_a_history_that_cannot_be_is_told_in_words() -> None:
    history = (
        did(A, "write", 1, 4, "ok", key="x", value=3),
        did(B, "write", 5, 9, "ok", key="x", value=4),
        did(A, "read", 6, 8, "ok", said(None, 7), key="x"),
        did(B, "read", 10, 12, "ok", said(4, 11), key="x"),
    )
    open_still = 'client/1 write key="x" value=4: not known whether it happened'
    (finding,) = linearizable_register(replace(GOLDEN, history=history), None)
    assert finding.describe() == "the history is not that of one register"
    assert finding.detail.split("\n") == [
        'no order explains client/0 read key="x": null, at event 7;',
        f"under way at the same time: {open_still};",
        "until then:",
        '  events 1-4 client/0 write key="x" value=3: ok;',
        f"  events 5-... {open_still};",
        '  events 6-7 client/0 read key="x": null',
    ]


def test_of_a_long_history_the_last_operations_are_told() -> None:
    history = [did(A, "add", 2 * at, 2 * at + 1, "ok") for at in range(1, 31)]
    history.append(did(A, "read", 90, 91, "ok", said(29, 91)))
    (finding,) = linearizable_counter(replace(GOLDEN, history=tuple(history)), None)
    lines = finding.detail.split("\n")
    assert lines[:4] == [
        "no order explains client/0 read: 29, at event 91;",
        "under way at the same time: nothing;",
        "until then:",
        "  11 operations before;",
    ]
    assert len(lines) == 24


@pytest.mark.parametrize("oracle", ALL, ids=lambda oracle: oracle.__name__)
def test_where_nobody_tells_what_he_asks_there_is_no_verdict(oracle: Oracle) -> None:
    verdict = judged_by([oracle], "service", GOLDEN, GOLDEN)
    assert verdict.status == "INCONCLUSIVE"
    assert "no client has told" in verdict.reason


@pytest.mark.parametrize("oracle", ALL, ids=lambda oracle: oracle.__name__)
def test_a_trial_in_which_nobody_came_to_ask_is_judged(oracle: Oracle) -> None:
    every = tuple(
        did(A, verb, 1, 2, "ok", value=1, key=1) for verb in ("write", "add", "put", "ask")
    )
    assert [*oracle(replace(GOLDEN, history=()), replace(GOLDEN, history=every))] == []


def test_a_model_of_ones_own_makes_an_oracle() -> None:
    class Once(Model):
        """It can be asked once."""

        initial = False

        def step(self, state: bool, operation: Operation) -> tuple[bool, bool]:
            return not state, True

    def asked_once(outcome: Outcome, golden: Outcome | None) -> Iterator[Finding]:
        return not_linearizable(outcome, golden, Once())

    assert found(asked_once, ASKED) == []
    again = replace(ASKED, began=5, replies=(said(1, 6),), ended=7)
    assert found(asked_once, ASKED, again) == ["the history is not that of one once"]
