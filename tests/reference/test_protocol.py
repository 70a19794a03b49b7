"""The protocol without a service: what the bytes mean, however they come."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reference.forking_service import protocol
from reference.forking_service.protocol import (
    Exited,
    Failed,
    Fork,
    Hello,
    Left,
    Quit,
    Refused,
    ReplyReader,
    Request,
    RequestReader,
    SetConnectTimeout,
    Started,
)

REQUESTS: list[tuple[bytes, Request]] = [
    (b"hello\n", Hello()),
    (b"quit\n", Quit()),
    (b"child_connect_timeout 7\n", SetConnectTimeout(seconds=7)),
    (b"child_connect_timeout  0 \n", SetConnectTimeout(seconds=0)),
    (b"child_connect_timeout %s\n" % (b"9" * 5000), SetConnectTimeout(seconds=10**9)),
    (b"fork rocks\n", Fork(argv=("rocks",))),
    (b'fork a \'b c\'  "d\\"e" f\\ g\n', Fork(argv=("a", "b c", 'd"e', "f g"))),
    (b"fork-env rocks\nend\n", Fork(argv=("rocks",))),
    (
        b"fork-env x\nA: 1\nB: weekend\nC: a: b\nD: \nA: 2\nend\n",
        Fork(argv=("x",), environment={b"A": b"2", b"B": b"weekend", b"C": b"a: b", b"D": b""}),
    ),
    (b"fork-env x\nA: \xff\xc3\xa9\nend\n", Fork(argv=("x",), environment={b"A": b"\xff\xc3\xa9"})),
    (b"fork \xc3\xa9\n", Fork(argv=("é",))),
]

REFUSALS: list[tuple[bytes, bytes]] = [
    (b"what\n", b"FAILURE\nunknown request: 'what\\n'\n"),
    (b"\n", b"FAILURE\nunknown request: '\\n'\n"),
    (b"fork\n", b"FAILURE\nunknown request: 'fork\\n'\n"),
    (b"hello \n", b"FAILURE\nunknown request: 'hello \\n'\n"),
    (b"\xff'\n", b'FAILURE\nunknown request: "\\xff\'\\n"\n'),
    (b"child_connect_timeout -1\n", b"FAILURE: not an integer >= 0: '-1'\n"),
    (b"child_connect_timeout 1_0\n", b"FAILURE: not an integer >= 0: '1_0'\n"),
    (b"child_connect_timeout 1.5\n", b"FAILURE: not an integer >= 0: '1.5'\n"),
    (b"fork \n", b"FAILURE\ncommand or env parsing failed: 'No command'\n"),
    (b"fork 'a\n", b"FAILURE\ncommand or env parsing failed: 'No closing quotation'\n"),
    (b"fork a\\\n", b"FAILURE\ncommand or env parsing failed: 'No escaped character'\n"),
]
BAD_VARIABLES = [b"A=1", b"A:1", b"", b": 1", b"\xc3\xa9: 1", b"A=B: 1", b"A: \0", b"END"]

pieces = st.lists(st.integers(min_value=1, max_value=9), max_size=60)


def read(data: bytes, sizes: list[int] | None = None, size_max: int = 65536) -> Request | None:
    """What *data* asks for when it comes in pieces of *sizes*, then all the rest at once."""
    reader = RequestReader(deadline=1.0, size_max=size_max)
    for size in sizes or []:
        if (request := reader.receive(data[:size], 0.0)) is not None:
            return request
        data = data[size:]
    return reader.receive(data, 0.0)


@pytest.mark.parametrize(("data", "meant"), REQUESTS)
def test_a_request_means_what_it_says(data: bytes, meant: Request) -> None:
    assert read(data) == meant
    assert read(data.replace(b"\n", b"\r\n")) == meant


@pytest.mark.parametrize(("data", "reply"), REFUSALS)
def test_what_is_no_request_is_refused_in_words(data: bytes, reply: bytes) -> None:
    assert read(data) == Refused(reply=reply)
    assert read(data.replace(b"\n", b"\r\n")) == Refused(reply=reply)


@pytest.mark.parametrize("line", BAD_VARIABLES)
def test_a_line_that_is_no_variable_is_refused(line: bytes) -> None:
    refused = read(b"fork-env x\nA: 1\n" + line + b"\nend\n")
    assert isinstance(refused, Refused)
    assert refused.reply.startswith(b"FAILURE\ncommand or env parsing failed: ")
    assert refused.reply.count(b"\n") == 2


@given(st.sampled_from([data for data, _ in REQUESTS + REFUSALS]), pieces, st.booleans())
def test_any_split_gives_the_same(data: bytes, sizes: list[int], crlf: bool) -> None:
    sent = data.replace(b"\n", b"\r\n") if crlf else data
    assert read(sent + b"more\n", sizes) == read(data)


@given(st.binary(max_size=80), pieces, st.integers(min_value=1, max_value=40))
@example(b"hello\n" + b"x" * 60, [1] * 60, 6)
@example(b"hello\n", [], 5)
def test_no_bytes_are_too_much_for_it(data: bytes, sizes: list[int], size_max: int) -> None:
    assert read(data, sizes, size_max) == read(data, None, size_max)


@given(st.lists(st.sampled_from([b"fork-env ", b"x", b"\n", b"\r", b"end", b"A: b", b"'", b" "])))
def test_any_order_of_its_words_is_read_alike_in_pieces(words: list[bytes]) -> None:
    data = b"fork-env " + b"".join(words)
    assert read(data, [1] * len(data)) == read(data)


@given(st.text(st.sampled_from(" \t\r\f\v\"'\\ab$é#"), max_size=30))
def test_words_are_split_as_the_standard_library_does(text: str) -> None:
    try:
        expected = tuple(shlex.split(text)) or None
    except ValueError:
        expected = None
    try:
        found: tuple[str, ...] | None = protocol.parse_command(text.encode())
    except ValueError:
        found = None
    assert found == expected


@given(
    st.lists(
        st.text(st.characters(exclude_characters="\n\0", exclude_categories=["Cs"])), min_size=1
    ),
    st.dictionaries(
        st.text(st.sampled_from("ABC_ :"), min_size=1).filter(lambda key: ": " not in key),
        st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"])),
    ),
)
def test_what_a_client_writes_is_what_the_service_reads(
    argv: list[str], variables: dict[str, str]
) -> None:
    # `K:` and a value make `K:: `, which is the key `K:` again; but not with a blank behind it.
    expected = {key.encode(): value.encode() for key, value in variables.items()}
    assert read(protocol.fork_request(argv, variables)) == Fork(
        argv=tuple(argv), environment=expected
    )


@pytest.mark.parametrize(
    ("argv", "variables"),
    [
        ([], {}),
        (["a" * 65536], {}),
        (["a\nb"], {}),
        (["a"], {"A": "x\ny"}),
        (["a"], {"A=": "x"}),
        (["a"], {"": "x"}),
    ],
)
def test_what_cannot_be_asked_is_the_clients_error(
    argv: list[str], variables: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match=r"cannot be|no command|at most"):
        protocol.fork_request(argv, variables)


def test_a_request_of_exactly_the_limit_is_served_and_one_more_byte_is_not() -> None:
    assert isinstance(read(b"fork " + b"x" * (65536 - 6) + b"\n"), Fork)
    refused = read(b"fork " + b"x" * (65536 - 5) + b"\n")
    assert refused == Refused(
        reply=b"FAILURE\nrequest too long: more than 65536 bytes\n", early=True
    )


def test_one_deadline_is_for_all_of_the_request() -> None:
    reader = RequestReader(deadline=1.0)
    assert [reader.receive(b"x", at / 10) for at in range(10)] == [None] * 10
    late = Refused(reply=b"FAILURE\nrequest timed out\n")
    assert reader.receive(b"\n", 1.0) == late
    assert reader.expire(2.0) is None


def test_the_time_alone_ends_a_request_too() -> None:
    reader = RequestReader(deadline=1.0)
    reader.receive(b"fork-env x\n", 0.0)
    assert reader.expire(0.9) is None
    assert reader.expire(1.0) == Refused(reply=b"FAILURE\nrequest timed out\n")


def test_a_client_that_leaves_without_a_word_is_owed_none() -> None:
    assert RequestReader(deadline=1.0).end(0.0) == Left()


def test_a_request_that_is_cut_off_is_none() -> None:
    reader = RequestReader(deadline=1.0)
    reader.receive(b"hel", 0.0)
    assert reader.end(0.0) == Refused(reply=b"FAILURE\nunknown request: 'hel'\n")


# The client's side


def replies(data: bytes, sizes: list[int]) -> list[object]:
    """What *data* tells a client, in pieces of *sizes*, up to the end of the connection."""
    reader = ReplyReader()
    found: list[object] = []
    for size in sizes:
        found += reader.receive(data[:size]) if data[:size] else []
        data = data[size:]
    return found + (reader.receive(data) if data else []) + reader.receive(b"")


STARTED = Started(pid=12, directory="/tmp/d e")
REPLIES: list[tuple[bytes, list[object]]] = [
    (b"ok\n12\n/tmp/d e\nexited\n256\n", [STARTED, Exited(status=256)]),
    (b"ok\n12\n/tmp/d e\nexited\n9\nmore", [STARTED, Exited(status=9)]),
    (b"ok\n12\n/tmp/d e\n", [STARTED, Exited(status=protocol.STATUS_UNKNOWN)]),
    (b"ok\n12\n/tmp/d e\nexited\n", [STARTED, Exited(status=protocol.STATUS_UNKNOWN)]),
    (b"ok\n12\n/tmp/d e\nexited\nx\n", [STARTED, Exited(status=protocol.STATUS_UNKNOWN)]),
    (b"ok\n12\n/tmp/d e\nexited\n127\n", [STARTED, Exited(status=protocol.STATUS_UNKNOWN)]),
    (b"ok\n12\n/tmp/d e\nexited\n99999\n", [STARTED, Exited(status=protocol.STATUS_UNKNOWN)]),
    (b"FAILURE\nno room\n", [Failed(message="no room")]),
    (b"FAILURE\nno room", [Failed(message="no room")]),
    (b"", [Failed(message="the service closed the connection without a reply")]),
    (b"ok\nx\n/tmp\n", [Failed(message="ok\nx\n/tmp")]),
    (b"what\n", [Failed(message="what")]),
]


@given(st.sampled_from(REPLIES), pieces)
def test_a_client_reads_replies_in_any_pieces(
    reply: tuple[bytes, list[object]], sizes: list[int]
) -> None:
    data, meant = reply
    assert replies(data, sizes) == meant


@given(st.binary(max_size=60), pieces)
def test_a_client_always_hears_an_end(data: bytes, sizes: list[int]) -> None:
    found = replies(data, sizes)
    assert isinstance(found[-1], Failed | Exited)
    assert sum(isinstance(one, Failed | Exited) for one in found) == 1
