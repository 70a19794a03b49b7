"""What the bytes of a call mean, on both sides, with no input or output.

`parse_setup` reads what the launcher tells a script, `RequestReader` is the monitor's side of a
call, the other functions are the launcher's. Any split of the same bytes gives the same result.
Nothing here opens a descriptor or reads a clock.

The protocol is v1 of prefork-interp(1) of Debian's chiark-utils, as it is spoken there.

Its values are plain classes: importing dataclasses takes longer than all else that a launcher does.
"""

from __future__ import annotations

import struct

from reference.prefork_interpreter.states import Event, State, after

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: The variable by which a script is told that it is to be a server.
VARIABLE = b"PREFORK_INTERP"
#: What a monitor says first: the magic, and the length of what more it says, which is nothing.
GREETING = b"PFI\n\0\0\0\0"
MAGIC = GREETING[:4]
#: The most bytes of a message, and of what a monitor may say after its greeting.
SIZE_MAX = 64 * 1024 * 1024
#: How many bytes of a message are read at once.
_PIECE = 1024 * 1024
_STATUS_MAX = 2**31 - 1


class ProtocolError(Exception):
    """The other side does not speak the protocol; its text says what is wrong."""


# What the launcher tells the script


class Setup:
    """The time before the script was started, in nanoseconds, and the descriptors it was given."""

    __slots__ = ("call", "listen", "started_ns", "watch_err", "watch_in")

    def __init__(
        self, *, started_ns: int, listen: int, call: int, watch_in: int, watch_err: int
    ) -> None:
        self.started_ns = started_ns
        self.listen = listen
        self.call = call
        self.watch_in = watch_in
        self.watch_err = watch_err

    @property
    def descriptors(self) -> tuple[int, int, int, int]:
        """In the order in which they are told."""
        return (self.listen, self.call, self.watch_in, self.watch_err)


def parse_setup(value: bytes) -> Setup:
    """What PREFORK_INTERP says: `v1,SECS.NSECS[,...] LISTEN,CALL,WATCHI,WATCHE[,...][ more]`.

    The write end of the watcher's standard input comes before the read end of its standard error:
    so the launcher that is shipped has it, and its library for Perl, whatever its text says.
    ProtocolError says what is wrong.
    """
    words = value.split(b" ")
    if len(words) < 2:
        raise ProtocolError("it has fewer than two words")
    versions, numbers = words[0].split(b","), words[1].split(b",")
    if versions[0] != b"v1":
        raise ProtocolError(f"it is not of version v1: {_shown(versions[0])}")
    if len(versions) < 2:
        raise ProtocolError("it has no time")
    if len(numbers) < 4:
        raise ProtocolError("it has fewer than four descriptors")
    listen, call, watch_in, watch_err = (_parse_descriptor(number) for number in numbers[:4])
    if len({listen, call, watch_in, watch_err}) < 4:
        raise ProtocolError(f"its descriptors are not four: {_shown(words[1])}")
    return Setup(
        started_ns=_parse_time(versions[1]),
        listen=listen,
        call=call,
        watch_in=watch_in,
        watch_err=watch_err,
    )


def encode_setup(setup: Setup) -> bytes:
    """The value of PREFORK_INTERP."""
    seconds, nanoseconds = divmod(setup.started_ns, 1_000_000_000)
    numbers = b",".join(b"%d" % number for number in setup.descriptors)
    return b"v1,%d.%09d %s" % (seconds, nanoseconds, numbers)


def _parse_time(text: bytes) -> int:
    seconds, point, fraction = text.partition(b".")
    if not (point and _is_number(seconds) and _is_number(fraction)):
        raise ProtocolError(f"its time is not SECS.NSECS: {_shown(text)}")
    if len(fraction) != 9:
        raise ProtocolError(f"its time has not nine digits after the point: {_shown(text)}")
    return int(seconds) * 1_000_000_000 + int(fraction)


def _parse_descriptor(text: bytes) -> int:
    if not _is_number(text):
        raise ProtocolError(f"a descriptor is not a number: {_shown(text)}")
    return int(text)


def _is_number(text: bytes) -> bool:
    # Not int(): it takes 1_0, signs, blanks; and not digits without end.
    return text.isdigit() and len(text) <= 18


def _shown(text: bytes) -> str:
    return repr(text[:40])[1:]


# The monitor's side of a call


class Request:
    """What a caller wants: *variables* and *arguments*, in bytes, as given."""

    __slots__ = ("arguments", "variables")

    def __init__(
        self, *, variables: Sequence[tuple[bytes, bytes]], arguments: Sequence[bytes]
    ) -> None:
        self.variables = tuple(variables)
        self.arguments = tuple(arguments)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Request) and (self.variables, self.arguments) == (
            other.variables,
            other.arguments,
        )

    def __hash__(self) -> int:
        return hash((self.variables, self.arguments))

    def __repr__(self) -> str:
        return f"Request(variables={self.variables!r}, arguments={self.arguments!r})"


class Refused:
    """Not a request that can be served, and *why*."""

    __slots__ = ("why",)

    def __init__(self, why: str) -> None:
        self.why = why


class Left:
    """The caller went away before its request was complete; that is no error."""

    __slots__ = ()


