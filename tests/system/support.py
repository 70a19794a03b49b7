"""What the tests of whole trials share: plans, a runner under a watchdog, and the command line.

A trial here runs in /trial, its own empty directory, unless a test says otherwise; so a test writes
nothing on this machine and needs no directory of its own.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from conftest import effort_asked_for
from harness._engine.runner import Runner
from harness._engine.trial import TrialResult
from harness.calls import signal_number
from harness.recording import ClientCommand
from harness.schedule import Schedule, Switch, parse_faults_at, parse_limit
from harness.subject import BARE, SERVICE, TRIAL_DIR, TrialPlan

PROJECT = Path(__file__).resolve().parents[2]
#: No test waits longer for one trial, or for one use of the command line.
PATIENCE_S = 60.0
#: For all the trials of one test: in the full size they are a thousand.
_PATIENCE_OF_A_TEST_S = PATIENCE_S * (30 if effort_asked_for() == "full" else 1)
#: The interpreter itself: a virtual environment may lie where a trial cannot see it.
PYTHON = os.path.realpath(sys.executable)
MODES = ("controlled", "free")

Completed = subprocess.CompletedProcess[str]


def python(code: str) -> tuple[str, ...]:
    """The command that runs *code* in an interpreter that starts fast and reads no settings."""
    return (PYTHON, "-I", "-S", "-c", code)


def shell(script: str) -> tuple[str, ...]:
    """The command that runs *script*."""
    return ("/bin/sh", "-c", script)


def needs(*programs: str) -> None:
    """Skip the test when one of *programs* is not here, naming the package that has it."""
    packages = {"busybox": "busybox-static", "gcc": "gcc libc6-dev"}
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"no {program} here; fix: apt-get install {packages.get(program, program)}")


# Plans


HIDDEN = ("/tmp/", "/var/tmp/", "/dev/shm/", "/run/")


def plan(
    *command: str,
    faults: Sequence[str] = (),
    clients: Mapping[str, Sequence[str]] | None = None,
    env: Mapping[str, str] | None = None,
    mode: str = "controlled",
    seed: int | None = None,
    switches: Sequence[Switch] = (),
    limits: Sequence[str] = (),
    cwd: str = TRIAL_DIR,
    home: str = TRIAL_DIR,
    bind: Sequence[str] = (),
    **more: Any,
) -> TrialPlan:
    """A plan as the command line would make it; *more* goes to `TrialPlan` as it is.

    Programs below /tmp, where compilers and pytest put them, are shown to the trial; and wherever
    else a checkout may lie that a trial's own directories hide.
    """
    root = SERVICE if clients else BARE
    words = [*command, *(word for words in (clients or {}).values() for word in words)]
    hidden = {word for word in words if word.startswith(HIDDEN) and os.path.isfile(word)}
    return TrialPlan(
        command=command,
        clients=tuple(
            ClientCommand(name=f"client/{name}", command=tuple(words))
            for name, words in (clients or {}).items()
        ),
        cwd=cwd,
        home=home,
        environment={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": home, **(env or {})},
        schedule=Schedule(
            mode=mode,  # type: ignore[arg-type]
            seed=seed or 0,
            faults=tuple(one for text in faults for one in parse_faults_at(text, root)),
            switches=tuple(switches),
            limits=tuple(parse_limit(text, root) for text in limits),
        ),
        policy="default" if seed is None else "random",
        bind=(*bind, *sorted(hidden)),
        **more,
    )


def roles(result: TrialResult) -> list[str]:
    """The roles that made a call, in the order in which they appeared."""
    return list(dict.fromkeys(e.role for e in result.trace.events if e.role != "-"))


def calls(result: TrialResult, role: str, call: str) -> list[str]:
    """The events of one call of one role, as lines of the trace."""
    return [e.line() for e in result.trace.events if (e.role, e.call) == (role, call)]


def exit_status(result: TrialResult) -> int:
    """The exit status as a shell gives it."""
    return result.outcome.exit_code


def files(result: TrialResult) -> dict[str, str]:
    """What the trial left in its own directory: name and kind."""
    below = TRIAL_DIR + "/"
    return {
        change.path.removeprefix(below): change.kind
        for change in result.outcome.files
        if change.path.startswith(below)
    }


# The runner


class Watched:
    """One runner for a whole session. A test that outlasts our patience costs that runner its
    life, itself its success, and the next test nothing."""

    def __init__(self) -> None:
        self._runner: Runner | None = None

    def get(self) -> Runner:
        """The runner, started when there is none."""
        if self._runner is None:
            self._runner = Runner()
        return self._runner

    @contextlib.contextmanager
    def guarded(self) -> Iterator[Runner]:
        """The runner for one test."""
        runner = self.get()
        bite = threading.Timer(_PATIENCE_OF_A_TEST_S, os.kill, (runner.pid, signal.SIGKILL))
        bite.daemon = True
        bite.start()
        try:
            yield runner
        finally:
            bite.cancel()
            if os.waitid(os.P_PID, runner.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                self.close()

    def close(self) -> None:
        """End it."""
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.close()


# The command line


def harness(
    *args: str,
    input: str | None = None,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = PATIENCE_S,
    **popen: Any,
) -> Completed:
    """Run the command line to its end, and check that no process of it outlives it.

    *input* None is an empty standard input; *env* is added to a clean environment.
    """
    token = f"harness-test-{uuid.uuid4()}"
    if input is None:
        popen.setdefault("stdin", subprocess.DEVNULL)
    else:
        popen["input"] = input.encode("utf-8", "surrogateescape")
    if "stdout" not in popen and "stderr" not in popen:
        popen["capture_output"] = True
    done = subprocess.run(
        [sys.executable, "-m", "harness", *args],
        cwd=cwd,
        env=clean_environment() | {"HARNESS_TEST_TOKEN": token} | dict(env or {}),
        timeout=timeout,
        check=False,
        **popen,
    )
    assert not processes_with(token), "a process outlived the command line"
    return Completed(done.args, done.returncode, _text(done.stdout), _text(done.stderr))


def _text(data: bytes | None) -> str:
    """Not by subprocess itself, which would make another newline of a carriage return."""
    return (data or b"").decode("utf-8", "surrogateescape")


def clean_environment() -> dict[str, str]:
    """This process's environment without what would steer the harness."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HARNESS_", "PYTEST_", "COV"))}
    return kept | {"PYTHONPATH": str(PROJECT), "LANG": "C.UTF-8"}


def processes_with(token: str) -> list[int]:
    """The processes whose environment holds *token*; zombies have none any more."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdecimal() and int(name) != os.getpid():
            with contextlib.suppress(OSError):
                if token.encode() in Path(f"/proc/{name}/environ").read_bytes():
                    found.append(int(name))
    return found


def one_line(text: str) -> str:
    """What the harness says, which is one line."""
    lines = text.splitlines()
    assert len(lines) == 1, text
    assert lines[0].startswith("harness: "), text
    return lines[0].removeprefix("harness: ")


def digest(done: Completed) -> str:
    """The digest that `run` ends its summary with."""
    found = re.search(r"digest ([0-9a-f]{12})", done.stderr)
    assert found, done.stderr
    return found[1]


def killed_by(name: str) -> int:
    """The exit status of a command that signal *name* killed."""
    return 128 + signal_number(name)
