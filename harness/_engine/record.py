"""From a trial to its recording, and from a recording to the plan that runs it again."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import stat
from dataclasses import replace

from .. import __version__
from .._kernel import view
from ..recording import INPUT_MAX, InputFile, Recording, Versions, to_base64
from ..strict import sha256_of
from ..subject import TrialPlan
from ..trace import Trace
from ..verdict import Outcome, Verdict
from .fingerprints import digest_of, fingerprint_of, program_path
from .trial import TrialResult

_INPUTS_MAX = 100
_OPENS = frozenset({"open", "openat", "openat2", "execve", "execveat"})
_EXECUTES = frozenset({"execve", "execveat"})
#: A file is taken for a program, not for data, when it was executed, or by what it is. Not by its
#: mode: on many a file system all files are executable.
_MAGIC = (b"#!", b"\x7fELF")
#: What the machine has for itself: no data of a trial, unless its command names it.
_SYSTEM = (
    *("/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/proc"),
    *("/sbin", "/sys", "/usr", "/var"),
)
_SOURCES = (".py", ".pl", ".pm", ".sh", ".bash", ".rb", ".js", ".lua", ".php", ".awk", ".tcl")


def record(
    plan: TrialPlan, result: TrialResult, verdict: Verdict, golden: Outcome | None = None
) -> Recording:
    """All that is needed to run the trial again. Reads the input files that the trial opened."""
    return Recording(
        command=plan.command,
        function=plan.function,
        threads=plan.threads,
        coverage=plan.coverage is not None and bool(plan.workloads),
        clients=plan.clients,
        python_path=plan.python_path,
        recovers=plan.recovers,
        invariants=plan.invariants,
        environment=tuple(plan.environment.items()),
        cwd=plan.cwd,
        home=plan.home,
        bind=plan.bind,
        host_network=plan.host_network,
        stdin=to_base64(plan.stdin) if plan.stdin else None,
        ready=plan.ready,
        stop=plan.stop,
        deadline_s=plan.deadline_s,
        step_limit=plan.step_limit,
        schedule=result.schedule,
        expected=result.outcome,
        golden=golden,
        verdict=verdict,
        trace=result.trace,
        digest=result.trace.digest,
        inputs=inputs_of(plan, result.trace),
        versions=Versions(
            faultharness=__version__, python=platform.python_version(), kernel=platform.release()
        ),
        program=program_digest(plan),
        fingerprint=fingerprint_of(plan, result.trace),
    )


def plan_of(recording: Recording) -> TrialPlan:
    """The plan that runs *recording* again.

    Data files are laid into the view where the host's are not as they were. A program is what is
    tested, so the host's is run as it is now; only where the host has none is the recorded one laid
    in.
    """
    return TrialPlan(
        command=recording.command,
        function=recording.function,
        threads=recording.threads,
        coverage="" if recording.coverage else None,
        clients=recording.clients,
        python_path=recording.python_path,
        recovers=recording.recovers,
        invariants=recording.invariants,
        environment=dict(recording.environment),
        cwd=recording.cwd,
        home=recording.home,
        bind=tuple(path for path in recording.bind if os.path.exists(path)),
        host_network=recording.host_network,
        stdin=recording.stdin_data or b"",
        ready=recording.ready,
        stop=recording.stop,
        deadline_s=recording.deadline_s,
        step_limit=recording.step_limit,
        schedule=recording.schedule,
        inputs=tuple(file for file in recording.inputs if not _stands(file)),
        contents=recording.golden is not None and recording.golden.may_differ.needs_contents,
    )


def _stands(file: InputFile) -> bool:
    """Whether the host's file serves."""
    if file.program:
        return os.path.exists(file.path)
    return read_input(file.path) == file


def inputs_of(plan: TrialPlan, trace: Trace) -> tuple[InputFile, ...]:
    """The files that the plan lays into the view, and those of the host, below the working
    directory or named by the command, that the trial opened."""
    named = {os.path.normpath(os.path.join(plan.cwd, word)) for word in plan.command[1:]}
    seen = view.ViewPlan(plan.cwd, plan.home, plan.bind, plan.write)
    found = {file.path: file for file in plan.inputs}
    executed: set[str] = set()
    for event in trace.events:
        if event.call not in _OPENS:
            continue
        for argument in event.args:
            if not argument.startswith('"'):
                continue
            path = os.path.normpath(os.path.join(plan.cwd, json.loads(argument)))
            if event.call in _EXECUTES:
                executed.add(path)
            wanted = path in named or _is_below(path, plan.cwd)
            if path in found or not wanted or view.is_hidden(seen, path):
                continue
            if len(found) < _INPUTS_MAX and (file := read_input(path)) is not None:
                found[path] = file
    return tuple(
        replace(found[path], program=True) if path in executed else found[path]
        for path in sorted(found)
    )


def _is_below(path: str, cwd: str) -> bool:
    cwd = cwd.rstrip("/") + "/"
    of_the_machine = any(path.startswith(f"{top}/") > cwd.startswith(f"{top}/") for top in _SYSTEM)
    return path.startswith(cwd) and not of_the_machine


def read_input(path: str) -> InputFile | None:
    """The host's regular file at *path* as a recording holds it; None when there is none."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # before it is opened: a FIFO would wait
            return None
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            data = file.read(INPUT_MAX + 1)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError):
        return None
    return InputFile(
        path=path,
        mode=stat.S_IMODE(status.st_mode),
        sha256=digest,
        content=to_base64(data) if len(data) <= INPUT_MAX else None,
        program=data.startswith(_MAGIC) or path.endswith(_SOURCES),
    )


def program_digest(plan: TrialPlan) -> str:
    """SHA-256 of the file that the command names first, or that has the function, as this host has
    it; of nothing when there is none."""
    return digest_of(program_path(plan)) or sha256_of(b"")
