"""The trial's clock: it moves with steps and jumps, and shows the same to who asks the same."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from harness._supervisor.virtual_time import VirtualTime

START = "2026-01-01T00:00:00Z"
REALTIME, MONOTONIC, CPU = 0, 1, 2
#: A step, a read of one of three tasks, or a jump by so many nanoseconds.
acts = st.lists(
    st.sampled_from(["step", "read 1", "read 2", "read 3"]) | st.integers(0, 10**12), max_size=60
)


def shown(doings: list[str | int]) -> list[tuple[int, int]]:
    """What each read showed: (task, time)."""
    time = VirtualTime(START)
    found = []
    for act in doings:
        if isinstance(act, int):
            time.jump(time.now + act)
        elif act == "step":
            time.step()
        else:
            task = int(act[-1])
            found.append((task, time.read(task)))
    return found


@given(acts)
def test_no_task_sees_time_stand_still_or_go_back(doings: list[str | int]) -> None:
    for task in 1, 2, 3:
        own = [time for one, time in shown(doings) if one == task]
        assert all(before < after for before, after in itertools.pairwise(own))


@given(acts, st.integers(1, 5))
def test_after_a_step_everybody_sees_later_times_than_before(
    doings: list[str | int], reads: int
) -> None:
    before = [time for _, time in shown([*doings, *["read 1"] * reads])]
    after = shown([*doings, *["read 1"] * reads, "step", "read 2"])[-1][1]
    assert all(time < after for time in before)


@given(st.lists(st.permutations(["read 1", "read 2", "read 2"]), min_size=1, max_size=5))
def test_who_reads_beside_it_does_not_change_what_a_task_sees(orders: list[list[str]]) -> None:
    """Two tasks may run between two steps, in an order that nobody decides."""
    doings = [act for order in orders for act in (*order, "step")]
    in_turn = ["read 1", "read 2", "read 2", "step"] * len(orders)
    for task in 1, 2:
        own = [time for one, time in shown([*doings]) if one == task]
        assert own == [time for one, time in shown([*in_turn]) if one == task]


def test_who_does_nothing_but_read_the_clock_sees_it_run() -> None:
    time = VirtualTime(START)
    reads = 0
    while time.read(1) < 60 * 10**9:
        reads += 1
    assert reads < 100_000


def test_the_clocks_begin_where_the_schedule_says() -> None:
    time = VirtualTime("2026-01-01T00:00:01Z")
    assert time.on_clock(REALTIME, 0) == 1_767_225_601 * 10**9
    assert time.on_clock(CPU, 0) is None


@given(st.sampled_from([REALTIME, MONOTONIC]), st.integers(0, 10**18))
def test_when_a_clock_shows_something_is_the_way_back(clock: int, now: int) -> None:
    time = VirtualTime(START)
    there = time.on_clock(clock, now)
    assert there is not None
    assert time.of_clock(clock, there) == now
