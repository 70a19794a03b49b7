"""What the scenarios make of a golden trace: a schedule for each point, and no other."""

from collections.abc import Iterable

from harness.calls import CALLS, errno_number
from harness.schedule import Schedule
from harness.trace import Event, Trace
from scenarios import trials

LINES = """\
- phase#1 - start
service openat#1 - AT_FDCWD "/lib/libc.so" 0x80000 00
- phase#2 - work
service openat#2 - AT_FDCWD "/log" 0x80441 0666
service fcntl#1 - 3 0
service fcntl#2 - 3 2
service/0 newfstatat#1 - 3 "" 0x1000
service/0 read#1 - 3 10
service/0 write#1 - 4 10
- phase#3 - stop
service close#1 - 3"""
GOLDEN = Trace(events=tuple(Event.parse(line) for line in LINES.splitlines()))
POINTS = trials.points(GOLDEN)


def faults(schedules: Iterable[Schedule]) -> list[str]:
    return [str(fault) for schedule in schedules for fault in schedule.faults]


def test_points_are_the_calls_of_the_phases_and_roles_that_are_asked_for() -> None:
    assert [str(point.at) for point in trials.points(GOLDEN, "service", ("stop", "start"))] == [
        "service:openat@start",
        "service:close@stop",
    ]
    assert {point.at.role for point in trials.points(GOLDEN, "service/*")} == {"service/0"}


def test_a_call_fails_with_what_its_manual_page_has_for_that_use_of_it() -> None:
    everything = trials.points(GOLDEN, phases=("start", "work", "stop"))
    # Only who makes a file needs room for it; only F_DUPFD needs a descriptor.
    assert faults(trials.failing(everything, trials.DISK_IS_FULL)) == [
        "service:openat#2=ENOSPC",
        "service/0:write=ENOSPC",
    ]
    assert faults(trials.failing(POINTS, trials.TABLES_ARE_FULL)) == [
        "service:openat#2=EMFILE",
        "service:openat#2=ENFILE",
        "service:fcntl=EMFILE",
    ]


def test_each_transfer_is_shortened() -> None:
    assert faults(trials.shortened(POINTS)) == [
        "service/0:read=short(1)",
        "service/0:write=short(1)",
    ]


def test_a_task_is_killed_at_each_call_that_does_more_than_look() -> None:
    assert "service/0:write=crash" in faults(trials.killed(POINTS))
    assert not any("newfstatat" in text for text in faults(trials.killed(POINTS)))


def test_every_call_and_errno_of_the_tables_exists() -> None:
    tables = (
        trials.DISK_IS_FULL,
        trials.DEVICE_FAILS,
        trials.TABLES_ARE_FULL,
        trials.PEER_IS_GONE,
    )
    for call, errnos in (row for table in tables for row in table.items()):
        assert call in CALLS
        assert all(errno_number(errno) for errno in errnos)
