"""What the bytes of a connection mean, on both sides, with no input or output.

`RequestReader` is the service's side: bytes and the time in, one request out. `ReplyReader` is the
client's side of a forked child: bytes in, what has become of the child out. Any split of the same
bytes gives the same result. Nothing here opens a descriptor or reads a clock.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

#: The most bytes of a request, its last LF included.
SIZE_MAX = 64 * 1024
#: The longest connect timeout that is kept, in seconds; more is taken as this.
CONNECT_TIMEOUT_MAX = 10**9
#: The wait status that stands for one that nobody knows any more.
STATUS_UNKNOWN = 255 << 8
#: A reply without an end is given up at this many bytes.
REPLY_SIZE_MAX = 1024 * 1024

# Requests


@dataclass(frozen=True, kw_only=True, slots=True)
class Hello:
    """Are you alive?"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Quit:
    """Stop in good order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SetConnectTimeout:
    """Let children forked from now on wait *seconds* for their client."""

    seconds: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Fork:
    """Run *argv* in a child, with *environment* (bytes, as given) added to the service's own."""

    argv: tuple[str, ...]
    environment: Mapping[bytes, bytes] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """Not a request that can be served: send *reply*. *early*: the client may still be sending."""

    reply: bytes
    early: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Left:
    """The client ended its side before it asked for anything; it is owed no reply."""


Request: TypeAlias = Hello | Quit | SetConnectTimeout | Fork | Refused | Left


class RequestReader:
    """One connection's request: bytes and the time in, a request out, once.

    *deadline* and every *now* are seconds on one monotonic clock. The deadline is for the whole
    request, however many pieces it comes in; *size_max* is in bytes.
    """

    def __init__(self, *, deadline: float, size_max: int = SIZE_MAX) -> None:
        self.deadline = deadline
        self._size_max = size_max
        self._buffer = bytearray()
        self._parsed = 0
        self._lines: list[bytes] = []
        self._is_done = False

    def receive(self, data: bytes, now: float) -> Request | None:
        """The request, when *data* completes it. What follows it is not looked at."""
        if self._is_done:
            return None
        if (late := self.expire(now)) is not None:
            return late
        # No more than may belong to a request, or one long piece would pass where two would not.
        self._buffer += data[: self._size_max - len(self._buffer)]
        while (end := self._buffer.find(b"\n", self._parsed)) >= 0:
            line = bytes(self._buffer[self._parsed : end])
            self._parsed = end + 1
            if (request := self.receive_line(line.removesuffix(b"\r"))) is not None:
                return self._done(request)
        if len(self._buffer) >= self._size_max:
            what = f"request too long: more than {self._size_max} bytes"
            return self._done(Refused(reply=failure(what), early=True))
        return None

    def receive_line(self, line: bytes) -> Request | None:
        """The request, when *line*, without its end, is its last one."""
        self._lines.append(line)
        first = self._lines[0]
        if not first.startswith(b"fork-env "):
            return parse_request(first)
        if len(self._lines) == 1 or not self.is_end_of_block(line):
            return None
        return parse_fork(first.removeprefix(b"fork-env "), self._lines[1:-1])

    def is_end_of_block(self, line: bytes) -> bool:
        """Whether *line* ends the variables: all of it, not just how it ends."""
        return line == b"end"

    def end(self, now: float) -> Request | None:
        """The client will send no more."""
        if self._is_done:
            return None
        if not self._buffer:
            return self._done(Left())
        if (late := self.expire(now)) is not None:
            return late
        # Not one that could ever be complete, so there is nothing to wait for.
        return self._done(Refused(reply=unknown_request(bytes(self._buffer))))

    def expire(self, now: float) -> Request | None:
        """The refusal, when the deadline has passed without a complete request."""
        if self._is_done or now < self.deadline:
            return None
        return self._done(Refused(reply=failure("request timed out")))

    def _done(self, request: Request) -> Request:
        self._is_done = True
        self._buffer.clear()
        self._lines.clear()
        return request


