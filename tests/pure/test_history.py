"""Histories: what is read out of a trace, whatever the clients did and however they ended."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import RecordingError
from harness.history import RESULTS, Operation, describe_history, history_of
from harness.trace import Event, Trace, path_arg
from tests.pure import strategies as some
from tests.pure.reading import FILE, assert_reads_or_says_where, refusal, through_json

Told = tuple[str, str, str, str]  # role, call, name, detail


def trace_of(*told: Told) -> Trace:
    """A trace in which the clients say *told*, one after the other."""
    counts: Counter[tuple[str, str]] = Counter()
    events = []
    for role, call, name, detail in told:
        counts[role, call] += 1
        args = tuple(path_arg(text) for text in ((name, detail) if detail else (name,)))
        events.append(Event(role=role, call=call, nth=counts[role, call], args=args))
    return Trace(events=tuple(events))


def history(*said: str) -> list[str]:
    """The history of clients that say *said*, `ROLE CALL NAME`, each operation as `NAME RESULT`."""
    told = [(*line.split(" "), "") for line in said]
    return [f"{one.name} {one.result}" for one in history_of(trace_of(*told))]  # type: ignore[arg-type]


# ---- The value -----------------------------------------------------------------------------------


@given(some.operations)
def test_an_operation_is_read_from_json_as_it_was_written(operation: Operation) -> None:
    assert through_json(operation) == operation
    assert operation.describe().isprintable()


@given(some.garbage | some.nearly(some.operations.map(Operation.to_json)))
def test_what_is_nearly_an_operation_is_read_or_refused_by_file(obj: object) -> None:
    assert_reads_or_says_where(Operation.from_json, obj)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"result": "okay"}, "unknown result 'okay'; did you mean 'ok'?"),
        ({"role": ""}, "role '' is not of the form main, service/0 or service#1"),
        ({"name": 1}, "name: expected a string, not a whole number"),
        ({"detail": None}, "detail: expected a string, not null"),
        ({"asked": [1]}, "asked: expected an object, not an array"),
        ({"began": -1}, "began must be a whole number from 0 to 1000000000"),
    ],
)
def test_a_wrong_operation_is_refused_by_file_and_key(
    changed: dict[str, object], said: str
) -> None:
    obj = {"role": "client/0", "name": "hello", "result": "ok", "detail": "", **changed}
    line = refusal(lambda: Operation.from_json(obj, FILE), RecordingError)
    assert line == f"file.json: {said}"


def test_an_operation_and_a_history_in_words() -> None:
    refused = Operation(role="client/0", name="fork", result="fail", detail="no\nmore")
    lost = Operation(role="client/1", name="fork", result="info")
    assert refused.describe() == r"client/0 fork: failed (no\nmore)"
    assert lost.describe() == "client/1 fork: not known whether it happened"
    assert describe_history([refused, lost, refused]) == "3 operations: 2 fail, 1 info"
    assert describe_history([lost]) == "1 operation: 1 info"


# ---- Read out of a trace -------------------------------------------------------------------------


def test_operations_stand_in_the_order_in_which_they_began() -> None:
    assert history(
        *("client/0 invoke slow", "client/1 invoke quick", "client/1 ok quick", "client/0 ok slow")
    ) == ["slow ok", "quick ok"]


def test_an_operation_without_an_end_is_info() -> None:
    assert history("client/0 invoke hello") == ["hello info"]


def test_an_end_is_that_of_the_latest_operation_of_its_name_and_role() -> None:
    assert history(
        *("client/0 invoke a", "client/1 invoke a", "client/0 invoke b", "client/0 invoke a"),
        *("client/0 fail a", "client/1 ok a", "client/0 ok b", "client/0 info a"),
    ) == ["a info", "a ok", "a/b ok", "a/b/a fail"]


def test_an_operation_within_another_has_its_name_before_its_own() -> None:
    said = ("client/0 invoke a", "client/0 invoke b", "client/0 fail b", "client/0 fail a")
    assert history(*said, "client/0 invoke b") == ["a fail", "a/b fail", "b info"]


def test_a_wrong_answer_is_of_the_innermost_operation_whatever_ends_it_later() -> None:
    for end in "ok", "fail", "info":
        said = ("client/0 invoke a", "client/0 invoke b", "client/0 wrong b", f"client/0 {end} b")
        assert history(*said, "client/0 ok a") == ["a ok", "a/b wrong"]


def test_a_wrong_answer_outside_of_an_operation_is_one_of_its_own() -> None:
    assert history("client/0 invoke a", "client/0 ok a", "client/0 wrong b") == ["a ok", "b wrong"]
    assert history("client/0 invoke a", "client/1 wrong b") == ["a info", "b wrong"]


def test_an_end_that_nothing_began_is_an_operation_of_its_own() -> None:
    assert history("client/0 ok a", "client/0 invoke b", "client/0 fail a") == [
        "a ok",
        "b info",
        "a fail",
    ]


def test_what_is_no_operation_is_left_out() -> None:
    noted = Event(role="client/0", call="note", nth=1, args=('"x"',))
    assert history_of(Trace(events=(noted, Event.mark("note", 1, "x")))) == ()


def test_names_and_details_are_as_they_were_said() -> None:
    name, detail = "fork a\nb \udcff", 'got "" and\0nothing'
    (only,) = history_of(trace_of(("c", "invoke", name, ""), ("c", "fail", name, detail)))
    assert (only.name, only.detail) == (name, detail)


def test_a_wrong_answer_of_another_name_says_its_name() -> None:
    (only,) = history_of(trace_of(("c", "invoke", "fork", ""), ("c", "wrong", "status", "")))
    assert (only.name, only.result, only.detail) == ("fork", "wrong", "status")


def test_more_than_a_client_says_is_all_detail() -> None:
    event = Event(role="main", call="fail", nth=1, args=('"a"', '"b"', '"c"'))
    (only,) = history_of(Trace(events=(event,)))
    assert (only.name, only.detail) == ("a", "b c")


@pytest.mark.parametrize("args", [(), ("bare",), ("1",), ('"a"', "b"), ("[" * 9999,)])
def test_what_no_client_can_say_is_refused(args: tuple[str, ...]) -> None:
    trace = Trace(events=(Event(role="client/0", call="invoke", nth=1, args=args),))
    assert refusal(lambda: history_of(trace), RecordingError).startswith("event 'client/0 invoke#1")


def heard(*told: Told) -> list[tuple[str, list[object]]]:
    """Each operation with what it was replied."""
    return [
        (one.name, [reply.value for reply in one.replies]) for one in history_of(trace_of(*told))
    ]


def test_what_was_asked_and_replied_and_when_is_read_too() -> None:
    said = (("c", "invoke", "a", '{"key": "x"}'), ("c", "reply", "a", "[3]"), ("c", "ok", "a", ""))
    (only,) = history_of(trace_of(("d", "wrong", "b", ""), *said))[1:]
    assert only.asked == {"key": "x"}
    assert [(one.value, one.event) for one in only.replies] == [([3], 3)]
    assert (only.began, only.ended, only.result) == (2, 4, "ok")
    assert only.in_full() == 'c a key="x": [3]'


def test_a_reply_is_to_the_latest_operation_of_its_name_ended_or_not() -> None:
    asked, again = ("c", "invoke", "a", ""), ("c", "ok", "a", "")
    assert heard(asked, ("c", "reply", "a", "1"), asked, ("c", "reply", "a", "2")) == [
        ("a", [1]),
        ("a/a", [2]),
    ]
    assert heard(asked, again, ("c", "reply", "a", "1")) == [("a", [1])]
    assert heard(asked, ("c", "reply", "b", "1"), ("d", "reply", "a", "2")) == [
        ("a", []),
        ("b", [1]),
        ("a", [2]),
    ]


def test_what_whoever_makes_the_call_by_himself_says_is_taken_as_text() -> None:
    assert heard(("c", "invoke", "a", "[1]"), ("c", "reply", "a", "{cut")) == [("a", ["{cut"])]
    (only,) = history_of(trace_of(("c", "invoke", "a", "[1]")))
    assert only.asked == {}


def test_when_it_was_is_no_part_of_what_it_is() -> None:
    one = Operation(role="client/0", name="a", result="ok", began=1, ended=2)
    assert one == Operation(role="client/0", name="a", result="ok", began=5, ended=7)
    assert (through_json(one).began, through_json(one).ended) == (1, 2)
    old = {"role": "client/0", "name": "a", "result": "ok", "detail": ""}
    assert Operation.from_json(old) == one
    assert Operation.from_json(old).to_json() == old


# ---- Whatever is said ----------------------------------------------------------------------------

tellings = st.lists(
    st.tuples(
        st.sampled_from(["client/0", "client/1"]),
        st.sampled_from(["invoke", *RESULTS]),
        st.sampled_from(["a", "b"]),
        st.just(""),
    )
)


@given(tellings)
def test_every_operation_that_began_is_in_the_history_and_no_other_role(told: list[Told]) -> None:
    found = history_of(trace_of(*told))
    began = Counter((role, name) for role, call, name, _ in told if call == "invoke")
    assert Counter((one.role, one.name.rpartition("/")[2]) for one in found) >= began
    assert {one.role for one in found} <= {role for role, *_ in told}


@given(tellings)
def test_a_wrong_answer_is_never_lost(told: list[Told]) -> None:
    roles_told = {role for role, call, *_ in told if call == "wrong"}
    found = history_of(trace_of(*told))
    assert {one.role for one in found if one.result == "wrong"} == roles_told


@given(tellings, tellings)
def test_what_another_role_says_changes_nothing(ours: list[Told], theirs: list[Told]) -> None:
    mine = [("client/0", *rest) for _, *rest in ours]
    others = [("client/1", *rest) for _, *rest in theirs]
    mixed = [told for pair in zip(mine, others, strict=False) for told in pair]
    mixed += mine[len(others) :] + others[len(mine) :]
    alone = history_of(trace_of(*mine))  # type: ignore[arg-type]
    among = history_of(trace_of(*mixed))  # type: ignore[arg-type]
    assert [one for one in among if one.role == "client/0"] == list(alone)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["ok", "fail", "info"]))))
def test_operations_one_after_the_other_are_as_they_ended(ends: list[tuple[str, str]]) -> None:
    said = [(f"client/0 invoke {name}", f"client/0 {end} {name}") for name, end in ends]
    assert history(*sum(said, ())) == [f"{name} {end}" for name, end in ends]
