"""The command line: `harness run`, `sweep`, `explore`, `shrink`, `replay`, `show`, `doctor`.
Parses, asks, prints."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from ._engine import store
from ._engine.golden import without_a_role
from ._engine.measured import directory_for
from ._engine.record import record
from ._engine.replay import replay
from ._engine.runner import Runner, open_standard_descriptors
from ._engine.trial import TrialResult
from ._supervisor.launch import machine_error
from .arguments import parser
from .calls import signal_number
from .console import OUTPUTS, give_up, on_standard_output, print_lines, say, tell
from .errors import HarnessError, SubjectError, UsageError
from .oracle import is_unready, judge, status_in_words
from .planning import is_root_of_the_machine, oracle_named, plan_to_run
from .report.replay import answers
from .report.text import announcement
from .report.unfired import why_not
from .subject import TrialPlan
from .weakness import in_few

_FAILED, _USAGE, _DID_NOT_FIRE, _HARNESS_FAILED, _KILLED = 1, 2, 3, 125, 128


class _Interrupted(KeyboardInterrupt):
    """A signal told us to end: *number*."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    failed = _HARNESS_FAILED if words[:1] == ["run"] else _USAGE
    try:
        _complete_standard_streams()
        _heed_signals()
        try:
            options = parser(_ACTS).parse_args(words)
            return int(options.act(options))
        finally:
            _flush()
    except KeyboardInterrupt as interrupt:
        say("interrupted; nothing is left behind")
        return _KILLED + getattr(interrupt, "number", signal.SIGINT)
    except BrokenPipeError:
        return _KILLED + signal.SIGPIPE
    except SubjectError as error:
        say(str(error))
        return error.status if failed == _HARNESS_FAILED else failed
    except HarnessError as error:
        say(str(error))
        return failed
    except OSError as error:
        say(str(machine_error("harness cannot go on", error)))
        return failed


def _flush() -> None:
    """Write what is still to be written on standard output, or say why it cannot be."""
    try:
        with on_standard_output():
            sys.stdout.flush()
    except (BrokenPipeError, HarnessError):
        give_up(1)
        raise


def _complete_standard_streams() -> None:
    """Of a descriptor that is closed Python makes None, and print(file=None) is standard output."""
    open_standard_descriptors()
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _heed_signals() -> None:
    for number in signal.SIGTERM, signal.SIGHUP:
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup(1) asks for
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: object) -> NoReturn:
    raise _Interrupted(number)


# ---- run -----------------------------------------------------------------------------------------


def _run(options: argparse.Namespace) -> int:
    plan = plan_to_run(options)
    if options.debug:
        if options.record or options.stdin is not None:
            raise UsageError("--debug: what it reads is typed, so leave --record and --stdin out")
        plan = plan.for_debugger()
    if options.record:
        store.check(options.record)
    if options.record and options.write:
        raise UsageError(
            "--record with --write: a replay must not write on this machine; leave one out"
        )
    if any(at.resource == "NPROC" for at in plan.schedule.limits) and is_root_of_the_machine():
        say(
            "--limit NPROC never holds for root; run as another user, or let clone, clone3 or "
            "vfork fail: --fault 'clone*=EAGAIN'"
        )
    with Runner() as runner:
        result = runner.run(plan)
    root = plan.roots[0]
    outcome = result.outcome
    if options.record:
        store.write(record(plan, result, judge(root, outcome)), options.record)
    if outcome.report and outcome.end != "exited":
        tell(outcome.report)
    if not options.quiet:
        say(_summary(plan, result))
    lost = {fd: n for fd, n in result.not_passed_on.items() if n != errno.EPIPE}
    for fd, number in lost.items():
        say(f"{OUTPUTS[fd]}: {os.strerror(number)}: what the command writes is lost")
    for one in outcome.broken:
        say(one.describe())
    if unmet := without_a_role(plan, result.trace):
        say(unmet)
        return _DID_NOT_FIRE
    unfired = [i for i, fired in enumerate(outcome.fired) if not fired]
    for index in unfired:
        say(why_not(plan, result, index))
    if lost:
        return _HARNESS_FAILED
    if unfired:
        return _DID_NOT_FIRE
    nobody_reads = _KILLED + signal.SIGPIPE if result.not_passed_on else 0
    broken = _FAILED if outcome.broken else 0
    return _exit_status(plan, result) or broken or nobody_reads


