"""What was shrunk, as text. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from .._engine.shrink import ShrinkProgress, Shrunk
from ..schedule import Schedule, Switch
from ..trace import Trace
from .sweep import bug_report, cause, clipped, counted


def block(shrunk: Shrunk, before: Schedule, repeat: str) -> list[str]:
    """The finding as a bug report with its smallest cause; *repeat* is its last line."""
    return bug_report(
        shrunk.verdict, causes(shrunk.schedule, shrunk.result.trace), [told(shrunk, before), repeat]
    )


def causes(schedule: Schedule, trace: Trace) -> list[str]:
    """What was decided, an entry each, as the reader of a bug report wants it."""
    said = [cause(at) for at in schedule.faults]
    said += [limit.describe() for limit in schedule.limits]
    said += [_handover(switch, trace) for switch in schedule.switches]
    return said or ["nothing goes wrong, and everybody goes in the ordinary order"]


def _handover(switch: Switch, trace: Trace) -> str:
    """A switch in words: before which call who goes first."""
    at = switch.at
    if at.call != "*":
        return f"{switch.run} goes before {at.role}: {at.call}#{at.first}"
    mine = [event for event in trace.events if event.role == at.role and event.counts]
    call = mine[at.first - 1] if at.first <= len(mine) else None
    where = f"{call.call}#{call.nth}" if call else f"its call {at.first}"
    return f"{switch.run} goes before {at.role}: {where}"


def told(shrunk: Shrunk, before: Schedule) -> str:
    """How much simpler it is than *before*, and what it took."""
    after = entries(shrunk.schedule)
    said = [f"{after}, was {entries(before)}" if after != entries(before) else after]
    if shrunk.dropped:
        said.append(f"does not matter: {', '.join(map(str, shrunk.dropped))}")
    if not shrunk.complete:
        said.append("not the smallest yet: it was ended early")
    said.append(f"{counted(shrunk.trials, 'trial')}, {shrunk.seconds:.1f} s")
    return clipped(f"shrunk: {'; '.join(said)}")


def entries(schedule: Schedule) -> str:
    """How many entries a schedule has."""
    return f"{_few(schedule.faults, 'fault')} and {_few(schedule.switches, 'switch', 'es')}"


def _few(entries: Sequence[object], noun: str, plural: str = "s") -> str:
    return f"{len(entries)} {noun}{plural * (len(entries) != 1)}"


def progress(now: ShrinkProgress) -> str:
    """Where it is, on one line."""
    rate = now.trials / max(now.seconds, 0.001)
    return (
        f"shrinking: {now.faults} faults, {now.switches} switches after {now.trials} trials,"
        f" {rate:.0f}/s"
    )
