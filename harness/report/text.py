"""A recording as text: what was run, what went wrong, and the events around it. Pure."""

from __future__ import annotations

from ..errors import printable
from ..recording import Recording
from ..trace import CONTINUED, Event

LINES_MAX = 30


def show(recording: Recording, *, whole: bool = False) -> str:
    """At most LINES_MAX events around the first fault, or else around the one after which the first
    invariant was broken, or around the end; *whole*: all of them.
    Nothing in it can steer a terminal, wherever the recording is from."""
    weakened, broken = recording.expected.weakened, recording.expected.broken
    lines = [
        f"command   {recording.subject}",
        *(f"client    {client.describe()}" for client in recording.clients),
        f"schedule  {recording.schedule.describe()}",
        f"verdict   {recording.verdict.describe()}",
        f"outcome   {recording.expected.describe()}",
        f"made with {recording.versions.describe()}{_digest(recording)}",
        *_may_differ(recording),
        *(f"weakened  {one.describe()} (after event {one.event})" for one in weakened),
        *([f"made on   {recording.fingerprint.describe()}"] if recording.fingerprint else []),
        "",
    ]
    events = recording.trace.events
    centre = broken[0].event - 1 if broken else len(events) - 1
    first, last = (0, len(events)) if whole else window(events, centre)
    if first:
        lines.append(f"    ... {first} events before")
    lines += [_line(number, event) for number, event in enumerate(events[first:last], first + 1)]
    if last < len(events):
        lines.append(f"    ... {len(events) - last} events after (--all shows them)")
    if recording.expected.report:
        lines += ["", *recording.expected.report.split("\n")]
    return "\n".join(map(printable, lines))


def announcement(path: str, recording: Recording) -> list[str]:
    """What is about to be executed, said before it is: it cannot erase itself from a terminal."""
    said = [f"{path}: {recording.subject}"]
    said += [f"    {client.describe()}" for client in recording.clients]
    said += [f"    {at}" for at in recording.schedule.faults]
    return said


def _may_differ(recording: Recording) -> list[str]:
    """What it was not held against the golden run for."""
    said = recording.golden.may_differ.describe() if recording.golden else ""
    return [f"differing {said}"] if said else []


def _digest(recording: Recording) -> str:
    """Nothing in free mode, where another run of the same has another."""
    controlled = recording.schedule.mode == "controlled"
    return f", digest {recording.digest[:16]}" if controlled else ""


def window(events: tuple[Event, ...], otherwise: int) -> tuple[int, int]:
    """Where the LINES_MAX events around the first fault begin and end; around the one *otherwise*
    where there is no fault."""
    faults = [i for i, event in enumerate(events) if event.action != CONTINUED]
    centre = faults[0] if faults else otherwise
    first = max(0, min(centre - LINES_MAX // 2, len(events) - LINES_MAX))
    return first, min(len(events), first + LINES_MAX)


def _line(number: int, event: Event) -> str:
    sign = " " if event.action == CONTINUED else "!"
    return f"{sign}{number:6}  {event.describe()}"