def _exit_status(plan: TrialPlan, result: TrialResult) -> int:
    """The command's own; with clients, of service and clients the first that failed."""
    outcome = result.outcome
    if outcome.end != "exited" or not plan.clients:
        return outcome.exit_code
    ends = () if _ended_as_told(plan, result) else (outcome.exit_code,)
    clients = (_shell_status(client.status) for client in outcome.clients)
    failed = [status for status in (*ends, *clients) if status]
    if is_unready(outcome):
        failed.append(_FAILED)  # it exits 0, but its clients never ran
    return failed[0] if failed else 0


def _shell_status(status: int) -> int:
    signal = status & 0x7F
    return _KILLED + signal if signal else status >> 8


def _ended_as_told(plan: TrialPlan, result: TrialResult) -> bool:
    """Whether the service ended by the very signal by which it was told to: died of it, or caught
    it and says so by its exit status, as socat and the JVM do."""
    stop, status = signal_number(plan.stop), result.outcome.status
    return result.outlived_clients and status in (stop, stop | 0x80, (_KILLED + stop) << 8)


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
    if plan.clients and outcome.end == "exited" and _ended_as_told(plan, result):
        how += ", as it was told to"
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
    if outcome.weakened:
        said.append(in_few(outcome.weakened))
    events = f"{len(result.trace.counted())} events"
    # In free mode the order of events is the machine's affair: a digest would promise too much.
    controlled = plan.schedule.mode == "controlled"
    said.append(f"{events}, digest {result.trace.digest[:12]}" if controlled else events)
    return "; ".join(said)


# ---- sweep, explore, shrink, replay, show, doctor ------------------------------------------------


def _sweep(options: argparse.Namespace) -> int:
    from .sweeping import act

    return act(options)


def _explore(options: argparse.Namespace) -> int:
    from .exploring import act

    return act(options)


def _shrink(options: argparse.Namespace) -> int:
    from .shrinking import act

    return act(options)


def _replay(options: argparse.Namespace) -> int:
    worst = 0
    oracles = [oracle_named(text) for text in options.oracle]
    coverage = directory_for(options.coverage) if options.coverage else None
    for path in store.find(options.name):
        recording = store.load(path)
        if options.exact and options.debug:
            raise UsageError("--debug: a debugger makes calls of its own: leave --exact out")
        if options.exact and recording.schedule.mode == "free":
            raise UsageError(f"{path}: free mode cannot repeat a trace: leave --exact out")
        print_lines(announcement(str(path), recording))
        if coverage and not recording.coverage:
            print_lines(["it was recorded without coverage: measuring adds calls to be counted"])
        replays = list(
            replay(
                recording,
                options.times,
                oracles,
                exact=options.exact,
                debug=options.debug,
                coverage=coverage,
            )
        )
        print_lines(answers(replays))
        worst = max(worst, *(one.exit_status for one in replays))
    return worst


def _show(options: argparse.Namespace) -> int:
    from .report.text import show

    for path in store.find(options.name):
        print_lines(show(store.load(path), whole=options.all).split("\n"))
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from .doctor import main as examine

    with on_standard_output():
        return examine(json=options.json)


_ACTS = {
    "run": _run,
    "sweep": _sweep,
    "explore": _explore,
    "shrink": _shrink,
    "replay": _replay,
    "show": _show,
    "doctor": _doctor,
}

if __name__ == "__main__":
    raise SystemExit(main())
