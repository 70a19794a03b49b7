"""Why a fault did not fire: what its role called instead, and who made its call. Pure."""

from __future__ import annotations

import json

from .._engine.trial import TrialResult
from ..schedule import FaultAt, role_matches
from ..subject import TrialPlan
from ..trace import NO_ROLE

_FORKS = {"fork", "vfork", "clone", "clone3"}


def why_not(plan: TrialPlan, result: TrialResult, index: int) -> str:
    """Why fault *index* of the schedule did not fire, on one line."""
    at = plan.schedule.faults[index]
    seen = result.outcome.seen[index]
    trigger = at.at
    roles = sorted({event.role for event in result.trace.events if event.role != "-"})
    said = f"{at} did not fire ({trigger.role} made {seen} {trigger.call} call{'s' * (seen != 1)}"
    if reason := _as_noted(at, result):
        return f"{at} did not fire: {reason}"
    if seen >= trigger.first:
        return (
            f"{said}, but none was number {trigger.nth} of its role in phase {trigger.phase}, "
            "or another fault came first)"
        )
    if not seen and "*" not in trigger.role and trigger.role not in roles:
        return f"{said}: no such role; there were {', '.join(roles) or 'none'})"
    return f"{said}{'' if seen else _where_instead(at, result)})"


def _as_noted(at: FaultAt, result: TrialResult) -> str:
    """What the supervisor found in its way, of the last time that it was tried; empty: nothing."""
    for event in reversed(result.trace.events):
        if event.role == NO_ROLE and event.call == "note":
            said = str(json.loads(event.args[0]))
            if said.startswith(f"{at}: "):
                return said.removeprefix(f"{at}: ")
    return ""


def _where_instead(at: FaultAt, result: TrialResult) -> str:
    """Who made the call that the fault waits for, or what its role made in its place: which call a
    function makes is the C library's affair."""
    made = {(event.role, event.call) for event in result.trace.counted() if event.role != "-"}
    others = sorted({role for role, call in made if call in at.calls()})
    if others:
        return f"; {', '.join(others)} did"
    own = {call for role, call in made if role_matches(at.at.role, role)}
    alike = sorted(call for call in own if _is_alike(call, at.at.call))
    return f"; it made {', '.join(alike)}" if alike else ""


def _is_alike(call: str, other: str) -> bool:
    return call in other or other in call or {call, other} <= _FORKS
