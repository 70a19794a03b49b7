"""The prefork interpreter with nothing left out: a launcher, Debian's or ours, is executed, and so
is the interpreter that it starts."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from harness import Client, Subject, listening
from harness.subject import ClientLike
from scenarios.prefork_interpreter.service import READY

PROJECT = Path(__file__).resolve().parents[2]
#: Not that of a virtual environment, which may be where a trial shows nothing.
PYTHON = os.path.realpath(sys.executable)
LAUNCHERS = {
    "C": ("/usr/bin/prefork-interp",),
    "ours": (PYTHON, "-S", "-m", "reference.prefork_interpreter"),
}
_RUN_DIRECTORY = "/run/user/0/prefork-interp"
#: As it is executed: without site, whose thousand calls are not what is tried.
_INTERPRETER = (PYTHON, "-S")
_SCRIPT = """\
import sys
sys.path.insert(0, {project!r})
from reference.prefork_interpreter.library import initialisation_complete
from scenarios.prefork_interpreter.service import script
initialisation_complete(**{options!r})
sys.exit(script(sys.argv[1:]))
"""


def words_of(launcher: str, directory: str, *options: str) -> list[str]:
    """The command line of a launcher, but for the script's arguments."""
    return [*LAUNCHERS[launcher], *options, "-U", *_INTERPRETER, f"{directory}/script.py"]


def environment() -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(PROJECT), "PYTHONDONTWRITEBYTECODE": "1"}


def keep(directory: str, launcher: str, **options: object) -> int:
    """Make the first call of a script with *options*; wait for SIGTERM; end the server."""
    os.makedirs("/run/user/0", exist_ok=True)
    os.chmod("/run/user/0", 0o700)
    # uid 0 of the trial is whoever runs it; the script is to be older than its server.
    given = {"autoreload_modules": False, "log_facility": "", **options}
    text = _SCRIPT.format(project=str(PROJECT), options=given)
    Path(directory, "script.py").write_text(text, encoding="utf-8")
    os.utime(f"{directory}/script.py", (0, 0))
    first = subprocess.run(
        [*words_of(launcher, directory), "exit", "0"],
        env=environment(),
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if first.returncode:
        return first.returncode
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    Path(directory, "ready").unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{directory}/ready")
        listener.listen()
        signal.sigwait([signal.SIGTERM])
    os.unlink(f"{directory}/ready")
    os.unlink(f"{directory}/script.py")
    ended = subprocess.run(words_of(launcher, directory, "--kill"), env=environment(), check=False)
    return ended.returncode


def service(launcher: str, **options: object) -> Subject:
    """The keeper of a server under *launcher*, with *options* of the library. Skips the test where
    there is no such launcher."""
    path = LAUNCHERS[launcher][0]
    if (
        shutil.which(path) is None
        or subprocess.run([path, "--help"], capture_output=True).returncode
    ):
        pytest.skip(f"no {path} here; fix: apt-get install chiark-utils-bin libuv1 libnettle8")
    keeper = Subject.process(
        keep,
        kwargs={"directory": "{dir}", "launcher": launcher, **options},
        ready=listening(READY),
    )
    # The checkout may lie below a directory that a trial has of its own.
    return replace(keeper, bind=(str(PROJECT),))


def calls(
    client: Client,
    launcher: str,
    words: Sequence[str] = ("you",),
    stdin: str = "",
    stdout: str = "hello you\n",
    status: int = 0,
) -> None:
    """Call the script as a shell would, and have its output and its status."""
    with client.invoke(words[0]):
        command = [*words_of(launcher, client.directory), *words]
        with client.spawn(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
        ) as one:
            out, _ = one.communicate(stdin.encode())
        if one.returncode != status:
            client.expect(one.returncode != 0, True)
            client.fail(f"it ended with {one.returncode}")
        client.expect(out, stdout.encode())


def waits_until_idle(client: Client, launcher: str) -> None:
    """Call, and wait for the end of the server, with whom nobody talks; nothing of it is there
    then."""
    with client.invoke("wait"):
        command = [*words_of(launcher, client.directory), "which server"]
        done = subprocess.run(command, env=environment(), capture_output=True, check=True)
        end = os.pidfd_open(int(done.stdout))
        poll = select.poll()
        poll.register(end, select.POLLIN)
        poll.poll()
        os.close(end)
        client.expect(os.listdir(_RUN_DIRECTORY), [])


def everything(launcher: str) -> dict[str, ClientLike]:
    """One caller each."""
    return {
        "hello": partial(calls, launcher=launcher),
        "exit": partial(calls, launcher=launcher, words=["exit", "3"], stdout="", status=3),
        "killed": partial(calls, launcher=launcher, words=["die", "9"], stdout="", status=-9),
        "copy": partial(calls, launcher=launcher, words=["copy"], stdin="a\nb\n", stdout="a\nb\n"),
    }
