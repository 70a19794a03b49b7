"""Planted bugs are found by a search that nobody has told where to look."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.subject import DEADLINE_S
from tests.quality.planted import PLANTED, REPLAYS, Bug, again, hunt, mend, search

#: One for each way to look: a plain run, a single fault, another order, the other service.
IN_CI = frozenset({2, 5, 13, 15})


@pytest.mark.parametrize(
    "bug",
    [
        pytest.param(bug, id=bug.module, marks=() if bug.number in IN_CI else pytest.mark.full)
        for bug in PLANTED
    ],
)
def test_it_is_found_is_found_again_and_is_gone_when_it_is_mended(
    bug: Bug, tmp_path: Path, record_property: Callable[[str, object], None], effort: str
) -> None:
    caught = hunt(bug, tmp_path, shrinks=effort == "full")
    assert caught is not None, f"not found: {bug.what}"
    # One that does not end takes all of its deadline.
    few = 4 if bug.deadline_s == DEADLINE_S else 1
    words = [one.word for one in again(caught, REPLAYS if effort == "full" else few)]
    record_property("trials", caught.trials)
    record_property("seconds", round(caught.seconds, 1))
    record_property("faults", caught.faults)
    record_property("reproduced", words.count("REPRODUCED"))
    assert set(words) == {"REPRODUCED"}
    after = mend(caught)
    assert after.word == "FIXED", after.reason


def test_pruning_loses_none_of_them(tmp_path: Path, effort: str) -> None:
    """Held against the search that tries everything."""
    bugs = [bug for bug in PLANTED if not bug.is_plain and not bug.is_of_order]
    options = dict[str, Any]()
    if effort != "full":
        bugs, options = (
            [bug for bug in bugs if bug.number == 2],
            {"kinds": ("peer",), "calls": "net"},
        )
    for bug in bugs:
        every, pruned = (
            search(bug, bug.source, tmp_path, exitfirst=False, prune=prune, **options)
            for prune in (False, True)
        )
        assert {one.finding.identity() for one in pruned.findings} == {
            one.finding.identity() for one in every.findings
        }, bug.what
        assert every.findings
        assert (pruned.points, pruned.complete) == (every.points, True)
        assert pruned.covered + pruned.pruned == pruned.points


def test_the_same_search_finds_nothing_where_there_is_no_bug(tmp_path: Path, effort: str) -> None:
    # scenarios/forking_service/ has every kind, in each size.
    options = {} if effort == "full" else {"kinds": ("short",)}
    result = search(PLANTED[0], PLANTED[0].mended(), tmp_path, **options)
    assert [one.finding.describe() for one in result.findings] == []
    assert (result.covered, result.inconclusive) == (result.points, ())