class RequestReader:
    """One caller's request: bytes, descriptors and the time in, a request out, once.

    At most `wanted` bytes are to be read at once, so that a descriptor belongs to its byte.
    *deadline* and every *now* are seconds on one monotonic clock; the deadline is for all of it.
    *descriptors* are all that have come, whatever became of the request: whoever reads closes them.
    """

    def __init__(self, *, deadline: float, size_max: int = SIZE_MAX) -> None:
        self.deadline = deadline
        self.state = State.MONITOR_SIGNALLED
        self.descriptors: list[int] = []
        self._size_max = size_max
        self._size = 4
        self._buffer = bytearray()

    @property
    def wanted(self) -> int:
        """How many bytes may be read next."""
        if self.state in _BUFFERED:
            return min(self._size - len(self._buffer), _PIECE)
        return 1

    def receive(
        self, data: bytes, descriptors: Sequence[int], now: float, *, is_cut: bool = False
    ) -> Request | Refused | Left | None:
        """The request, when *data* completes it; no data means that the caller has left.

        *is_cut*: some descriptors have not come through.
        """
        self.descriptors += descriptors
        if not data:
            return self._left()
        if (late := self.expire(now)) is not None:
            return late
        if is_cut:
            return self._refused("descriptors were lost: too many, or no room for them here")
        expected = 1 if self.state in _DESCRIPTORS else 0
        if len(descriptors) < expected:
            return self._refused(f"no descriptor came for {_DESCRIPTORS[self.state]}")
        if len(descriptors) > expected:
            return self._refused("more descriptors came than three")
        if self.state is State.MONITOR_SIGNALLED and data != b"\0":
            return self._refused(f"the first byte is 0x{data[0]:02x}, not zero")
        if self.state not in _BUFFERED:
            self.state = after(self.state, Event.BYTE)
            return None
        self._buffer += data
        return self._complete() if len(self._buffer) >= self._size else None

    def expire(self, now: float) -> Refused | None:
        """The refusal, when the deadline has passed without a complete request."""
        if now < self.deadline:
            return None
        return self._refused("the caller took too long")

    def _complete(self) -> Request | Refused | None:
        data = bytes(self._buffer)
        self._buffer.clear()
        if self.state is State.MONITOR_SIZE:
            (self._size,) = struct.unpack(">I", data)
            if self._size > self._size_max:
                return self._refused(f"the message has {self._size} bytes, over {self._size_max}")
            self.state = after(self.state, Event.BYTE)
            return self._complete() if self._size == 0 else None
        try:
            request = parse_message(data)
        except ProtocolError as error:
            return self._refused(str(error))
        self.state = after(self.state, Event.COMPLETE)
        return request

    def _left(self) -> Left:
        self.state = after(self.state, Event.CALLER_LEFT)
        return Left()

    def _refused(self, why: str) -> Refused:
        self.state = after(self.state, Event.REFUSED)
        return Refused(why)


_BUFFERED = (State.MONITOR_SIZE, State.MONITOR_MESSAGE)
_DESCRIPTORS = {
    State.MONITOR_STDIN: "standard input",
    State.MONITOR_STDOUT: "standard output",
    State.MONITOR_STDERR: "standard error",
}


def parse_message(data: bytes) -> Request:
    """Variables, an empty string, arguments; each ends with a NUL. ProtocolError if not."""
    *strings, rest = data.split(b"\0")
    if rest:
        raise ProtocolError("the message does not end with a NUL")
    if b"" not in strings:
        raise ProtocolError("the message has too few strings")
    end = strings.index(b"")
    variables = []
    for string in strings[:end]:
        name, equals, value = string.partition(b"=")
        if not equals:
            raise ProtocolError(f"a variable has no '=': {_shown(string)}")
        variables.append((name, value))
    arguments = strings[end + 1 :]
    if not arguments:
        raise ProtocolError("the message has too few strings: no interpreter")
    return Request(variables=variables, arguments=arguments)


# The launcher's side of a call


def encode_message(variables: Iterable[bytes], arguments: Iterable[bytes]) -> bytes:
    """The length and the message: *variables* as NAME=value; one without `=` is left out.

    ProtocolError when it is too long.
    """
    kept = [variable for variable in variables if b"=" in variable]
    data = b"".join(string + b"\0" for string in (*kept, b"", *arguments))
    if len(data) > SIZE_MAX:
        raise ProtocolError(f"arguments and environment have {len(data)} bytes, over {SIZE_MAX}")
    return struct.pack(">I", len(data)) + data


def parse_greeting(data: bytes) -> int:
    """How many bytes follow these eight, that mean nothing to us. ProtocolError if it is none."""
    if data[:4] != MAGIC:
        raise ProtocolError(f"what answers is no monitor: {_shown(data)}")
    (more,) = struct.unpack(">I", data[4:8])
    if more > SIZE_MAX:
        raise ProtocolError(f"the monitor has {more} bytes more to say")
    return int(more)


def encode_status(status: int) -> bytes:
    """A wait status, as the monitor sends it."""
    return struct.pack(">I", status)


def decode_status(data: bytes) -> int:
    """The wait status in these four bytes. ProtocolError if it cannot be one."""
    (status,) = struct.unpack(">I", data)
    if status > _STATUS_MAX:
        raise ProtocolError(f"the status 0x{status:x} is none")
    return int(status)
