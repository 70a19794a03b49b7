"""Linearizable or not: held against trying every order, for histories of every kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import linearizability
from harness.history import Operation, Reply
from harness.linearizability import (
    Counter,
    Model,
    Queue,
    Register,
    end_of,
    impossible,
    order_of,
    own_operations,
)

MODELS: tuple[Model, ...] = (Register(), Counter(), Queue())


def did(name: str, began: int, ended: int, *replies: Any, by: str = "a", **asked: Any) -> Operation:
    """What the client *by* did from one event to another; *ended* 0: nobody knows what came."""
    return Operation(
        role=f"client/{by}",
        name=name,
        result="ok" if ended else "info",
        asked=asked,
        replies=tuple(Reply(value=reply, event=ended) for reply in replies),
        began=began,
        ended=ended,
    )


def is_linearizable(*history: Operation, model: Model | None = None) -> bool:
    return impossible(history, model or Register()) is None


# ---- Held against every order --------------------------------------------------------------------


def explains(order: Sequence[Operation], model: Model) -> bool:
    """Whether *model* gives these replies in this order."""
    state = model.initial
    for one in order:
        is_possible, state = model.step(state, one)
        if not is_possible:
            return False
    return True


def keeps_time(order: Sequence[Operation]) -> bool:
    """Whether nobody stands before one that had ended when it began."""
    return all(end_of(later) >= sooner.began for sooner, later in combinations(order, 2))


def every_order(history: Sequence[Operation]) -> Iterator[tuple[Operation, ...]]:
    """All orders of what has ended, with any of the rest."""
    ended = [one for one in history if end_of(one) < linearizability.NEVER]
    rest = [one for one in history if one not in ended]
    for count in range(len(rest) + 1):
        for some in combinations(rest, count):
            yield from permutations((*ended, *some))


def is_by_brute_force(history: Sequence[Operation], model: Model) -> bool:
    return any(
        keeps_time(order) and explains(order, model) for order in every_order(tuple(history))
    )


@st.composite
def histories(draw: st.DrawFn, model: Model) -> list[Operation]:
    """A few operations of a few clients, one after the other in each, with replies that may be."""
    count = draw(st.integers(1, 5))
    events = iter(draw(st.permutations(range(1, 2 * count + 1))))
    found = []
    for number in range(count):
        began, ended = sorted((next(events), next(events)))
        verb = draw(st.sampled_from(sorted(model.verbs)))
        values = st.integers(0, 2)
        asked: dict[str, Any] = {}
        replies: list[Any] = []
        if verb in ("write", "add", "put"):
            asked["value"] = draw(values)
        elif verb == "cas":
            asked |= {"old": draw(values), "new": draw(values)}
            replies = [draw(st.booleans())]
        else:
            replies = [draw(values | st.none())]
        if draw(st.integers(0, 4)) == 0:  # it never ended
            ended, replies = 0, []
        # Each is of a client of its own, so that equal ones are told apart.
        found.append(did(verb, began, ended, *replies, by=str(number), **asked))
    return found


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
@given(data=st.data())
def test_the_search_finds_an_order_where_there_is_one(model: Model, data: st.DataObject) -> None:
    history = data.draw(histories(model))
    order = order_of(history, model)
    assert (order is not None) == is_by_brute_force(history, model)
    if order is not None:
        assert keeps_time(order)
        assert explains(order, model)
        assert {one.role for one in history if one.ended} <= {one.role for one in order}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
@given(data=st.data())
def test_what_is_said_to_be_impossible_is_and_was_not_before(
    model: Model, data: st.DataObject
) -> None:
    history = data.draw(histories(model))
    wrong = impossible(history, model)
    if wrong is None:
        return
    assert not is_by_brute_force((*wrong.until, *wrong.open), model)
    assert wrong.last not in wrong.concurrent
    before = [one for one in wrong.until[:-1] if end_of(one) < wrong.last.began]
    assert {one.role for one in wrong.concurrent} == {
        one.role for one in (*wrong.until[:-1], *wrong.open) if one not in before
    }
    if wrong.until[:-1]:  # without its end there is an order, as at the end before
        now = end_of(wrong.until[-2])
        begun = [one for one in (*wrong.until[:-1], *wrong.open) if one.began < now]
        still = did(wrong.last.name, wrong.last.began, 0, by="last", **wrong.last.asked)
        begun += [still] if wrong.last.began < now else []
        assert is_by_brute_force(begun, model)


@given(histories(Register()), histories(Register()))
def test_each_key_is_judged_by_itself(one: list[Operation], other: list[Operation]) -> None:
    def keyed(history: list[Operation], key: str) -> list[Operation]:
        return [
            Operation(
                role=each.role,
                name=each.name,
                result=each.result,
                asked={**each.asked, "key": key},
                replies=each.replies,
                began=each.began,
                ended=each.ended,
            )
            for each in history
        ]

    both = is_linearizable(*keyed(one, "x"), *keyed(other, "y"))
    assert both == (is_linearizable(*one) and is_linearizable(*other))


# ---- By name -------------------------------------------------------------------------------------


def test_a_read_after_a_write_that_has_ended_reads_it() -> None:
    write = did("write", 1, 2, value=3)
    assert is_linearizable(write, did("read", 3, 4, 3))
    assert not is_linearizable(write, did("read", 3, 4, None))


def test_a_read_beside_a_write_may_read_either() -> None:
    write = did("write", 1, 9, value=3)
    for value in None, 3:
        assert is_linearizable(write, did("read", 2, 3, value, by="b"))
    assert not is_linearizable(write, did("read", 2, 3, 3, by="b"), did("read", 4, 5, None, by="b"))


def test_what_never_ended_may_have_happened_at_any_time_or_never() -> None:
    write = did("write", 1, 0, value=3)
    assert is_linearizable(write, did("read", 2, 3, None), did("read", 4, 5, 3))
    assert is_linearizable(write, did("read", 2, 3, None), did("read", 4, 5, None))
    assert not is_linearizable(did("read", 1, 2, 3), did("write", 3, 0, value=3))


def test_what_failed_has_not_happened() -> None:
    failed = Operation(
        role="client/a", name="write", result="fail", asked={"value": 3}, began=1, ended=2
    )
    assert is_linearizable(failed, did("read", 3, 4, None))
    assert not is_linearizable(failed, did("read", 3, 4, 3))


def test_a_reply_is_the_end_whatever_comes_after() -> None:
    read = Operation(
        role="client/a", name="read", result="info", replies=(Reply(value=None, event=2),), began=1
    )
    assert end_of(read) == 2
    assert not is_linearizable(did("write", 3, 4, value=3), did("read", 5, 6, None))
    assert is_linearizable(read, did("write", 3, 4, value=3), did("read", 5, 6, 3))


def test_a_queue_gives_each_value_once_and_in_order() -> None:
    puts = (did("put", 1, 2, value=1), did("put", 3, 4, value=2))
    queue = Queue()
    assert is_linearizable(*puts, did("get", 5, 6, 1), did("get", 7, 8, 2), model=queue)
    assert not is_linearizable(*puts, did("get", 5, 6, 2), model=queue)
    assert not is_linearizable(*puts, did("get", 5, 6, 1), did("get", 7, 8, 1), model=queue)
    assert is_linearizable(did("get", 1, 2, None), *puts[1:], model=queue)


def test_a_model_of_ones_own_is_asked_what_can_be() -> None:
    class Lock(Model):
        """One holder at a time, whoever it is."""

        verbs = ("lock", "unlock")
        initial = ""

        def step(self, state: str, operation: Operation) -> tuple[bool, str]:
            if operation.verb == "lock":
                return not state, operation.role
            return state == operation.role, ""

    held = (did("lock", 1, 2), did("hello", 3, 4))
    assert is_linearizable(*held, did("unlock", 5, 6), did("lock", 7, 8, by="b"), model=Lock())
    assert not is_linearizable(*held, did("lock", 7, 8, by="b"), model=Lock())
    assert own_operations(held, Lock()) == [held[0]]
    # Who has never got it need not have.
    assert is_linearizable(*held, did("lock", 7, 0, by="b"), did("unlock", 8, 9), model=Lock())
    assert is_linearizable(*held, did("lock", 7, 0, by="b"), model=Lock())


def test_values_are_told_apart_as_in_json() -> None:
    assert not is_linearizable(did("write", 1, 2, value=1), did("read", 3, 4, True))
    listed = did("write", 1, 2, value=[1, {"a": 2}])
    assert is_linearizable(listed, did("read", 3, 4, [1, {"a": 2}]))


def test_of_several_keys_that_cannot_be_the_first_is_told() -> None:
    wrong = impossible(
        [did("read", 1, 8, 5, key="x"), did("read", 2, 4, 5, key="y", by="b")], Register()
    )
    assert wrong is not None
    assert wrong.last.asked == {"key": "y"}
    assert (len(wrong.until), wrong.open) == (1, ())


def test_a_long_history_of_several_clients_takes_few_steps() -> None:
    history = []
    for number in range(200):
        at = 4 * number + 1
        history.append(did("add", at, at + 3, by="a"))
        history.append(did("read", at + 1, at + 2, number + number % 2, by="b"))
    assert impossible(history, Counter()) is None


def test_too_many_orders_are_an_error_that_says_what_to_do(monkeypatch: Any) -> None:
    monkeypatch.setattr(linearizability, "STATES_MAX", 50)
    adds = [did("write", number + 1, 100, value=number, by=str(number)) for number in range(9)]
    with pytest.raises(ValueError, match=r"more than 50 ways .* use more keys, or fewer clients"):
        impossible([*adds, did("read", 101, 102, 99)], Register())


def test_an_operation_without_a_place_in_time_is_an_error() -> None:
    with pytest.raises(ValueError, match="it is not known when client/a read: ok began"):
        impossible([did("read", 0, 1, None)], Register())
