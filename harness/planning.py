"""From the arguments of the command line to the plan of a trial. Reads what they name."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import re
import shlex
import stat
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .errors import UsageError, quoted
from .invariant import parse_invariant
from .oracle import Oracle
from .recording import INPUT_MAX, ClientCommand
from .schedule import Schedule, parse_faults_at, parse_limit
from .subject import BARE, SERVICE, TrialPlan

_STDIN_MAX = 64 << 20
_OWN = ("/", "/proc")  # a bind mount there would be one over the trial's own


def plan_to_run(options: argparse.Namespace) -> TrialPlan:
    """The one trial of `run`: what it reads is ours, and so is where its output goes."""
    stdin: bytes | None = None
    if options.stdin is not None:
        stdin = _stdin_file(options.stdin, recorded=bool(options.record))
    elif options.record:
        stdin = _whole_stdin()
    return _plan(
        options,
        schedule=_schedule(options),
        stdin=stdin,
        policy="default" if options.seed is None else "random",
        write=tuple(_shown("--write", path) for path in options.write),
        pass_output=True,
    )


def plan_to_repeat(options: argparse.Namespace) -> TrialPlan:
    """A trial without faults that is run many times: what it reads is read once, and its output is
    for the oracles alone. Where there are clients, one more is served at the end."""
    stdin = _whole_stdin() if options.stdin is None else _stdin_file(options.stdin, recorded=True)
    limits = tuple(parse_limit(text, _root(options)) for text in options.limit)
    plan = _plan(
        options,
        schedule=Schedule(limits=limits),
        stdin=stdin,
        recovers=bool(options.client),
        may_differ=tuple(options.may_differ),
    )
    # A module that cannot be read is compiled, and what was compiled is written: no matter of the
    # subject's.
    return replace(plan, environment={"PYTHONDONTWRITEBYTECODE": "1", **plan.environment})


def _plan(options: argparse.Namespace, **more: Any) -> TrialPlan:
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    return TrialPlan(
        command=tuple(command),
        clients=tuple(_client(text, number) for number, text in enumerate(options.client)),
        cwd=_cwd(),
        home=_home(),
        environment=_environment(options.env),
        ready=options.ready,
        stop=options.stop,
        deadline_s=options.deadline,
        step_limit=options.steps,
        bind=tuple(_shown("--bind", path) for path in options.bind),
        host_network=options.net == "host",
        invariants=tuple(parse_invariant(text) for text in options.invariant),
        **more,
    )


def _root(options: argparse.Namespace) -> str:
    return SERVICE if options.client else BARE


def _schedule(options: argparse.Namespace) -> Schedule:
    given, root = Schedule(), _root(options)
    if options.schedule:
        given = Schedule.loads(_read(options.schedule), options.schedule)
    faults = tuple(one for text in options.fault for one in parse_faults_at(text, root))
    limits = tuple(parse_limit(text, root) for text in options.limit)
    mode = options.mode or given.mode
    if mode == "free" and options.seed is not None:
        raise UsageError("--seed: in free mode nothing is drawn; leave it out, or the mode")
    return Schedule(
        mode=mode,
        seed=given.seed if options.seed is None else options.seed,
        clock_start=given.clock_start,
        faults=given.faults + faults,
        switches=given.switches,
        limits=given.limits + limits,
    )


def is_root_of_the_machine() -> bool:
    """And not only of a container's users: to these the limits of processes apply as to any."""
    if os.geteuid() != 0:
        return False
    inside, outside, _ = _read("/proc/self/uid_map").split()[:3]
    return int(inside) == int(outside) == 0


def _client(text: str, number: int) -> ClientCommand:
    named = re.match(r"([A-Za-z0-9_.][A-Za-z0-9_.-]*)=(.*)", text, re.DOTALL)
    name, command = (named[1], named[2]) if named else (str(number), text)
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"--client {text!r}: {error}") from None
    if not words:
        raise UsageError(f"--client {text!r}: no command")
    return ClientCommand(name=f"client/{name}", command=tuple(words))


def _environment(given: Sequence[str]) -> dict[str, str]:
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "HOME": "{dir}",
        "PYTHONHASHSEED": "0",
    }
    for text in given:
        name, equals, value = text.partition("=")
        if not name:
            raise UsageError(f"--env {text!r}: give K=V, or K for its value here")
        if equals:
            environment[name] = value
        elif name in os.environ:
            environment[name] = os.environ[name]
        else:
            environment.pop(name, None)
    return environment


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError as error:
        raise UsageError(
            f"the working directory is gone: {error.strerror}; cd to another"
        ) from None


def _home() -> str:
    home = os.path.expanduser("~")
    return os.path.realpath(home) if os.path.isabs(home) and os.path.isdir(home) else "/"


def _stdin_file(path: str, *, recorded: bool) -> bytes:
    most = INPUT_MAX if recorded else _STDIN_MAX
    data = _read(path, most + 1)
    if len(data) <= most:
        return data
    if recorded:
        raise UsageError(f"{path} has more than the {INPUT_MAX} bytes that a recording holds")
    raise UsageError(
        f"{path} has more than {_STDIN_MAX >> 20} MiB; without --stdin it is read as it comes: "
        f"< {path}"
    )


def _whole_stdin() -> bytes:
    """What a recorded trial reads: all of our standard input, or nothing from a terminal."""
    try:
        kind = os.fstat(0).st_mode
    except OSError:
        return b""
    if stat.S_ISCHR(kind):
        return b""
    data = sys.stdin.buffer.read(INPUT_MAX + 1)
    if len(data) > INPUT_MAX:
        raise UsageError(
            f"standard input has more than the {INPUT_MAX} bytes that a recording holds; use a file"
        )
    return data


def _read(path: str, size: int = -1) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(size)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None


def _shown(option: str, path: str) -> str:
    full = os.path.abspath(path)
    if os.path.realpath(full) in _OWN:
        raise UsageError(f"{option} {path}: the trial has its own; name what is needed below it")
    if not os.path.exists(full):
        raise UsageError(f"{path}: no such file or directory")
    return full


# ---- Oracles of the user's own -------------------------------------------------------------------


def oracle_named(text: str) -> Oracle:
    """The function that MOD:FN names; MOD is a module, or a file that ends in .py."""
    module_name, colon, name = text.rpartition(":")
    if not (colon and module_name and name):
        raise UsageError(f"--oracle {quoted(text)}: give MODULE:FUNCTION, or FILE.py:FUNCTION")
    try:
        module = _module(module_name)
    except Exception as error:
        raise UsageError(
            f"--oracle {quoted(text)}: cannot be imported: {type(error).__name__}: {error}"
        ) from None
    function = getattr(module, name, None)
    if not callable(function):
        raise UsageError(f"--oracle {quoted(text)}: {module_name} has no function {quoted(name)}")
    oracle: Oracle = function
    return oracle


def _module(name: str) -> Any:
    if not name.endswith(".py"):
        sys.path.insert(0, os.getcwd())
        return importlib.import_module(name)
    spec = importlib.util.spec_from_file_location(os.path.basename(name)[:-3], name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
