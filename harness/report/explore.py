"""What an exploration found, as text and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from .._engine.explore import Discovery, ExploreProgress, ExploreResult
from ..subject import TrialPlan
from ..weakness import in_few
from .shrink import causes, entries, told
from .sweep import bug_report, clipped, counted, repeat

FORMAT = 1


def block(found: Discovery, oracles: Sequence[str] = ()) -> list[str]:
    """One finding as a bug report: what broke, the smallest cause, the line that repeats it."""
    if found.shrunk is not None:
        how = told(found.shrunk, found.before)
    elif found.flaky:
        how = f"FLAKY: the same schedule ({entries(found.before)}) did not show it again"
    else:
        how = f"not shrunk: {entries(found.before)}"
    more = [f"in {counted(found.trials, 'trial')}, first in trial {found.first}; {how}"]
    if found.ident is not None:
        more.append(repeat(found.ident, oracles))
    else:
        more.append(f"not recorded: {found.not_recorded}")
    return bug_report(found.verdict, causes(found.result.schedule, found.result.trace), more)


def summary(result: ExploreResult) -> str:
    """The last line: what was tried, and what came of it."""
    said = [
        counted(result.trials, "trial"),
        f"{counted(result.interleavings, 'distinct interleaving')}",
        counted(len(result.findings), "finding"),
    ]
    if result.shrinking_trials:
        said.insert(1, f"{result.shrinking_trials} more to shrink")
    if result.inconclusive:
        said.append(f"{sum(count for _, count in result.inconclusive)} inconclusive")
    if result.claim:
        said.append(f"complete: {result.claim}")
    said.append(f"{result.seconds:.1f} s")
    return ", ".join(said)


def unclear(result: ExploreResult) -> list[str]:
    """What says nothing: trials, by the reason, faults that were never met, and what in the golden
    run was not held still."""
    lines = [
        f"INCONCLUSIVE in {counted(count, 'trial')}: {clipped(reason)}"
        for reason, count in result.inconclusive
    ]
    lines += [f"INCONCLUSIVE {at} did not fire in any trial" for at in result.unfired]
    said = in_few(result.golden.outcome.weakened)
    return [*lines, f"the golden run is {said}"] if said else lines


def progress(now: ExploreProgress) -> str:
    """Where it is, on one line."""
    rate = now.trials / max(now.seconds, 0.001)
    of = "" if now.trials_max is None else f"/{now.trials_max}"
    left = [] if now.seconds_max is None else [max(0.0, now.seconds_max - now.seconds)]
    left += [] if now.trials_max is None else [(now.trials_max - now.trials) / max(rate, 0.001)]
    return (
        f"{now.trials}{of} trials, {rate:.0f}/s, {now.interleavings} interleavings,"
        f" {counted(now.findings, 'finding')}, {min(left):.0f} s left"
    )


def to_json(result: ExploreResult, plan: TrialPlan) -> dict[str, object]:
    """The same for programs."""
    return {
        "format": FORMAT,
        "command": list(plan.command),
        "strategy": result.strategy,
        "trials": result.trials,
        "shrinking_trials": result.shrinking_trials,
        "interleavings": result.interleavings,
        "grams": result.grams,
        "complete": result.claim,
        "findings": [
            {
                **found.finding.to_json(),
                "first": found.first,
                "trials": found.trials,
                "flaky": found.flaky,
                "shrunk": found.shrunk is not None and found.shrunk.complete,
                "faults": [str(at) for at in found.result.schedule.faults],
                "switches": [switch.describe() for switch in found.result.schedule.switches],
                "does_not_matter": [str(at) for at in found.shrunk.dropped] if found.shrunk else [],
                "events": len(found.result.trace.events),
                "recording": found.ident,
                "not_recorded": found.not_recorded,
            }
            for found in result.findings
        ],
        "inconclusive": [
            {"reason": reason, "trials": count} for reason, count in result.inconclusive
        ],
        "did_not_fire": [str(at) for at in result.unfired],
        "may_differ": result.golden.outcome.may_differ.to_json(),
        "weakened": [one.to_json() for one in result.golden.outcome.weakened],
        "seconds": round(result.seconds, 3),
    }
