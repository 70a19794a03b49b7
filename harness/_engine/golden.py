"""The golden run: what must hold of the run in which nothing goes wrong, before others are judged
by it. Each thing that does not is an error that says what to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from ..calls import CALLS, matching
from ..errors import HarnessError, RunnerError, UsageError, in_short
from ..fault import HoldFault
from ..handlers import Handlers
from ..oracle import Oracle, judged_by
from ..recording import ClientFunction
from ..schedule import NTH_MAX, RESTARTED, FaultAt, Trigger, role_matches
from ..subject import TrialPlan
from ..trace import NO_ROLE, Event, Trace
from ..verdict import Outcome
from ..weakness import in_few
from .pool import Pool
from .trial import TrialResult
from .variants import golden_of, variants_of

_DETAIL_MAX = 300  # characters
_MARKS = frozenset({"phase"})
_OTHERS = 16  # orders that are tried where the ordinary one fails
#: Says of no call that it fails: what it names is seen, that is all.
_NEVER = HoldFault()
_ENDS_SOON = frozenset({"exited", "stuck"})


def without_a_role(plan: TrialPlan, trace: Trace) -> str:
    """Which invariant of *plan* means nobody in *trace*, and whom it could mean; empty: none."""
    roles = {event.role for event in trace.events if event.role != NO_ROLE}
    for one in plan.invariants:
        if not any(role_matches(one.role, role) for role in {*roles, *plan.roots}):
            return f"invariant {one}: no such role; there were {', '.join(sorted(roles))}"
    return ""


def seen_whole(plan: TrialPlan, roles: str = "**", calls: str = "*") -> TrialPlan:
    """*plan* in which the handlers of signals are seen, and those of *calls* of *roles* that only
    the caller itself is concerned by, as mmap: such a call is seen only where a fault names it."""
    watched = [("**", "rt_sigaction")]
    if not all(CALLS[name].trapped for name in matching(calls)):
        watched.append((roles, calls))
    faults = tuple(
        FaultAt(at=Trigger(role=role, call=call, first=NTH_MAX, last=NTH_MAX), fault=_NEVER)
        for role, call in watched
    )
    return replace(plan, schedule=replace(plan.schedule, faults=(*plan.schedule.faults, *faults)))


def handlers_of(plan: TrialPlan) -> Handlers:
    """To be told a run of seen_whole(*plan*)."""
    functions = [client.name for client in plan.clients if isinstance(client, ClientFunction)]
    return Handlers([*functions, *(plan.roots[:1] if plan.function is not None else ())])


def check_passes(plan: TrialPlan, first: TrialResult, oracles: Sequence[Oracle] = ()) -> None:
    """Raise `HarnessError` unless *first*, the run of *plan* without faults, is judged to pass."""
    verdict = judged_by(oracles, plan.roots[0], first.outcome)
    if verdict.status == "PASS":
        if unmet := without_a_role(plan, first.trace):
            raise UsageError(unmet)
        return
    detail = _shown(verdict.findings[0].detail) if verdict.findings else ""
    raise HarnessError(
        f"without any fault it fails already: {verdict.describe()}{detail}{_hint(plan, first)}"
    )


def check_repeats(
    plan: TrialPlan, first: TrialResult, second: TrialResult, oracles: Sequence[Oracle] = ()
) -> None:
    """Raise `HarnessError` that names the event, or what came out, that differs, unless *second*,
    another run of *plan*, went the same way as *first*; `UsageError` for a pattern of *plan* that
    matches nothing that came out."""
    if second.outcome.end != first.outcome.end:
        alone = judged_by(oracles, plan.roots[0], second.outcome)
        longer = "; is the machine busy? see --deadline" * (second.outcome.end == "deadline")
        raise HarnessError(
            f"of two runs without any fault one passes, the other not: {alone.describe()}{longer}"
        )
    if plan.schedule.mode == "controlled" and (differs := _first_difference(first, second)):
        raise HarnessError(
            f"two runs without any fault are not the same: {differs}{_weakened(first, second)}"
        )
    norm = golden_of(plan, [first]).outcome
    again = judged_by(oracles, plan.roots[0], second.outcome, norm)
    if again.status != "PASS":
        finding = again.findings[0] if again.findings else None
        what = finding.describe() if finding else again.reason
        raise HarnessError(
            "two runs without any fault do not give the same: "
            f"{what}{_shown(finding.detail if finding else '')}{_weakened(first, second)}"
        )


def golden_in(
    pool: Pool,
    plan: TrialPlan,
    oracles: Sequence[Oracle] = (),
    until: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    *,
    any_order: bool = False,
) -> TrialResult:
    """The run of *plan* in which nothing goes wrong, run twice in *pool*: it passes, and goes the
    same way twice; and then in variants, for what may differ from it. In *any_order*: where the
    ordinary order of events fails, the first of some others that does not, for then it is the
    ordinary one that breaks something. Raises `HarnessError` when it does not pass, cannot run, or
    has not ended when it is *until* by *clock*."""
    plan = replace(plan, contents=True)
    first, second = _run(pool, [plan, plan], until, clock)
    try:
        check_passes(plan, first, oracles)
    except UsageError:
        raise
    except HarnessError:
        others = _others(plan, first) if any_order else []
        for result in _run(pool, others, until, clock):
            if judged_by(oracles, plan.roots[0], result.outcome).status == "PASS":
                schedule = replace(plan.schedule, switches=result.schedule.switches)
                return golden_in(pool, replace(plan, schedule=schedule), oracles, until, clock)
        raise
    check_repeats(plan, first, second, oracles)
    return golden_of(plan, [first, *_run(pool, variants_of(plan), until, clock)])


def _others(plan: TrialPlan, first: TrialResult) -> list[TrialPlan]:
    """Other orders than that of *first*, if there are any and it did not take all of its time."""
    if not first.decisions or first.outcome.end not in _ENDS_SOON:
        return []
    return [
        replace(plan, policy="pct", policy_seed=seed, length=len(first.decisions))
        for seed in range(_OTHERS)
    ]


def _run(
    pool: Pool, plans: Sequence[TrialPlan], until: float | None, clock: Callable[[], float]
) -> list[TrialResult]:
    """What the plans gave, in their order. Of faults it does not tell: those that only make a call
    seen never fire."""
    runs = []
    answers = pool.run(enumerate(plans), until, clock)
    for _, answer in sorted(answers, key=lambda each: each[0]):
        if isinstance(answer, RunnerError) and until is not None and clock() >= until:
            raise HarnessError(
                "the budget was over before the program had run without any fault; give it more"
            ) from None
        if isinstance(answer, HarnessError):
            raise answer
        runs.append(replace(answer, outcome=replace(answer.outcome, fired=(), seen=())))
    return runs


# ---- What fails ----------------------------------------------------------------------------------


def _shown(detail: str) -> str:
    return f" ({in_short(detail, _DETAIL_MAX)})" if detail else ""


def _weakened(*runs: TrialResult) -> str:
    """What may be the reason."""
    said = next(filter(None, (in_few(run.outcome.weakened) for run in runs)), "")
    return f"; {said}" if said else ""


def _hint(plan: TrialPlan, run: TrialResult) -> str:
    """What often is the reason that a service does not serve, and nothing else."""
    outcome = run.outcome
    if outcome.end in ("deadline", "stuck", "steps") and plan.ready and not _has_worked(run):
        return f"; it is not ready until it listens on {plan.ready}, and that it has never done"
    if not _has_ended_early(outcome):
        return ""
    if outcome.status == 0 and _has_children(run):
        return (
            "; its children may go on, but a service is the process that is started: let it stay "
            "in the foreground, and end last"
        )
    when = "" if _has_worked(run) else "; it was not ready yet"
    return when + ("" if outcome.stderr.size else "; it says nothing on standard error")


def _has_worked(run: TrialResult) -> bool:
    return any(event.call == "phase" and event.args[0] == "work" for event in run.trace.events)


def _has_ended_early(outcome: Outcome) -> bool:
    """Whether the service had ended before it was told to."""
    return any(client.role == RESTARTED for client in outcome.clients) or bool(outcome.report)


def _has_children(run: TrialResult) -> bool:
    return any(event.role.startswith("service/") for event in run.trace.events)


# ---- What differs --------------------------------------------------------------------------------


def _first_difference(one: TrialResult, other: TrialResult) -> str:
    """Where two runs part, in words, or nothing: by who calls what, for so faults are addressed.

    A random name of a temporary file moves no fault point."""
    ours, theirs = (
        [event for event in run.trace.counted() if event.call in _MARKS or event.role != "-"]
        for run in (one, other)
    )
    for number, (a, b) in enumerate(zip(ours, theirs, strict=False), 1):
        if _address(a) != _address(b):
            return f"event {number} is {a.describe()} in one, {b.describe()} in the other"
    if len(ours) == len(theirs):
        return ""
    longer = max(ours, theirs, key=len)
    number = min(len(ours), len(theirs)) + 1
    return f"event {number} is {longer[number - 1].describe()} in one, and the other has ended"


def _address(event: Event) -> tuple[str, str, int]:
    return event.role, event.call, event.nth