def parse_request(line: bytes) -> Request:
    """The request of one *line*, without its end."""
    match line.split(b" ", 1):
        case [b"hello"]:
            return Hello()
        case [b"quit"]:
            return Quit()
        case [b"child_connect_timeout", seconds]:
            return parse_connect_timeout(seconds)
        case [b"fork", command]:
            return parse_fork(command, [])
        case _:
            return Refused(reply=unknown_request(line + b"\n"))


def parse_connect_timeout(text: bytes) -> Request:
    """*text* as a whole number of seconds; blanks around it do not matter."""
    digits = text.strip()
    # Not int() alone: it takes 1_0, and digits of other scripts.
    if re.fullmatch(rb"\+?[0-9]+", digits) is None:
        return Refused(reply=b"FAILURE: not an integer >= 0: %s\n" % python_repr(text))
    # Nor of thousands of digits, which int() refuses.
    seconds = int(digits) if len(digits) <= 12 else CONNECT_TIMEOUT_MAX
    return SetConnectTimeout(seconds=min(seconds, CONNECT_TIMEOUT_MAX))


def parse_fork(command: bytes, lines: Sequence[bytes]) -> Request:
    """A command line and the variables' lines, both without their ends."""
    try:
        return Fork(argv=parse_command(command), environment=parse_environment(lines))
    except ValueError as error:
        reason = python_repr(str(error).encode("utf-8", "backslashreplace")).decode("ascii")
        return Refused(reply=failure(f"command or env parsing failed: {reason}"))


