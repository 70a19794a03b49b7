"""What a workload is given: its ways to the service, and its history.

It runs in the trial as a process of its own, so all that it does are ordinary system calls, which
faults and switches meet as they meet the service's.
"""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Sequence
from types import TracebackType
from typing import IO, Any, NoReturn

from ._kernel.hypercall import TEXT_MAX, hypercall

_SHOWN_MAX = 200  # characters of a value in a message


class Unexpected(AssertionError):
    """What came is not what should have come. *cut*: it is how that begins, but not all of it."""

    def __init__(self, got: object, want: object, *, cut: bool) -> None:
        how = "cut short" if cut else "wrong"
        super().__init__(f"{how}: got {_shown(got)}, expected {_shown(want)}")
        self.cut = cut


class OperationFailed(Exception):
    """The service has said that it could not do what it was asked."""


class Client:
    """One client of the trial.

    In every path and address `{dir}` stands for the trial's own directory. Errors are those of the
    calls themselves (`OSError`): a workload need not catch what it cannot do anything about.
    """

    def __init__(self, role: str, directory: str) -> None:
        self.role = role
        self.directory = directory

    def path(self, text: str) -> str:
        """*text* with `{dir}` replaced."""
        return text.replace("{dir}", self.directory)

    def connect(
        self, address: str | tuple[str, int], timeout_s: float | None = None
    ) -> socket.socket:
        """A stream connection to a path, an abstract name (`@name`), `:PORT` on this host, or
        `(host, port)`."""
        kind = socket.AF_UNIX
        where: str | bytes | tuple[str, int] = address
        if isinstance(address, str):
            where = self.path(address)
            if where.startswith("@"):
                where = b"\0" + where[1:].encode()
            elif where.startswith(":"):
                where = ("127.0.0.1", int(where[1:]))
        if isinstance(where, tuple):
            kind = socket.AF_INET6 if ":" in where[0] else socket.AF_INET
        made = socket.socket(kind, socket.SOCK_STREAM)
        try:
            made.settimeout(timeout_s)
            made.connect(where)
        except BaseException:
            made.close()
            raise
        return made

    def spawn(self, argv: Sequence[str], **more: Any) -> subprocess.Popen[bytes]:
        """A process of this client's; *more* is for `subprocess.Popen`."""
        return subprocess.Popen([self.path(word) for word in argv], **more)

    def open(self, path: str, mode: str = "rb", **more: Any) -> IO[Any]:
        """`open` of a path in the trial."""
        opened: IO[Any] = open(self.path(path), mode, **more)  # noqa: SIM115
        return opened

    def expect(self, got: object, want: object) -> None:
        """Nothing when they are equal. Raises `Unexpected` otherwise; and when *got* is not even
        how *want* begins, the service has said what it must not, which no fault excuses."""
        if got == want:
            return
        cut = (
            isinstance(got, (bytes, str))
            and isinstance(want, (bytes, str))
            and type(got) is type(want)
            and want.startswith(got)  # type: ignore[arg-type]
        )
        problem = Unexpected(got, want, cut=cut)
        if not cut:
            self._tell("wrong", "expect", str(problem))
        raise problem

    def fail(self, why: str) -> NoReturn:
        """The service says honestly that it could not do it: an error reply, a status. Raises
        `OperationFailed`: a failure that a fault excuses, unlike a wrong answer."""
        raise OperationFailed(why)

    def note(self, **values: Any) -> None:
        """Write *values* into the trace, for who reads it."""
        self._tell("note", json.dumps(values, sort_keys=True, default=repr))

    def invoke(self, name: str, **asked: Any) -> Operation:
        """The operation *name*, from here to the end of the `with` block. *asked* is what is asked
        for, in values of JSON, for who checks the history; what is replied goes to `reply`.

        It is ok when the block ends; failed when that is what the service said (`fail`, `expect`),
        or nobody was there to be asked; after any other error, as when the connection breaks, it is
        not known whether it happened.
        """
        return Operation(self, name, asked)

    def _tell_value(self, what: str, name: str, value: Any) -> None:
        text = json.dumps(value, sort_keys=True, allow_nan=False)
        size = len(f"{name}\0{text}".encode("utf-8", "surrogateescape"))
        if size > TEXT_MAX:
            raise ValueError(
                f"{what} {name!r}: {size} bytes are more than the {TEXT_MAX} that a history holds "
                "of one value; tell a part of it, or its digest"
            )
        self._tell(what, name, text)

    def _tell(self, what: str, *words: str) -> None:
        hypercall(what, "\0".join(words))


class Operation:
    """What `Client.invoke` returns: a context manager that writes the history."""

    def __init__(self, client: Client, name: str, asked: dict[str, Any]) -> None:
        self._client = client
        self._name = name
        self._asked = asked

    def __enter__(self) -> Operation:
        if self._asked:
            self._client._tell_value("invoke", self._name, self._asked)
        else:
            self._client._tell("invoke", self._name)
        return self

    def reply(self, value: Any) -> None:
        """The service has replied *value*, which must be one of JSON. Each reply that comes is
        told, also one that comes when the block has ended. Operations that are open at the same
        time need names of their own."""
        self._client._tell_value("reply", self._name, value)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._client._tell("ok", self._name)
            return
        result = "fail" if isinstance(error, _IT_FAILED) else "info"
        self._client._tell(result, self._name, in_words(error))


#: The service said so, or nobody was there to be asked. After any other error nobody knows.
_IT_FAILED = (OperationFailed, AssertionError, ConnectionRefusedError, FileNotFoundError)


def in_words(error: BaseException) -> str:
    """What went wrong, in one line."""
    first = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}..."
