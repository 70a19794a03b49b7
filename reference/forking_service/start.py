"""What a process does before it becomes the service: its descriptors, modules and signals."""

from __future__ import annotations

import errno
import importlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence

from reference.forking_service import commands
from reference.forking_service.commands import Command
from reference.forking_service.listener import StartError
from reference.forking_service.log import Log, write_all


def prepare(
    preload: Sequence[str], modules: Sequence[str], log_file: str | None, entry_points: bool
) -> tuple[Log, Mapping[str, Command]]:
    """The log and the commands of a service. StartError or OSError when it cannot have them."""
    hold_standard_descriptors()
    try:
        log = Log(log_file)
    except OSError as error:
        raise StartError(f"cannot write the log file {log_file}: {error.strerror}") from None
    if preload:
        write_all(2, f"Preloading {len(preload)} modules\n")
        preload_modules(preload, log.line)
    found = dict(commands.SHIPPED)
    if entry_points:
        found |= commands.installed(log.line)
    for module in modules:
        try:
            found |= commands.load(module)
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise StartError(f"cannot load commands from {module}: {reason}") from None
    return log, found


def hold_standard_descriptors() -> None:
    """Open /dev/null as 0, 1 and 2 where there is none: a child makes its own streams of these."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError as error:
            if error.errno == errno.EBADF:
                # The lowest free number, so it is this one.
                os.open(os.devnull, os.O_RDWR)


def preload_modules(names: Sequence[str], log: Callable[[str], None]) -> None:
    """Import each; one that fails is logged, whatever it raises, and the service goes on."""
    for name in names:
        try:
            importlib.import_module(name)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            log(f"cannot preload {name}: {type(error).__name__}: {error}")


def install_handlers(stop: Callable[[bool], None]) -> None:
    """Let SIGTERM and SIGINT call *stop*: the first with False, further ones with True, for now."""
    seen: list[int] = []

    def told_to_stop(number: int, frame: object) -> None:
        seen.append(number)
        stop(len(seen) > 1)

    signal.signal(signal.SIGTERM, told_to_stop)
    signal.signal(signal.SIGINT, told_to_stop)
    # Where it is ignored, the kernel reaps the children, and what they ended with is lost.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def say_listening(path: str) -> None:
    """Say on standard error that clients may come to the socket at *path*."""
    write_all(2, f"Listening on socket: {path}\n")