# Not shlex: it takes time by the square of a word's length, and one client must not delay others.
_WORD = re.compile(r"""(?:[^ \t\r\n'"\\]+|\\.|'[^']*'|"(?:[^"\\]|\\.)*")+""", re.DOTALL)
_PART = re.compile(r"""[^'"\\]+|\\.|'[^']*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)
_BLANK = re.compile(r"[ \t\r\n]*")


def parse_command(command: bytes) -> tuple[str, ...]:
    """*command* (UTF-8) split as a POSIX shell splits words. ValueError says what is wrong."""
    text = command.decode("utf-8")
    words = []
    place = _BLANK.match(text).end()  # type: ignore[union-attr]  # it matches the empty string
    while place < len(text):
        word = _word_at(text, place)
        words.append(_unquoted(word))
        place = _BLANK.match(text, place + len(word)).end()  # type: ignore[union-attr]
    if not words:
        raise ValueError("No command")
    return tuple(words)


def _word_at(text: str, place: int) -> str:
    found = _WORD.match(text, place)
    end = found.end() if found is not None else place
    if found is not None and (end == len(text) or text[end] in " \t\r\n"):
        return found[0]
    raise ValueError("No escaped character" if text[end:] == "\\" else "No closing quotation")


def _unquoted(word: str) -> str:
    parts = []
    for part in _PART.findall(word):
        if part[0] == "'":
            parts.append(part[1:-1])
        elif part[0] == '"':
            parts.append(re.sub(r'\\(["\\])', r"\1", part[1:-1]))
        else:
            parts.append(part.removeprefix("\\"))
    return "".join(parts)


def parse_environment(lines: Sequence[bytes]) -> dict[bytes, bytes]:
    """`KEY: value` lines; the last of equal keys wins. ValueError says which one is none."""
    variables = {}
    for line in lines:
        key, colon, value = line.partition(b": ")
        if not colon or not key or not key.isascii() or b"=" in key or b"\0" in line:
            raise ValueError(f"Not a variable: {python_repr(line).decode('ascii')}")
        variables[key] = value
    return variables


# Replies

HELLO_REPLY = b"ok\nyep, still alive\n"
QUIT_REPLY = b"ok\nquit command requested... exiting\n"
OK_REPLY = b"ok\n"


def failure(what: str) -> bytes:
    """A request that was not served, and why; always one line."""
    line = " ".join(what.splitlines())
    return b"FAILURE\n" + line.encode("utf-8", "backslashreplace") + b"\n"


def unknown_request(request: bytes) -> bytes:
    """The reply to what is no request."""
    return b"FAILURE\nunknown request: %s\n" % python_repr(request)


def ready_reply(pid: int, directory: str) -> bytes:
    """A child is ready for its client."""
    return b"ok\n%d\n%s\n" % (pid, directory.encode("utf-8", "surrogateescape"))


def died_early_reply(status: int) -> bytes:
    """A child ended before it was ready; *status* is its wait status."""
    return failure(f"child died before it was ready: {status}")


def exited_reply(status: int) -> bytes:
    """A child that was ready has ended; *status* is its wait status."""
    return b"exited\n%d\n" % status


def python_repr(data: bytes) -> bytes:
    """*data* in quotes as Python 2 shows a str, which is what clients of old have seen."""
    return ascii(data.decode("latin-1")).encode("ascii")


# The client's side


@dataclass(frozen=True, kw_only=True, slots=True)
class Started:
    """The child *pid* is ready; its FIFOs are in *directory*."""

    pid: int
    directory: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """There will be no child; *message* is the service's."""

    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Exited:
    """The child has ended with this wait *status*; STATUS_UNKNOWN when that was garbage."""

    status: int


Reply: TypeAlias = Started | Failed | Exited


class ReplyReader:
    """The replies to one request to fork: `Started` and then `Exited`, or `Failed`.

    A connection that ends before it should gives `Failed` before `Started`, and
    `Exited(STATUS_UNKNOWN)` after it. Whatever comes after the last reply is not looked at.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._has_started = False
        self._is_done = False

    def receive(self, data: bytes) -> list[Reply]:
        """What *data* completes; b"" is the end of the connection."""
        replies: list[Reply] = []
        self._buffer += data
        while not self._is_done and (reply := self._next(is_end=not data)) is not None:
            replies.append(reply)
            self._has_started = isinstance(reply, Started)
            self._is_done = not self._has_started
        return replies

    def _next(self, *, is_end: bool) -> Reply | None:
        if self._has_started:
            return self._next_status(is_end)
        lines = bytes(self._buffer).split(b"\n", 3)
        if len(lines) > 3 and lines[0] == b"ok" and lines[1].isdigit() and lines[2]:
            self._buffer[:] = lines[3]
            directory = lines[2].decode("utf-8", "surrogateescape")
            return Started(pid=int(lines[1]), directory=directory)
        wanted = {b"ok": 3, b"FAILURE": 2}.get(lines[0], 1)
        if len(lines) <= wanted and not is_end and len(self._buffer) < REPLY_SIZE_MAX:
            return None
        text = b"\n".join(lines[1:2] if lines[0] == b"FAILURE" else lines).decode(
            "utf-8", "replace"
        )
        return Failed(message=text.strip() or "the service closed the connection without a reply")

    def _next_status(self, is_end: bool) -> Reply | None:
        if not is_end and self._buffer.count(b"\n") < 2:
            # As long as it may still become a status line.
            return None if len(self._buffer) < 64 else Exited(status=STATUS_UNKNOWN)
        found = re.match(rb"exited\r?\n([0-9]{1,5})\r?\n", self._buffer)
        status = int(found[1]) if found is not None else STATUS_UNKNOWN
        # 0x7f in the low bits is a stopped process, or no wait status at all.
        is_end = status <= 0xFFFF and status & 0x7F != 0x7F
        return Exited(status=status if is_end else STATUS_UNKNOWN)


def fork_request(argv: Sequence[str], environment: Mapping[str, str]) -> bytes:
    """The request for *argv* with *environment*. ValueError for what cannot be said in it."""
    if not argv:
        raise ValueError("no command")
    words = [_quoted(word) for word in argv]
    lines = ["fork-env " + " ".join(words)]
    for key, value in environment.items():
        line = f"{key}: {value}"
        is_key = key.isascii() and key and "=" not in key and ": " not in key
        if not is_key or set("\r\n\0") & set(line):
            raise ValueError(f"cannot be passed as a variable: {line!r}")
        lines.append(line)
    request = "\n".join([*lines, "end", ""]).encode("utf-8", "surrogateescape")
    if len(request) > SIZE_MAX:
        raise ValueError(f"the request has {len(request)} bytes; at most {SIZE_MAX} are read")
    return request


def _quoted(word: str) -> str:
    if "\n" in word or "\0" in word:
        raise ValueError(f"a request is one line, so a word cannot be {word!r}")
    if word and re.fullmatch(r"[\w@%+=:,./-]+", word, re.ASCII):
        return word
    return "'" + word.replace("'", "'\"'\"'") + "'"
