"""docs/reference/quality.md says what the hunt for planted bugs gave."""

from pathlib import Path

import pytest

from tests.quality.__main__ import BUGS, Page
from tests.quality.planted import REPLAYS

PAGE = Path(__file__).parents[2] / "docs/reference/quality.md"


@pytest.mark.parametrize("number", BUGS)
def test_each_planted_bug_is_on_the_page_as_found_reproduced_and_mended(number: str) -> None:
    bug = BUGS[number]
    start = f"| {number} | {bug.service} | {bug.what.rstrip('.')} |"
    (row,) = [line for line in PAGE.read_text().splitlines() if line.startswith(start)]
    assert row.endswith(f" | {REPLAYS} of {REPLAYS} | FIXED |")


def test_the_page_can_be_made_in_parts() -> None:
    text = PAGE.read_text()
    assert Page(text).text() == text
