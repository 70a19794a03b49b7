"""Planted bugs are found by a search that nobody has told where to look."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.quality.planted import PLANTED, REPLAYS, Bug, again, hunt, mend, search


@pytest.mark.parametrize("bug", PLANTED, ids=lambda bug: bug.module)
def test_it_is_found_is_found_again_and_is_gone_when_it_is_mended(
    bug: Bug, tmp_path: Path, record_property: Callable[[str, object], None], effort: str
) -> None:
    caught = hunt(bug, tmp_path)
    assert caught is not None, f"not found: {bug.what}"
    words = [one.word for one in again(caught, REPLAYS if effort == "full" else 4)]
    record_property("trials", caught.trials)
    record_property("seconds", round(caught.seconds, 1))
    record_property("faults", caught.faults)
    record_property("reproduced", words.count("REPRODUCED"))
    assert set(words) == {"REPRODUCED"}
    after = mend(caught)
    assert after.word == "FIXED", after.reason


def test_the_same_search_finds_nothing_where_there_is_no_bug(tmp_path: Path, effort: str) -> None:
    # scenarios/forking_service/ has every kind, in each size.
    options = {} if effort == "full" else {"kinds": ("short",)}
    result = search(PLANTED[0].mended(), tmp_path, **options)
    assert [one.finding.describe() for one in result.findings] == []
    assert (result.covered, result.inconclusive) == (result.points, ())
