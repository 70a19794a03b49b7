"""The watcher: it ends when the server's socket is no more, and with the server.

The server sees its end, and what it says, on a pipe. It is told of changes in the directory by
dnotify (fcntl(2), F_NOTIFY): Python has no inotify. Where there is none, it looks every second.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal

from reference.prefork_interpreter.log import STANDARD_ERROR, write_all
from reference.prefork_interpreter.names import Identity, close_descriptor, identity_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_CHANGES = fcntl.DN_CREATE | fcntl.DN_DELETE | fcntl.DN_RENAME | fcntl.DN_MULTISHOT
_LOOK_MS = 1000
_DESCRIPTORS_MAX = 1 << 20


def start(path: str, identity: Identity) -> tuple[int, int]:
    """Start the watcher of the socket at *path*, a daemon.

    The write end of its standard input and the read end of its standard error. OSError when it
    cannot be started; then there is none.
    """
    ends, watch_in = os.pipe()
    try:
        watch_err, says = os.pipe()
    except OSError:
        for descriptor in (ends, watch_in):
            close_descriptor(descriptor)
        raise
    try:
        pid = os.fork()
        if pid == 0:
            become_watcher(path, identity, ends, says)
        if os.waitpid(pid, 0)[1]:
            raise OSError("its watcher could not be started")
    except OSError:
        for descriptor in (watch_in, watch_err):
            close_descriptor(descriptor)
        raise
    finally:
        for descriptor in (ends, says):
            close_descriptor(descriptor)
    return watch_in, watch_err


def become_watcher(path: str, identity: Identity, ends: int, says: int) -> NoReturn:
    """Leave the launcher, and watch. Never returns, whatever happens."""
    status = 1
    try:
        if os.fork() == 0:
            os.setsid()
            for number, descriptor in ((0, ends), (1, says), (2, says)):
                os.dup2(descriptor, number)
            # All else is the launcher's, or its caller's.
            os.closerange(3, _DESCRIPTORS_MAX)
            watch(path, identity)
        status = 0
    except OSError as error:
        # To the server, which logs it; or to the caller, as long as there is none.
        write_all(STANDARD_ERROR, f"cannot watch {path}: {error}\n")
    finally:
        os._exit(status)


def watch(path: str, identity: Identity) -> None:
    """Return when what is at *path* is not *identity* any more, or standard input is at its end."""
    changed, told = os.pipe()
    for descriptor in (changed, told):
        os.set_blocking(descriptor, False)
    signal.signal(signal.SIGIO, lambda number, frame: None)
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    timeout_ms = None
    try:
        fcntl.fcntl(directory, fcntl.F_NOTIFY, _CHANGES)
    except OSError:
        timeout_ms = _LOOK_MS
    poll = select.poll()
    poll.register(0, select.POLLIN)
    poll.register(changed, select.POLLIN)
    while identity_of(path) == identity:
        if any(descriptor == 0 for descriptor, _ in poll.poll(timeout_ms)):
            return
        try:
            os.read(changed, 4096)
        except BlockingIOError:
            pass
