"""What is new after a fault, and which calls are of one class."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness import points
from harness._engine.prune import Pruning, classes
from harness._engine.recovery import Golden, role_pattern
from harness.schedule import Trigger
from harness.trace import Event, Trace


def trace(*lines: str) -> Trace:
    return Trace(events=tuple(map(Event.parse, ("- phase#1 - work", *lines))))


COPIES = (
    'main openat#1 - AT_FDCWD "/data" 0x0 00',
    "main read#1 - 3 10",
    "main write#1 - 1 10",
    "main read#2 - 3 10",
    "main write#2 - 1 7",
    "main exit_group#1 - 0",
)
GOLDEN = Golden(trace(*COPIES))
AT_WRITE = Trigger(role="main", call="write")


def new(*lines: str, at: Trigger = AT_WRITE) -> list[str]:
    run = trace(*lines)
    return [run.events[index].line() for index, _ in GOLDEN.new_in(run, at)]


def test_what_the_golden_run_has_later_is_not_new() -> None:
    assert new(*COPIES) == []
    gives_up = (*COPIES[:2], "main write#1 fail:EIO 1 10", "main exit_group#1 - 1")
    assert new(*gives_up) == ["main exit_group#1 - 1"]


def test_a_call_that_is_made_again_is_new_and_those_after_it_are_not() -> None:
    again = (
        *COPIES[:2],
        "main write#1 fail:EINTR 1 10",
        "main write#2 - 1 10",
        "main read#2 - 3 8",
    )
    assert new(*again, "main write#3 - 1 7", "main exit_group#1 - 0") == ["main write#3 - 1 7"]


def test_what_has_another_descriptor_or_length_is_not_new() -> None:
    shorter = (*COPIES[:2], "main write#1 short:1 1 10", "main read#2 - 4 5", "main write#2 - 1 2")
    assert new(*shorter) == []


def test_another_file_and_another_output_are_new() -> None:
    said = (
        *COPIES[:2],
        "main write#1 fail:EIO 1 10",
        "main write#2 - 2 40",
        'main unlink#1 - "/x"',
    )
    assert new(*said) == ["main write#2 - 2 40", 'main unlink#1 - "/x"']


def test_what_was_before_the_fault_is_never_new() -> None:
    assert new('main unlink#1 - "/x"', *COPIES) == []
    assert new(*COPIES, at=Trigger(role="main", call="read", first=9, last=9)) == []


def test_a_task_that_the_golden_run_has_not_is_new() -> None:
    helped = (*COPIES[:2], "main write#1 fail:EIO 1 10", "main/0 write#1 - 1 10")
    assert new(*helped) == ["main/0 write#1 - 1 10"]


def test_new_points_are_those_asked_for_and_each_way_begins_with_what_is_new() -> None:
    run = trace(
        *COPIES[:2],
        "main write#1 fail:EIO 1 10",
        "main write#2 - 2 40",
        "main write#3 - 2 9",  # as the one before it
        'main/7 unlink#1 - "/x"',
    )
    first, second = GOLDEN.new_points(run, AT_WRITE)
    assert [str(first.point.at), str(second.point.at)] == ["main:write#2", "main/7:unlink"]
    assert [role for role, _ in second.way] == ["main", "main/*"]
    assert second.way[:1] == first.way
    (only,) = GOLDEN.new_points(run, AT_WRITE, calls="unlink")
    assert only == second
    assert GOLDEN.new_points(run, AT_WRITE, roles="main/8") == []
    assert GOLDEN.new_points(run, AT_WRITE, phases=("stop",)) == []


def test_nothing_goes_wrong_for_who_is_there_to_see_whether_the_service_recovers() -> None:
    crashed = (*COPIES[:2], "main write#1 crash:KILL 1 10", "restarted listen#1 - 3 8")
    run = trace(*crashed, "restarted/0 write#1 - 4 10", "client/fresh connect#1 - 3")
    assert GOLDEN.new_points(run, AT_WRITE) == []


def test_a_role_is_as_its_siblings() -> None:
    assert role_pattern("service/0/12#3") == "service/*/*#*"
    assert role_pattern("client/slow2") == "client/slow2"


# ---- Classes -------------------------------------------------------------------------------------


def class_of(*lines: str) -> list[list[str]]:
    """The addresses of the points, class by class."""
    golden = trace(*lines)
    there = points.points(golden)
    found: dict[object, list[str]] = {}
    for point, of in zip(there, classes(golden, there), strict=True):
        found.setdefault(of, []).append(str(point.at))
    return [*found.values()]


def test_the_turns_of_a_loop_are_of_one_class_but_for_its_ends() -> None:
    turns = [
        line for n in range(1, 6) for line in (f"main read#{n} - 0 {n}", f"main write#{n} - 1 {n}")
    ]
    found = class_of(*turns)
    assert ["main:read#2", "main:read#3", "main:read#4", "main:read#5"] in found
    assert ["main:write#2", "main:write#3", "main:write#4"] in found


def test_what_other_programs_do_is_of_another_class() -> None:
    same = 'openat#1 - AT_FDCWD "/data" 0x0 00'
    other = class_of(
        'main/0 execve#1 - "/bin/sort"',
        f"main/0 {same}",
        'main/1 execve#1 - "/bin/uniq"',
        f"main/1 {same}",
    )
    assert ["main/0:openat"] in other
    assert ["main/0:openat", "main/1:openat"] in class_of(f"main/0 {same}", f"main/1 {same}")


def test_files_of_the_system_are_alike_and_others_are_not() -> None:
    found = class_of(
        'main/0 openat#1 - AT_FDCWD "/usr/lib/a" 0x0 00',
        'main/1 openat#1 - AT_FDCWD "/usr/lib/b" 0x0 00',
        'main/2 openat#1 - AT_FDCWD "/data/a" 0x0 00',
        'main/3 openat#1 - AT_FDCWD "/data/b" 0x0 00',
        'main/4 openat#1 - AT_FDCWD "/data/b" 0x241 00',
    )
    assert found == [
        ["main/0:openat", "main/1:openat"],
        ["main/2:openat"],
        ["main/3:openat"],
        ["main/4:openat"],
    ]


# ---- Pruning -------------------------------------------------------------------------------------


def pruned(ways: list[int]) -> tuple[set[int], set[int]]:
    """Which of a series of cases are tried, and which are not, when they go on in these ways."""
    pruning, known = Pruning([range(len(ways))]), dict[int, int]()
    while wanted := pruning.wanted(known):
        assert not known.keys() & wanted
        known |= {number: ways[number] for number in wanted}
    return {*known}, pruning.pruned


def test_where_both_ends_go_on_alike_those_between_are_left_out() -> None:
    assert pruned([1] * 100) == ({0, 99}, {*range(1, 99)})
    assert pruned([1]) == ({0}, set())


def test_where_a_series_changes_is_found_by_halves() -> None:
    tried, _ = pruned([1] * 40 + [2] * 60)
    assert {39, 40} <= tried
    assert len(tried) < 12


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60))
def test_each_is_tried_or_lies_between_two_that_went_on_alike(ways: list[int]) -> None:
    tried, left = pruned(ways)
    assert tried | left == {*range(len(ways))}
    assert not tried & left
    for one in left:
        before = max(number for number in tried if number < one)
        after = min(number for number in tried if number > one)
        assert ways[before] == ways[after]


@given(st.lists(st.integers(0, 50)))
def test_ways_that_never_come_back_are_all_tried(ways: list[int]) -> None:
    ways = sorted(ways) or [0]
    tried, _ = pruned(ways)
    assert {ways[number] for number in tried} == {*ways}
