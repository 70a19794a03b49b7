"""The prefork interpreter as a subject: a keeper that makes the first call, and at the end has the
server ended. All that it starts is `service/**`; a client that finds no server starts one itself.

The launcher and the library are the shipped ones, but for one thing: where the launcher would
execute an interpreter, it goes on in this module. That takes milliseconds off each trial, and a
thousand calls of an interpreter's start out of each sweep.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import sys
from collections.abc import Sequence
from typing import NoReturn

from harness import Subject, listening
from reference.prefork_interpreter.arguments import FRESH, NORMAL
from reference.prefork_interpreter.launcher import (
    Launcher,
    LauncherError,
    SetupFailed,
    arrange_descriptors,
    end_server,
)
from reference.prefork_interpreter.log import Log
from reference.prefork_interpreter.names import Names
from reference.prefork_interpreter.options import Options
from reference.prefork_interpreter.protocol import VARIABLE, Setup, encode_setup
from reference.prefork_interpreter.server import Server
from reference.prefork_interpreter.setup import become_server

DIRECTORY = "{dir}"
READY = "{dir}/ready"
#: A link to the server that served first, by the pid of its session's leader.
FIRST = "/trial/first"
LOG = "/trial/server.log"


class Inside(Launcher):
    """The launcher, with the script below in place of one that is executed.

    *options* are those of the library. *server_type* and *log_type* are for variants of it.
    """

    options: dict[str, object] = {}  # noqa: RUF012  # set once, before anything is started
    server_type: type[Server] = Server
    log_type: type[Log] = Log

    def become_script(self, setup: Setup) -> NoReturn:
        status = 127
        try:
            arrange_descriptors(setup)
            value = encode_setup(setup)
            os.environb.clear()
            os.environb[VARIABLE] = value
            sys.argv = ["script"]
            given = {"autoreload_modules": False, "log_facility": "", **self.options}
            become_server(
                value,
                Options(**given),  # type: ignore[arg-type]  # checked when they are made
                server_type=self.server_type,
                log_type=self.log_type,
            )
            status = script(sys.argv[1:])
            # As an interpreter does on its way out.
            atexit._run_exitfuncs()
        finally:
            os._exit(status)


class FileLog(Log):
    """Its lines go to a file of the trial, which is left, and so a finding."""

    def line(self, level: int, text: str) -> None:
        with open(LOG, "a", encoding="utf-8") as file:
            file.write(f"{text}\n")

    def information(self, text: str) -> None:
        """A server that ends has done nothing wrong."""


def script(words: Sequence[str]) -> int:
    """What is served; the exit status."""
    match words:
        case ["exit", status]:
            return int(status)
        case ["die", number]:
            os.kill(os.getpid(), int(number))
        case ["sees"]:
            told = [others(), *sorted(os.environ), str(os.getpgrp() != os.getpid())]
            say("\n".join(told) + "\n")
        case ["copy"]:
            while data := os.read(0, 4096):
                say(data.decode())
        case ["waits"]:
            say("waits\n")
            os.read(0, 1)
            say("heard\n")
        case ["which server"]:
            say(f"{os.getsid(0)}\n")
        case ["one server"]:
            own = str(os.getsid(0))
            try:
                os.symlink(own, FIRST)
            except FileExistsError:
                pass
            return int(os.readlink(FIRST) != own)
        case _:
            say(f"hello {' '.join(words)}\n")
    return 0


def others() -> str:
    """What is open besides the standard streams, if it leads to anybody."""
    found = []
    for number in range(3, 64):
        try:
            link = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if link.startswith(("socket:", "pipe:", "anon_inode:[pidfd]")):
            found.append(f"{number} {link.partition(':')[0]}")
    return ", ".join(found) or "nothing"


def say(text: str) -> None:
    """All of *text* on standard output."""
    data = text.encode()
    while data:
        data = data[os.write(1, data) :]


def launcher(
    directory: str,
    words: Sequence[str],
    *,
    descriptors: Sequence[int] = (0, 1, 2),
    is_fresh: bool = False,
    variables: Sequence[str] = ("A=b",),
    kind: type[Launcher] = Inside,
) -> Launcher:
    """The launcher of one call."""
    return kind(
        mode=FRESH if is_fresh else NORMAL,
        command=[b"python3", b"script", *(os.fsencode(word) for word in words)],
        names=Names.of(directory, "x"),
        variables=[os.fsencode(variable) for variable in variables],
        descriptors=descriptors,
    )


def first_call(directory: str, words: Sequence[str], kind: type[Launcher]) -> int:
    """The wait status of a call of the keeper's; with a line when it is not 0."""
    try:
        status = launcher(directory, words, kind=kind).run()
    except (LauncherError, SetupFailed) as error:
        print(f"no server: {error}", file=sys.stderr)
        return 1
    if status:
        print(f"the first call ended with {status}", file=sys.stderr)
    return status


def first_calls_at_once(directory: str, kind: type[Launcher]) -> int:
    """Two calls, each by a process of its own; 0 when both were served, by one server."""
    pids = []
    for _ in range(2):
        pid = os.fork()
        if pid == 0:
            os._exit(first_call(directory, ["one server"], kind) != 0)
        pids.append(pid)
    return sum(os.waitpid(pid, 0)[1] for pid in pids)


def keep(
    directory: str, kind: type[Launcher] = Inside, *, first_calls: int = 1, **options: object
) -> int:
    """Make the first calls (0, 1, or 2 at once); wait for SIGTERM; end the server. 1 when a call
    fails."""
    Inside.options = options
    names = Names.of(directory, "x")
    if first_calls == 1 and first_call(directory, ["exit", "0"], kind):
        return 1
    if first_calls == 2 and first_calls_at_once(directory, kind):
        return 1
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    ready = os.path.join(directory, "ready")
    if os.path.lexists(ready):
        os.unlink(ready)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(ready)
        listener.listen()
        signal.sigwait([signal.SIGTERM])
        end_server(names)
        for path in (ready, FIRST):
            if os.path.lexists(path):
                os.unlink(path)
    return 0


class Logged(Inside):
    """With a log that is read."""

    log_type = FileLog


def keep_logged(directory: str) -> int:
    """As `keep`, with a log that is read."""
    return keep(directory, kind=Logged)


def service(**options: object) -> Subject:
    """The keeper of a server with *options*."""
    return Subject.process(keep, kwargs={"directory": DIRECTORY, **options}, ready=listening(READY))


SERVICE = service()
#: One call at once, so that whoever is stuck is in everybody's way.
NARROW = service(max_servers=1)
#: The first of the clients starts the server.
COLD = service(first_calls=0)
#: What is wrong is left in a file.
LOGGED = Subject.process(keep_logged, kwargs={"directory": DIRECTORY}, ready=listening(READY))
