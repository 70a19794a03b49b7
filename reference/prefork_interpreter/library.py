"""What a script calls.

from reference.prefork_interpreter.library import initialisation_complete

...                         # imports, tables: once
initialisation_complete()
...                         # from here on: for each call, in a process of its own
"""

from __future__ import annotations

import atexit
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

#: The exit status when what was printed could not be written, as Python's own.
_UNWRITTEN = 120

_also_check: list[str] = []


def autoreload_also_check(*paths: str) -> None:
    """Take the program for changed when one of *paths* is newer than its start. One that is missing
    is not."""
    _also_check.extend(os.path.abspath(path) for path in paths)


def initialisation_complete(
    *,
    max_servers: int = 4,
    idle_timeout: float = 1_000_000.0,
    autoreload_modules: bool = True,
    autoreload_extra: Sequence[str] = (),
    max_errors: int = 100,
    log_facility: str = "user",
    call_timeout: float = 30.0,
) -> None:
    """The script is set up: return once for each call, each time in a process of its own.

    Without PREFORK_INTERP in the environment it returns at once, in this process.

    *max_servers*: calls at once, negative for no limit; the others wait. *idle_timeout*: end when
    nobody has called for so many seconds, negative for never. *autoreload_modules*: the files of
    modules that are loaded now are looked at before each call, as the script is, and the paths
    *autoreload_extra*; when one has changed, the script is started again. *max_errors*: in a row,
    of accepting calls. *log_facility*: of syslog(3), or empty. *call_timeout*: how many seconds a
    caller may take to say what it wants.

    Before it standard input is /dev/null, and standard output is standard error. In each call 0, 1
    and 2 are the caller's descriptors, sys.argv and os.environ the caller's, SIGINT ends it, and
    its exit status is the caller's. Signal handlers, descriptors, limits and the working directory
    are what they were when this was called. Threads and a running event loop would not be: then a
    line on standard error says so, and the exit status is 127.

    ValueError or TypeError for what cannot be asked for, run plainly as well.
    """
    # Here, so that a script that is run plainly does not wait for modules that it needs not.
    from reference.prefork_interpreter.options import Options

    options = Options(
        max_servers=max_servers,
        idle_timeout_s=idle_timeout,
        autoreload_modules=autoreload_modules,
        autoreload_extra=autoreload_extra,
        max_errors=max_errors,
        log_facility=log_facility,
        call_timeout_s=call_timeout,
    )
    value = os.environb.get(b"PREFORK_INTERP")
    if value is not None:
        from reference.prefork_interpreter.setup import become_server

        become_server(value, options, tuple(_also_check))


def leave(status: int = 0) -> NoReturn:
    """End the call, or the plain run, with *status* (0 to 255), and leave Python as it is.

    As at any end, threads are waited for, exit handlers run, and what was printed is written. But
    modules are not taken apart: in a fork that copies every page of memory that the setup has
    filled, and takes longer than all else of a short call. So close your files before: one that is
    still open is not flushed, and no `__del__` is called.
    """
    # As multiprocessing ends its forks.
    threading = sys.modules.get("threading")
    if threading is not None:
        threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream is None or getattr(stream, "closed", False):
            continue
        try:
            stream.flush()
        except Exception as error:
            from reference.prefork_interpreter.log import STANDARD_ERROR, printable, write_all

            why = f"{sys.argv[0]}: prefork: what was printed is lost: {error}"
            write_all(STANDARD_ERROR, printable(why) + "\n")
            status = _UNWRITTEN
    os._exit(status)
