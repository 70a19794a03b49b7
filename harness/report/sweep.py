"""What a sweep found, as text and as JSON. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from shlex import join

from .._engine.sweep_result import Found, Progress, SweepResult
from .._engine.trial import TrialResult
from ..errors import in_short
from ..failures import FAILURES
from ..fault import ErrnoFault
from ..schedule import FaultAt
from ..subject import TrialPlan
from ..verdict import Verdict
from ..weakness import in_few

LINES_MAX = 10  # of one finding
_WIDTH = 240
_OTHERS_MAX = 5
_CAUSES_MAX = 2
FORMAT = 1


def block(found: Found, plan: TrialPlan, oracles: Sequence[str] = ()) -> list[str]:
    """One finding as a bug report: what broke, the smallest cause, the line that repeats it, which
    names the user's own *oracles*: a recording does not hold them."""
    more = []
    if found.dropped:
        more.append(f"does not matter: {', '.join(map(str, found.dropped))}")
    if found.others:
        more.append(f"and in {len(found.others)} more: {clipped(_others(found.others))}")
    if found.ident is not None:
        more.append(repeat(found.ident, oracles))
    else:
        more.append(f"not recorded: {found.not_recorded}")
        if not plan.workloads:
            faults = " ".join(f"--fault {join([str(at)])}" for at in found.faults)
            more.append(f"repeat: harness run {faults} {_command(plan)}")
    return bug_report(found.verdict, [cause(at) for at in found.faults], more)


def bug_report(verdict: Verdict, causes: Sequence[str], more: Sequence[str]) -> list[str]:
    """The findings of one trial, the first of them in full, at most LINES_MAX lines in all."""
    first, *others = verdict.findings
    lines = [*causes[:_CAUSES_MAX]]
    if len(causes) > _CAUSES_MAX:
        lines.append(f"and {len(causes) - _CAUSES_MAX} more")
    lines += [clipped(first.detail)] if first.detail else []
    lines += [f"also {clipped(other.describe())}" for other in others[:2]]
    lines = [f"FAIL {first.describe()}", *(f"  {line}" for line in [*lines, *more])]
    assert len(lines) <= LINES_MAX
    return lines


def repeat(ident: str, oracles: Sequence[str] = ()) -> str:
    """The line that runs a recorded trial again, judged by the user's *oracles* too."""
    asked = "".join(f" --oracle {join([oracle])}" for oracle in oracles)
    return f"repeat: harness replay{asked} {ident}"


def summary(result: SweepResult) -> str:
    """The last line: what was tried, and what came of it."""
    said = [
        f"points {result.covered}/{result.points}",
        *([f"{result.pruned} pruned"] if result.pruned else []),
        *([f"new points {result.new_covered}/{result.new_points}"] if result.new_points else []),
        counted(result.trials, "trial"),
        *([f"{result.shrinking_trials} more to shrink"] if result.shrinking_trials else []),
        f"{result.fired} fired",
        f"{result.did_not_fire} did not fire",
        counted(len(result.findings), "finding"),
    ]
    if result.inconclusive:
        said.append(f"{len(result.inconclusive)} inconclusive")
    said.append(f"{result.seconds:.1f} s")
    return ", ".join(said)


def unclear(result: SweepResult) -> list[str]:
    """Trials that say nothing: the first of each reason."""
    reasons = Counter(one.reason for one in result.inconclusive)
    first = {one.reason: one.fault for one in reversed(result.inconclusive)}
    return [
        f"INCONCLUSIVE {first[reason]}{f' and {n - 1} more' if n > 1 else ''}: {clipped(reason)}"
        for reason, n in reasons.items()
    ]


def weakened(result: SweepResult) -> list[str]:
    """What could not be held still already in the run without faults."""
    said = in_few(result.golden.outcome.weakened)
    return [clipped(said)] if said else []


def may_differ(golden: TrialResult) -> list[str]:
    """What was not compared with the golden run, or nothing."""
    said = golden.outcome.may_differ.describe()
    return [clipped(f"may differ: {said}")] if said else []


def progress(now: Progress) -> str:
    """Where a sweep is, on one line."""
    rate = now.trials / max(now.seconds, 0.001)
    left_s = (now.trials_all - now.trials) / max(rate, 0.001)
    return (
        f"{now.trials}/{now.trials_all} trials, {rate:.0f}/s,"
        f" points {now.points}/{now.points_all}, {counted(now.findings, 'finding')},"
        f" {left_s:.0f} s left"
    )


def to_json(result: SweepResult, plan: TrialPlan) -> dict[str, object]:
    """The same for programs; of each kind,
    `calls` = `tried` + `pruned` + `not_applicable` + `left_out`."""
    return {
        "format": FORMAT,
        "command": list(plan.command),
        "complete": result.complete,
        "calls": result.calls,
        "points": {"covered": result.covered, "all": result.points},
        "new_points": {"covered": result.new_covered, "all": result.new_points},
        "trials": result.trials,
        "shrinking_trials": result.shrinking_trials,
        "fired": result.fired,
        "did_not_fire": result.did_not_fire,
        "pruned": result.pruned,
        "kinds": [
            {
                "kind": kind.kind,
                "calls": kind.calls,
                "tried": kind.tried,
                "pruned": kind.pruned,
                "not_applicable": kind.not_applicable,
                "left_out": kind.left_out,
                "trials": kind.trials,
            }
            for kind in result.kinds
        ],
        "findings": [
            {
                **found.finding.to_json(),
                "fault": str(found.fault),
                "after": None if found.after is None else str(found.after),
                "does_not_matter": [str(at) for at in found.dropped],
                "others": [str(other) for other in found.others],
                "events": len(found.result.trace.events),
                "recording": found.ident,
                "not_recorded": found.not_recorded,
            }
            for found in result.findings
        ],
        "inconclusive": [
            {"fault": str(one.fault), "reason": one.reason} for one in result.inconclusive
        ],
        "may_differ": result.golden.outcome.may_differ.to_json(),
        "weakened": [one.to_json() for one in result.golden.outcome.weakened],
        "seconds": round(result.seconds, 3),
    }


def cause(at: FaultAt) -> str:
    """A fault in words, with what may have caused it on a real machine."""
    fault = at.fault
    if isinstance(fault, ErrnoFault):
        for failure in FAILURES.get(at.at.call, ()):
            if failure.errno == fault.errno:
                return f"{at.describe()}: {failure.reason}"
    return at.describe()


def _others(others: Sequence[FaultAt]) -> str:
    """The faults by what they are, the most frequent first: at which call which fault how often."""
    kinds = Counter(f"{at.at.role}:{at.at.call}={at.fault}" for at in others)
    said = [f"{kind}{f' {n} times' if n > 1 else ''}" for kind, n in kinds.most_common(_OTHERS_MAX)]
    return ", ".join(said) + (", ..." if len(kinds) > _OTHERS_MAX else "")


def _command(plan: TrialPlan) -> str:
    options = [word for client in plan.clients for word in ("--client", client.describe())]
    return join([*options, "--", *plan.command])


def clipped(text: str) -> str:
    """*text* on one line that is not too long."""
    return in_short(text, _WIDTH)


def counted(n: int, noun: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{n} {noun}{'s' * (n != 1)}"
