"""From the script that sets itself up to the server: what must be so, and the fork."""

from __future__ import annotations

import fcntl
import gc
import os
import socket
import stat
import sys

from reference.prefork_interpreter import reload
from reference.prefork_interpreter.executor import put_handlers_aside
from reference.prefork_interpreter.log import STANDARD_ERROR, Log, printable, write_all
from reference.prefork_interpreter.monitor import FAILED
from reference.prefork_interpreter.names import Identity, Names, identity_of
from reference.prefork_interpreter.options import Options
from reference.prefork_interpreter.protocol import ProtocolError, Setup, parse_setup
from reference.prefork_interpreter.server import Server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn


class SetupError(Exception):
    """No server can be made of this process; its text is one line that says why."""


def become_server(
    value: bytes,
    options: Options,
    extra: Sequence[str] = (),
    *,
    server_type: type[Server] = Server,
    log_type: type[Log] = Log,
) -> None:
    """Make a server of this script, as PREFORK_INTERP, which is *value*, asks for.

    Returns in executors only, once in each. *extra* are more paths to look at.
    """
    name = sys.argv[0] if sys.argv and sys.argv[0] else sys.executable
    flush_streams()
    try:
        setup = parse_setup(value)
    except ProtocolError as error:
        fail(name, f"PREFORK_INTERP cannot be used: {error}")
    try:
        check_descriptors(setup)
        names, identity = names_of(setup.listen)
    except SetupError as error:
        fail(name, f"PREFORK_INTERP cannot be used: {error}")
    try:
        check_that_nothing_runs()
        log = log_type(name=name, facility=options.log_facility)
        log.open()
        # Shared with all forks from now on, and not to be copied for the marks of a collection.
        gc.collect()
        gc.freeze()
        pid = os.fork()
    except (SetupError, OSError) as error:
        # The launcher holds the lock, and waits for our end.
        remove(names, identity)
        fail(name, str(error))
    if pid:
        # Not by an exception: what the script does at its end is for executors to do.
        os._exit(0)
    modules = reload.files_of(sys.modules) if options.autoreload_modules else []
    server_type(
        listener=socket.socket(fileno=setup.listen),
        watch_in=setup.watch_in,
        watch_err=setup.watch_err,
        options=options,
        # Each once: the script is among the modules.
        paths=dict.fromkeys((os.path.abspath(name), *modules, *options.autoreload_extra, *extra)),
        started_ns=setup.started_ns,
        names=names,
        identity=identity,
        log=log,
        handlers=put_handlers_aside(),
    ).run(socket.socket(fileno=setup.call))


def fail(name: str, why: str) -> NoReturn:
    """Say *why* on standard error, and end with status 127."""
    write_all(STANDARD_ERROR, printable(f"{name}: prefork: {why}") + "\n")
    os._exit(FAILED)


def flush_streams() -> None:
    """Write what was printed so far: every fork would write it again."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):  # there is none, or it was closed
            pass


def check_descriptors(setup: Setup) -> None:
    """Put the descriptors of *setup* in order. SetupError when they are not what they must be."""
    for what, number in (("listening", setup.listen), ("call", setup.call)):
        if not stat.S_ISSOCK(mode_of(number)):
            raise SetupError(f"its {what} descriptor {number} is not a socket")
    for number in (setup.watch_in, setup.watch_err):
        mode_of(number)
    # Whoever has it the other way round is not refused for it.
    if (fcntl.fcntl(setup.watch_err, fcntl.F_GETFL) & os.O_ACCMODE) == os.O_WRONLY:
        setup.watch_in, setup.watch_err = setup.watch_err, setup.watch_in
    for number, blocks in ((setup.listen, False), (setup.call, True), (setup.watch_err, False)):
        os.set_blocking(number, blocks)
    for number in setup.descriptors:
        os.set_inheritable(number, False)


def mode_of(number: int) -> int:
    """The mode of the file behind the descriptor *number*. SetupError when there is none."""
    try:
        return os.fstat(number).st_mode
    except OSError as error:
        raise SetupError(f"its descriptor {number}: {error.strerror}") from None


def names_of(listen: int) -> tuple[Names, Identity | None]:
    """The names of the server that listens on *listen*, and which socket is its."""
    with socket.socket(fileno=os.dup(listen)) as listener:
        if listener.family != socket.AF_UNIX:
            raise SetupError(f"its listening descriptor {listen} is of another family")
        path = listener.getsockname()
    path = os.fsdecode(path) if isinstance(path, bytes) else path
    return Names.of_socket(path), identity_of(path) if path.startswith("/") else None


def remove(names: Names, identity: Identity | None) -> None:
    """Remove what the launcher has made for a server that there will not be."""
    try:
        if identity is not None and identity_of(names.socket) == identity:
            names.remove()
    except OSError:
        pass  # the next launcher finds that nobody listens there


def check_that_nothing_runs() -> None:
    """SetupError when something runs that a fork would not take with it."""
    # Also those that were started without the module threading.
    others = len(sys._current_frames()) - 1
    if others:
        import threading

        own = threading.current_thread()
        names = ", ".join(one.name for one in threading.enumerate() if one is not own)
        raise SetupError(f"{others} threads run, which a fork would not have: {names or 'unnamed'}")
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None and asyncio._get_running_loop():
        raise SetupError("an event loop runs, which every executor would share: call it before")
