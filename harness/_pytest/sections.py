"""What is attached to a failing test beside its report: the last thing that was found. Imports
nothing of ours."""

from __future__ import annotations

import pytest

#: The title and the text of the section. A property test fails many times; its last one counts.
SHOWN = pytest.StashKey[tuple[str, str]]()


def attach(item: pytest.Item, when: str) -> None:
    """Attach it to the report that is about to be made of the test's phase *when*."""
    if when == "call" and SHOWN in item.stash:
        item.add_report_section(when, *item.stash[SHOWN])
        del item.stash[SHOWN]
