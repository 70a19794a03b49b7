"""The table of states: complete, connected, and strict."""

from __future__ import annotations

import pytest

from reference.forking_service.states import TABLE, Event, State, after

FIRST = {State.CONNECTION_READING, State.CHILD_PREPARING, State.SERVICE_SERVING}
LAST = {State.CONNECTION_CLOSED, State.CHILD_ENDED, State.SERVICE_ENDED}


@pytest.mark.parametrize("state", State)
def test_every_state_can_be_entered_and_left(state: State) -> None:
    assert state in FIRST or state in TABLE.values()
    assert state in LAST or state in {before for before, _ in TABLE}


@pytest.mark.parametrize("event", Event)
def test_every_event_happens(event: Event) -> None:
    assert event in {one for _, one in TABLE}


def test_nobody_becomes_another_kind_of_thing() -> None:
    for (before, _), then in TABLE.items():
        assert before.name.split("_")[0] == then.name.split("_")[0]


def test_what_cannot_happen_is_said_with_both_names() -> None:
    with pytest.raises(AssertionError, match="CHILD_ENDED: READY"):
        after(State.CHILD_ENDED, Event.READY)
