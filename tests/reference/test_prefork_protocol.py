"""What the bytes of a call mean, and that their pieces do not matter."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference.prefork_interpreter import protocol
from reference.prefork_interpreter.protocol import (
    Left,
    ProtocolError,
    Refused,
    Request,
    RequestReader,
    Setup,
)
from reference.prefork_interpreter.states import TABLE, Event, State, after

strings = st.binary(max_size=20).map(lambda data: data.replace(b"\0", b""))
names = strings.map(lambda data: data.replace(b"=", b""))
variables = st.lists(st.tuples(names, strings), max_size=5)
arguments = st.lists(strings, min_size=1, max_size=5)
descriptors = st.lists(st.integers(0, 10**6), min_size=4, max_size=4, unique=True)


def read(
    data: bytes, sent: dict[int, list[int]], pieces: list[int], size_max: int = 1000
) -> tuple[RequestReader, Request | Refused | Left | None]:
    """What a reader makes of *data* in *pieces*; *sent*: descriptors by the byte they go with."""
    reader = RequestReader(deadline=10.0, size_max=size_max)
    place = 0
    while place < len(data):
        size = min(reader.wanted, pieces.pop() if pieces else reader.wanted, len(data) - place)
        came = [one for at in range(place, place + size) for one in sent.get(at, [])]
        found = reader.receive(data[place : place + size], came, now=0.0)
        place += size
        if found is not None:
            return reader, found
    return reader, reader.receive(b"", [], now=0.0)


THREE = {1: [7], 2: [8], 3: [9]}


@given(variables, arguments, st.lists(st.integers(1, 9), max_size=60))
def test_a_request_is_read_as_it_was_written_in_any_pieces(
    given_variables: list[tuple[bytes, bytes]], words: list[bytes], pieces: list[int]
) -> None:
    message = protocol.encode_message([b"%s=%s" % pair for pair in given_variables], words)
    reader, found = read(b"\0\0\0\0" + message, THREE, pieces)
    assert found == Request(variables=given_variables, arguments=words)
    assert reader.descriptors == [7, 8, 9]
    assert reader.state is State.MONITOR_RUNNING


@given(
    st.binary(max_size=60),
    st.dictionaries(st.integers(0, 20), st.lists(st.integers(3, 99), max_size=3)),
    st.lists(st.integers(1, 9), max_size=60),
)
def test_any_bytes_and_descriptors_come_to_an_end(
    data: bytes, sent: dict[int, list[int]], pieces: list[int]
) -> None:
    reader, found = read(data, sent, pieces)
    assert isinstance(found, Request | Refused | Left)
    assert isinstance(found, Request) == (reader.state is State.MONITOR_RUNNING)
    every = [one for at in sorted(sent) if at < len(data) for one in sent[at]]
    assert reader.descriptors == every[: len(reader.descriptors)]


@pytest.mark.parametrize(
    ("data", "sent", "why"),
    [
        (b"\1", {}, "the first byte is 0x01, not zero"),
        (b"\0\0", {}, "no descriptor came for standard input"),
        (b"\0\0", {0: [7]}, "more descriptors came than three"),
        (b"\0\0\0", {1: [7], 2: [8, 9]}, "more descriptors came than three"),
        (b"\0\0\0\0\0", THREE | {4: [5]}, "more descriptors came than three"),
        (b"\0\0\0\0\0\0\4\0", THREE, "the message has 1024 bytes, over 1000"),
        (b"\0\0\0\0\0\0\0\0", THREE, "the message has too few strings"),
        (b"\0\0\0\0\0\0\0\1\0", THREE, "the message has too few strings: no interpreter"),
        (b"\0\0\0\0\0\0\0\4A=b\0", THREE, "the message has too few strings"),
        (b"\0\0\0\0\0\0\0\3\0py", THREE, "the message does not end with a NUL"),
        (b"\0\0\0\0\0\0\0\5A\0\0p\0", THREE, "a variable has no '=': 'A'"),
    ],
)
def test_what_is_no_request_is_refused(data: bytes, sent: dict[int, list[int]], why: str) -> None:
    _, found = read(data, sent, [])
    assert isinstance(found, Refused)
    assert found.why == why


@given(st.integers(0, 30))
def test_a_caller_may_leave_at_any_point(size: int) -> None:
    message = b"\0\0\0\0" + protocol.encode_message([b"A=b"], [b"python3", b"script", b"word"])
    _, found = read(message[:size], THREE, [])
    assert isinstance(found, Left)


def test_the_deadline_is_for_the_whole_request() -> None:
    reader = RequestReader(deadline=10.0)
    assert reader.receive(b"\0", [], now=9.9) is None
    late = reader.receive(b"\0", [7], now=10.0)
    assert isinstance(late, Refused)
    assert (late.why, reader.descriptors) == ("the caller took too long", [7])


def test_lost_descriptors_are_noticed() -> None:
    reader = RequestReader(deadline=10.0)
    reader.receive(b"\0", [], now=0.0)
    lost = reader.receive(b"\0", [], now=0.0, is_cut=True)
    assert isinstance(lost, Refused)
    assert lost.why.startswith("descriptors were lost")


@given(st.integers(0, 10**18), descriptors)
def test_a_setup_is_read_as_it_was_written(started_ns: int, numbers: list[int]) -> None:
    listen, call, watch_in, watch_err = numbers
    setup = Setup(
        started_ns=started_ns, listen=listen, call=call, watch_in=watch_in, watch_err=watch_err
    )
    read = protocol.parse_setup(protocol.encode_setup(setup))
    assert (read.started_ns, read.descriptors) == (started_ns, setup.descriptors)


def test_what_a_later_version_adds_is_passed_over() -> None:
    read = protocol.parse_setup(b"v1,12.000000034,new 3,4,5,6,7,x \xff\n more")
    assert (read.started_ns, read.descriptors) == (12_000_000_034, (3, 4, 5, 6))


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"", "it has fewer than two words"),
        (b"v1,1.000000000", "it has fewer than two words"),
        (b"v2,1.000000000 3,4,5,6", "it is not of version v1: 'v2'"),
        (b"v1 3,4,5,6", "it has no time"),
        (b"v1,1 3,4,5,6", "its time is not SECS.NSECS: '1'"),
        (b"v1,1.5 3,4,5,6", "its time has not nine digits after the point: '1.5'"),
        (b"v1,1_0.000000000 3,4,5,6", "its time is not SECS.NSECS: '1_0.000000000'"),
        (b"v1,1.000000000 3,4,5", "it has fewer than four descriptors"),
        (b"v1,1.000000000 3,4,5,x", "a descriptor is not a number: 'x'"),
        (b"v1,1.000000000 3,4,5,-1", "a descriptor is not a number: '-1'"),
        (b"v1,1.000000000 3,4,5,5", "its descriptors are not four: '3,4,5,5'"),
    ],
)
def test_a_setup_that_cannot_be_is_said_to_be_none(value: bytes, why: str) -> None:
    with pytest.raises(ProtocolError) as raised:
        protocol.parse_setup(value)
    assert str(raised.value) == why


@given(st.binary(max_size=60))
def test_any_setup_is_read_or_refused(value: bytes) -> None:
    try:
        found = protocol.parse_setup(value)
    except ProtocolError:
        return
    assert len(set(found.descriptors)) == 4


@given(st.integers(0, 2**31 - 1))
def test_a_status_is_read_as_it_was_written(status: int) -> None:
    assert protocol.decode_status(protocol.encode_status(status)) == status


def test_a_status_that_is_none_is_refused() -> None:
    with pytest.raises(ProtocolError, match="the status 0x80000000 is none"):
        protocol.decode_status(b"\x80\0\0\0")


def test_the_greeting_may_say_more_and_must_be_one() -> None:
    assert protocol.parse_greeting(protocol.GREETING) == 0
    assert protocol.parse_greeting(b"PFI\n\0\0\0\5") == 5
    for wrong in (b"HTTP/1.1", b"PFI\n\xff\0\0\0"):
        with pytest.raises(ProtocolError):
            protocol.parse_greeting(wrong)


def test_a_variable_without_an_equals_sign_is_not_sent_and_a_long_message_is_refused() -> None:
    assert protocol.encode_message([b"A", b"B=c"], [b"p"]) == struct.pack(">I", 7) + b"B=c\0\0p\0"
    with pytest.raises(ProtocolError, match="over 67108864"):
        protocol.encode_message([], [b"x" * protocol.SIZE_MAX])


def test_every_state_has_a_row_and_can_be_reached() -> None:
    ends = {State.LAUNCHER_ENDED, State.SERVER_ENDED, State.MONITOR_ENDED}
    begins = {State.LAUNCHER_CONNECTING, State.SERVER_SERVING, State.MONITOR_SIGNALLED}
    assert {state for state, _ in TABLE} | ends == set(State)
    assert set(TABLE.values()) | begins == set(State)
    assert {event for _, event in TABLE} == set(Event)


def test_what_is_not_in_the_table_says_so() -> None:
    with pytest.raises(AssertionError, match="MONITOR_ENDED: BYTE cannot happen here"):
        after(State.MONITOR_ENDED, Event.BYTE)
