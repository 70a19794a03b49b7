"""Small programs with classic bugs: the ordinary commands find each by themselves."""

from pathlib import Path

import pytest

from harness._engine.replay import replay
from tests.quality.planted import REPLAYS
from tests.quality.small import (
    SMALL,
    Small,
    compiler,
    findings_of_twin,
    hunt_small,
    mend_small,
)

#: One that is swept, and one whose orders are explored.
IN_CI = frozenset({"s1", "s4"})


@pytest.fixture(autouse=True)
def _needs_a_compiler() -> None:
    if compiler() is None:
        pytest.skip("no C compiler here; fix: apt-get install gcc libc6-dev")


@pytest.mark.parametrize(
    "bug",
    [
        pytest.param(bug, id=bug.file, marks=() if bug.number in IN_CI else pytest.mark.full)
        for bug in SMALL
    ],
)
def test_it_is_found_is_found_again_and_is_gone_when_it_is_mended(
    bug: Small, tmp_path: Path, effort: str
) -> None:
    caught = hunt_small(bug, tmp_path, shrinks=effort == "full")
    assert caught is not None, f"not found: {bug.what}"
    if effort == "full":
        assert len(caught.recording.schedule.faults) <= 2
        assert len(caught.recording.schedule.switches) <= 2
    words = {one.word for one in replay(caught.recording, REPLAYS if effort == "full" else 2)}
    assert words == {"REPRODUCED"}
    after = mend_small(caught, tmp_path)
    assert after.word == "FIXED", after.reason


@pytest.mark.full
@pytest.mark.parametrize("bug", SMALL, ids=lambda bug: bug.file)
def test_the_same_search_finds_nothing_in_its_twin(bug: Small, tmp_path: Path) -> None:
    assert findings_of_twin(bug, tmp_path) == []
