"""What became of a recording, as text. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from .._engine.replay import Replay
from ..weakness import in_few


def answers(replays: Sequence[Replay]) -> list[str]:
    """A block for each answer that *replays* of one recording gave, with the first of the ways that
    they went instead; and how often it fails, when that differs."""
    lines = []
    groups: dict[tuple[str, str], list[Replay]] = {}
    for one in replays:
        groups.setdefault((one.word, one.reason), []).append(one)
    for (word, reason), alike in groups.items():
        times = f" {len(alike)}/{len(replays)}" if len(replays) > 1 else ""
        lines += [f"{word}{times}: {reason}", *_why(alike)]
    fails = sum(one.verdict is not None and one.verdict.status == "FAIL" for one in replays)
    if 0 < fails < len(replays):
        lines.append(f"FLAKY: fails {fails}/{len(replays)}")
    return lines


def _why(alike: Sequence[Replay]) -> list[str]:
    weakened = dict.fromkeys(
        in_few(one.result.outcome.weakened) for one in alike if one.result is not None
    )
    lines = [line for line in weakened if line]
    ways = dict.fromkeys(one.divergence for one in alike if one.divergence)
    for way in [*ways][:1]:
        lines += way.split("\n")
        if len(ways) > 1:
            lines.append(f"  and {len(ways) - 1} more ways, of {len(alike)}")
    changed = dict.fromkeys(what for one in alike for what in one.changed)
    if ways and not changed:
        changed["nothing that it knows of"] = None
    return lines + [f"  changed since the recording: {what}" for what in changed]
