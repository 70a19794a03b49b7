"""docs/reference/quality.md says what the hunt for planted bugs gave."""

from pathlib import Path

import pytest

from tests.quality.planted import PLANTED, REPLAYS, Bug

PAGE = Path(__file__).parents[2] / "docs/reference/quality.md"


@pytest.mark.parametrize("bug", PLANTED, ids=lambda bug: bug.module)
def test_each_planted_bug_is_on_the_page_as_found_reproduced_and_mended(bug: Bug) -> None:
    start = f"| {bug.number} | {bug.service} | {bug.what.rstrip('.')} |"
    (row,) = [line for line in PAGE.read_text().splitlines() if line.startswith(start)]
    assert row.endswith(f" | {REPLAYS} of {REPLAYS} | FIXED |")
