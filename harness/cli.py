"""The command line: `harness run`, `replay`, `show`, `doctor`. Parses, asks the engine, prints."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import signal
import stat
import sys
from collections.abc import Sequence
from typing import NoReturn

from ._engine import store
from ._engine.record import record
from ._engine.replay import Replay, replay
from ._engine.runner import Runner, open_standard_descriptors
from ._engine.trial import TrialResult
from .arguments import parser
from .errors import HarnessError, SubjectError, UsageError, printable
from .oracle import judge, status_in_words
from .recording import INPUT_MAX, ClientCommand, Recording
from .schedule import Schedule, parse_fault_at, parse_limit
from .subject import BARE, SERVICE, TrialPlan

_USAGE, _DID_NOT_FIRE, _HARNESS_FAILED, _INTERRUPTED = 2, 3, 125, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    _complete_standard_streams()
    for number in signal.SIGTERM, signal.SIGHUP:
        signal.signal(number, _interrupt)
    try:
        options = parser(_ACTS).parse_args(words)
        return int(options.act(options))
    except KeyboardInterrupt:
        print("harness: interrupted; nothing is left behind", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or the interpreter complains at its exit
        return 128 + signal.SIGPIPE
    except OSError as error:
        print(f"harness: {error}", file=sys.stderr)
        return _HARNESS_FAILED if words[:1] == ["run"] else _USAGE
    except SubjectError as error:
        print(f"harness: {error}", file=sys.stderr)
        return error.status
    except HarnessError as error:
        print(f"harness: {error}", file=sys.stderr)
        return _HARNESS_FAILED if words[:1] == ["run"] else _USAGE


def _complete_standard_streams() -> None:
    """Of a descriptor that is closed Python makes None, and print(file=None) is standard output."""
    open_standard_descriptors()
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _interrupt(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


# ---- run -----------------------------------------------------------------------------------------


def _run(options: argparse.Namespace) -> int:
    plan = _plan(options)
    if options.record and options.write:
        raise UsageError(
            "--record with --write: a replay must not write on this machine; leave one out"
        )
    with Runner() as runner:
        result = runner.run(plan)
    root = plan.roots[0]
    outcome = result.outcome
    if options.record:
        store.write(record(plan, result, judge(root, outcome)), options.record)
    if outcome.report and outcome.end != "exited":
        print(outcome.report, file=sys.stderr)
    if not options.quiet:
        print(f"harness: {_summary(plan, result)}", file=sys.stderr)
    unfired = [i for i, fired in enumerate(outcome.fired) if not fired]
    for index in unfired:
        print(f"harness: {_why_not(plan, result, index)}", file=sys.stderr)
    if not unfired and outcome.end == "exited" and outcome.report and not outcome.status:
        return _HARNESS_FAILED  # the service ended before it was ready: its clients never ran
    return _DID_NOT_FIRE if unfired else outcome.exit_code


def _summary(plan: TrialPlan, result: TrialResult) -> str:
    outcome = result.outcome
    root = plan.roots[0]
    ends = {
        "deadline": f"did not end before its deadline of {plan.deadline_s:g} s",
        "stuck": f"is stuck: nobody can go on until its deadline of {plan.deadline_s:g} s",
        "steps": f"did not end within {plan.step_limit} calls",
    }
    if outcome.end in ends:
        how = ends[outcome.end]
    elif outcome.status is None:
        how = "did not start"
    else:
        how = status_in_words(outcome.status)
    said = [f"{root} {how}"]
    said += [client.describe() for client in outcome.clients]
    if outcome.end == "exited" and outcome.report:
        said.append(outcome.report)
    if outcome.leftovers and outcome.end == "exited":
        said.append(f"left running: {', '.join(outcome.leftovers)}")
    said += [
        f"{at} fired {fired} time{'s' * (fired != 1)}"
        for at, fired in zip(plan.schedule.faults, outcome.fired, strict=True)
        if fired
    ]
    if outcome.not_applied:
        said.append(f"{len(outcome.not_applied)} switches did not apply")
    events = f"{len(result.trace.counted())} events"
    # In free mode the order of events is the machine's affair: a digest would promise too much.
    controlled = plan.schedule.mode == "controlled"
    said.append(f"{events}, digest {result.trace.digest[:12]}" if controlled else events)
    return "; ".join(said)


def _why_not(plan: TrialPlan, result: TrialResult, index: int) -> str:
    at = plan.schedule.faults[index]
    seen = result.outcome.seen[index]
    trigger = at.at
    roles = sorted({event.role for event in result.trace.events if event.role != "-"})
    said = f"{at} did not fire ({trigger.role} made {seen} {trigger.call} call{'s' * (seen != 1)}"
    if seen >= trigger.first:
        return (
            f"{said}, but none was number {trigger.nth} of its role in phase {trigger.phase}, "
            "or another fault came first)"
        )
    if not seen and not any("*" in part for part in trigger.role) and trigger.role not in roles:
        return f"{said}: no such role; there were {', '.join(roles) or 'none'})"
    return f"{said})"


def _plan(options: argparse.Namespace) -> TrialPlan:
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    clients = tuple(_client(text, number) for number, text in enumerate(options.client))
    root = SERVICE if clients else BARE
    schedule = _schedule(options, root)
    stdin: bytes | None = None
    if options.stdin is not None:
        stdin = _read(options.stdin)
    elif options.record:
        stdin = _whole_stdin()
    return TrialPlan(
        command=tuple(command),
        clients=clients,
        cwd=_cwd(),
        home=_home(),
        environment=_environment(options.env),
        stdin=stdin,
        ready=options.ready,
        stop=options.stop,
        deadline_s=options.deadline,
        step_limit=options.steps,
        schedule=schedule,
        policy="default" if options.seed is None else "random",
        bind=tuple(_existing(path) for path in options.bind),
        write=tuple(_existing(path) for path in options.write),
        host_network=options.net == "host",
        pass_output=True,
    )


def _schedule(options: argparse.Namespace, root: str) -> Schedule:
    given = Schedule()
    if options.schedule:
        given = Schedule.loads(_read(options.schedule), options.schedule)
    faults = tuple(parse_fault_at(text, root) for text in options.fault)
    limits = tuple(parse_limit(text, root) for text in options.limit)
    return Schedule(
        mode=options.mode or given.mode,
        seed=given.seed if options.seed is None else options.seed,
        clock_start=given.clock_start,
        faults=given.faults + faults,
        switches=given.switches,
        limits=given.limits + limits,
    )


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


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None


def _existing(path: str) -> str:
    full = os.path.abspath(path)
    if not os.path.exists(full):
        raise UsageError(f"{path}: no such file or directory")
    return full


# ---- replay, show, doctor ------------------------------------------------------------------------


def _replay(options: argparse.Namespace) -> int:
    worst = 0
    for path in store.find(options.name):
        recording = store.load(path)
        if options.exact and recording.schedule.mode == "free":
            raise UsageError(f"{path}: free mode cannot repeat a trace: leave --exact out")
        _announce(str(path), recording)
        replays = list(replay(recording, options.times))
        for one in _distinct(replays):
            count = sum(_key(other) == _key(one) for other in replays)
            times = f" {count}/{len(replays)}" if len(replays) > 1 else ""
            print(f"{one.word}{times}: {printable(one.reason)}")
            if one.divergence:
                print(*map(printable, one.divergence.split("\n")), sep="\n")
            diverged = 3 if options.exact and one.divergence else 0
            worst = max(worst, one.exit_status, diverged)
    return worst


def _announce(path: str, recording: Recording) -> None:
    """What is about to be executed, before it is; it cannot erase itself from a terminal."""
    print(printable(f"{path}: {shlex.join(recording.command)}"))
    for client in recording.clients:
        print(printable(f"    {client.name}: {shlex.join(client.command)}"))
    for at in recording.schedule.faults:
        print(f"    {at}")
    sys.stdout.flush()


def _key(one: Replay) -> tuple[str, str, str]:
    return (one.word, one.reason, one.divergence)


def _distinct(replays: list[Replay]) -> list[Replay]:
    return list({_key(one): one for one in replays}.values())


def _show(options: argparse.Namespace) -> int:
    from .report.text import show

    for path in store.find(options.name):
        print(show(store.load(path), whole=options.all))
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from .doctor import main as examine

    return examine(json=options.json)


_ACTS = {"run": _run, "replay": _replay, "show": _show, "doctor": _doctor}

if __name__ == "__main__":
    raise SystemExit(main())
