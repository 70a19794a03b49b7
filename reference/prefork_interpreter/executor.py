"""From a fork of the monitor to what a script sees when it is run plainly: the caller's
descriptors, arguments and variables."""

from __future__ import annotations

import io
import os
import signal
import sys
import time

from reference.prefork_interpreter.names import close_descriptor
from reference.prefork_interpreter.protocol import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, TextIO

    #: What signal.getsignal gives.
    Handlers = Mapping[int, Any]

#: The streams of the setup. Kept: one that goes would write what it still holds.
_streams_of_the_setup: list[TextIO | None] = []


def put_handlers_aside() -> dict[int, Any]:
    """Let all signals do again what they do by default; what was set for them before.

    None of it is for the server or a monitor: a handler of the script's would raise in their midst,
    and with SIGCHLD ignored nobody learns of a status. A shell starts what is in the background
    with SIGINT ignored; a call must not depend on where the first one came from.
    """
    handlers = {}
    for number in signal.valid_signals():
        handler = signal.getsignal(number)
        is_deaf = number in (signal.SIGCHLD, signal.SIGINT) and handler is signal.SIG_IGN
        if callable(handler) or is_deaf:
            handlers[int(number)] = handler
            signal.signal(number, signal.SIG_DFL)
    return handlers


def take_over(request: Request, descriptors: Sequence[int], handlers: Handlers) -> None:
    """Make this process what *request* asks for. OSError or ValueError when that cannot be."""
    bind_descriptors(descriptors)
    restore_handlers(handlers)
    set_variables(request.variables)
    sys.argv = arguments_of(request.arguments, sys.argv, sys.orig_argv)
    bind_streams()
    # The clock of a day is the caller's; what it is was read from the environment.
    time.tzset()


def bind_descriptors(descriptors: Sequence[int]) -> None:
    """Make 0, 1 and 2 of *descriptors*, which are none of them, and close the originals."""
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
    for descriptor in descriptors:
        close_descriptor(descriptor)


def restore_handlers(handlers: Handlers) -> None:
    """Set the script's *handlers* again, but for SIGINT: it ends the call, at once."""
    for number, handler in handlers.items():
        if number != signal.SIGINT:
            signal.signal(number, handler)


def set_variables(variables: Sequence[tuple[bytes, bytes]]) -> None:
    """Make the environment of *variables*. The first of equal names counts, as in a plain run; a
    name that is empty cannot be set."""
    os.environb.clear()
    for name, value in variables:
        if name and name not in os.environb:
            os.environb[name] = value


def arguments_of(
    arguments: Sequence[bytes], own: Sequence[str], original: Sequence[str]
) -> list[str]:
    """sys.argv of a plain run: *arguments* without the interpreter.

    *own* is sys.argv of the setup, *original* its whole command line: words that the interpreter
    took for itself (`-I`, `-m NAME`) are not the script's.
    """
    words = [os.fsdecode(word) for word in arguments[1:]]
    taken = len(original) - 1 - len(own)
    if taken > 0 and own and words[:taken] == list(original[1 : 1 + taken]):
        return [own[0], *words[taken + 1 :]]
    return words


_MODES = {"stdin": "r", "stdout": "w", "stderr": "w"}


def bind_streams() -> None:
    """Make sys.stdin, sys.stdout and sys.stderr of 0, 1 and 2, as Python makes its own.

    What the script has put in their place is left: it writes to the same descriptors.
    """
    for number, (name, mode) in enumerate(_MODES.items()):
        first: TextIO | None = getattr(sys, f"__{name}__")
        stream = text_stream(number, mode, like=first)
        _streams_of_the_setup.append(first)
        setattr(sys, f"__{name}__", stream)
        if getattr(sys, name) in (first, None):
            setattr(sys, name, stream)


def text_stream(descriptor: int, mode: str, *, like: TextIO | None) -> TextIO:
    """Text over bytes over *descriptor*, encoded as *like* is."""
    raw = io.FileIO(descriptor, mode, closefd=False)
    is_unbuffered = mode == "w" and bool(getattr(like, "write_through", False))
    buffer: Any = raw
    if not is_unbuffered:
        make: Callable[[io.FileIO], Any] = io.BufferedReader if mode == "r" else io.BufferedWriter
        buffer = make(raw)
    return io.TextIOWrapper(
        buffer,
        encoding=getattr(like, "encoding", None) or "utf-8",
        errors=getattr(like, "errors", None) or "surrogateescape",
        newline=None if mode == "r" else "\n",
        line_buffering=descriptor == 2 or raw.isatty(),
        write_through=is_unbuffered,
    )
