"""Schedules that Hypothesis draws, and state machines whose runs are trials."""

from __future__ import annotations

import json
import re

import pytest

from tests.plugin.conftest import Inner, replay_lines


def asked(inner: Inner, name: str) -> pytest.RunResult:
    return inner.pytest(f"test_properties.py::test_{name}")


@pytest.mark.parametrize(
    "name", ["well_under_drawn_schedules", "a_machine", "a_machine_with_faults"]
)
def test_where_nothing_is_wrong_it_passes(inner: Inner, name: str) -> None:
    asked(inner, name).assert_outcomes(passed=1)


@pytest.mark.full
def test_what_is_found_is_shrunk_to_what_our_shrinking_would_leave(inner: Inner) -> None:
    result = asked(inner, "forgets_under_drawn_schedules")
    result.assert_outcomes(failed=1)
    ident = replay_lines(result)[-1]
    schedule = schedule_of(inner, ident)
    # Of the two kinds that are drawn the gentler one, at the first call where it does harm.
    assert [one["fault"] for one in schedule["faults"]] == [{"kind": "short", "count": 1}]
    assert not schedule.get("switches")
    shrunk = inner.harness("shrink", ident)
    assert shrunk.ret == 1, shrunk.stdout.str()
    names = re.findall(r"harness replay ([0-9a-f]{8})", shrunk.stdout.str())
    assert schedule_of(inner, names[-1] if names else ident) == schedule


def schedule_of(inner: Inner, ident: str) -> dict[str, list[dict[str, object]]]:
    recording = json.loads((inner.root / ".harness" / ident / "recording.json").read_text())
    schedule: dict[str, list[dict[str, object]]] = recording["schedule"]
    return schedule


def test_a_machine_is_shrunk_to_the_fewest_steps(inner: Inner) -> None:
    result = asked(inner, "a_machine_with_a_bug")
    result.assert_outcomes(failed=1)
    # Of the report: where CI is set, the summary has them once more.
    steps = re.findall(r"^E +state.add\(number=(\d)\)", result.stdout.str(), re.MULTILINE)
    assert len(steps) == 2
    assert sum(map(int, steps)) >= 12
    (ident,) = set(re.findall(r"; repeat: harness replay ([0-9a-f]{8})", result.stdout.str()))
    assert inner.harness("replay", ident).ret == 1


def test_what_cannot_be_drawn_is_said(inner: Inner) -> None:
    asked(inner, "what_cannot_be_drawn").stdout.fnmatch_lines(["E *UsageError: *'mkdir'*"])
    asked(inner, "no_other_order").stdout.fnmatch_lines(
        ["E *UsageError: only one role at a time *"]
    )
