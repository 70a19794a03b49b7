"""What a sweep makes of a golden trace: a fault for each point that can have it, and no other."""

from collections.abc import Iterable

import pytest

from harness import points
from harness.errors import ScheduleError, UsageError
from harness.points import Point
from harness.schedule import FaultAt
from harness.trace import Event, Trace

LINES = """\
- phase#1 - start
service openat#1 - AT_FDCWD "/lib/libc.so" 0x80000 00
- phase#2 - work
service openat#2 - AT_FDCWD "/log" 0x80441 0666
service fcntl#1 - 3 0
service fcntl#2 - 3 2
- note#1 - anything
client/0 invoke#1 - "ask"
client/0 socket#1 - 1 0x1 0
service/0 newfstatat#1 - 3 "" 0x1000
service/0 read#1 - 3 10
service/0 write#1 - 4 10
- phase#3 - stop
service close#1 - 3
service exit_group#1 - 0"""
GOLDEN = Trace(events=tuple(Event.parse(line) for line in LINES.splitlines()))
POINTS = points.points(GOLDEN, "service**")


def trace(lines: str) -> Trace:
    events = ("- phase#1 - work", *lines.strip().splitlines())
    return Trace(events=tuple(Event.parse(line) for line in events))


def said(faults: Iterable[FaultAt]) -> list[str]:
    return [str(fault) for fault in faults]


def errnos(these: Iterable[Point], kind: str = "errno") -> list[str]:
    return [str(fault.fault) for fault in points.failing(these, kind)]


def only(golden: Trace, call: str) -> Point:
    """The last of the calls of that name."""
    return [point for point in points.points(golden) if point.event.call == call][-1]


def test_points_are_the_calls_of_the_phases_roles_and_names_that_are_asked_for() -> None:
    assert [str(point.at) for point in points.points(GOLDEN, "service", phases=("stop",))] == [
        "service:close@stop",
        "service:exit_group@stop",
    ]
    assert {point.at.role for point in points.points(GOLDEN, "service/*")} == {"service/0"}
    assert [point.event.call for point in points.points(GOLDEN, "**", "io")] == ["read", "write"]


def test_what_a_client_tells_is_no_call() -> None:
    assert [str(point.at) for point in points.points(GOLDEN, "client/*")] == ["client/0:socket"]


def test_a_pattern_that_means_no_call_is_refused() -> None:
    with pytest.raises(ScheduleError, match="did you mean 'openat'"):
        points.points(GOLDEN, calls="opennat")


def test_who_makes_a_file_needs_room_for_it_and_who_opens_one_does_not() -> None:
    assert said(points.failing(POINTS, "space")) == [
        "service:openat#2=ENOSPC",
        "service:openat#2=EDQUOT",
        "service/0:write=ENOSPC",
        "service/0:write=EDQUOT",
        "service:close@stop=ENOSPC",
        "service:close@stop=EDQUOT",
    ]


def test_a_descriptor_is_needed_by_who_duplicates_one() -> None:
    assert said(points.failing(points.points(GOLDEN, calls="fcntl"), "descriptors")) == [
        "service:fcntl=EMFILE"
    ]


def test_a_file_is_not_reset_and_does_not_wait() -> None:
    lines = 'main accept#1 - 5\nmain openat#1 - AT_FDCWD "/x" 0x0 00\nmain read#1 - 3 9'
    assert errnos([only(trace(lines), "read")]) == ["EIO"]


def test_a_pipe_and_a_socket_have_no_disk() -> None:
    pipe = trace("main pipe2#1 - 0x80000\nmain read#1 - 3 9\nmain write#1 - 4 9")
    connected = trace("main socket#1 - 1 0x1 0\nmain connect#1 - 3\nmain write#1 - 3 9")
    for golden, call in (pipe, "read"), (pipe, "write"), (connected, "write"):
        assert not {"ENOSPC", "EDQUOT", "EIO"} & {*errnos([only(golden, call)])}
    assert "ENOSPC" in errnos([only(trace("main write#1 - 1 9"), "write")])  # it may be redirected


def test_what_may_be_a_socket_is_reset_only_where_there_are_any() -> None:
    assert "ECONNRESET" not in errnos([only(trace("main read#1 - 7 9"), "read")])
    connected = trace("main/1 connect#1 - 3\nmain read#1 - 7 9")
    assert "ECONNRESET" in errnos([only(connected, "read")])
    standard = trace("main/1 connect#1 - 3\nmain read#1 - 0 9")
    assert "ECONNRESET" not in errnos([only(standard, "read")])


def test_who_asks_not_to_wait_is_not_interrupted() -> None:
    assert errnos([only(trace("main recvfrom#1 - 4 9 0x0"), "recvfrom")], "EINTR") == ["EINTR"]
    assert errnos([only(trace("main recvfrom#1 - 4 9 0x40"), "recvfrom")], "EINTR") == []


def test_dup2_can_only_fail_beside_another_thread() -> None:
    assert errnos([only(trace("main dup2#1 - 3 1"), "dup2")]) == []
    assert errnos([only(trace("main#1 futex#1 - 0x80\nmain dup2#1 - 3 1"), "dup2")]) == ["EBUSY"]
    # The thread of another process is none.
    assert errnos([only(trace("main#1/0 dup2#1 - 3 1"), "dup2")]) == []


def test_each_transfer_is_shortened() -> None:
    assert said(points.failing(POINTS, "short")) == [
        "service/0:read=short(1)",
        "service/0:write=short(1)",
    ]
    assert errnos(POINTS, "short(7)") == ["short(7)", "short(7)"]


def test_a_task_is_killed_at_each_call_that_does_more_than_look() -> None:
    killed = said(points.failing(POINTS, "crash"))
    assert "service/0:write=crash" in killed
    assert not any("newfstatat" in text for text in killed)


def test_nothing_comes_after_a_call_that_does_not_come_back() -> None:
    assert "service:exit_group@stop=crash" in said(points.failing(POINTS, "crash"))
    after = said(points.failing(POINTS, "crash-after"))
    assert not any("exit_group" in text for text in after)


def test_who_waits_until_the_next_phase_is_not_killed_there() -> None:
    lines = """
service accept#1 - 3
service read#1 - 4 9
service accept#2 - 3
- phase#2 - recover
service read#2 - 4 9
service accept#3 - 3"""
    these = points.points(trace(lines), calls="accept", phases=("work", "recover"))
    assert said(points.failing(these, "crash-after")) == ["service:accept=crash-after"]
    assert len(said(points.failing(these, "crash"))) == 3


def test_one_errno_is_tried_where_it_can_be() -> None:
    assert said(points.failing(POINTS, "EDQUOT")) == [
        "service:openat#2=EDQUOT",
        "service/0:write=EDQUOT",
        "service:close@stop=EDQUOT",
    ]


def test_a_signal_and_being_stuck_can_be_at_any_call() -> None:
    for kind in "signal(TERM)", "hold", "crash(SEGV)":
        assert set(errnos(POINTS, kind)) == {kind}
    assert len(errnos(POINTS, "hold")) == len(POINTS)


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("ernno", "did you mean 'errno'"),
        ("", "known: "),
        ("short(0)", "unknown kind of fault"),
        ("EFAULT", "harness run --fault"),
        ("ENONSENSE", "unknown"),
        ("delay(2)", "'2' is not a time"),
        ("pause(0s)", "'0s' is not a whole time"),
        ("hold(until=read)", "needs a role"),
        ("eof(1)", "unknown kind of fault"),
        ("drop", "unknown kind of fault"),
    ],
)
def test_a_word_that_is_no_kind_is_told_what_is(word: str, told: str) -> None:
    with pytest.raises(UsageError, match=r".") as error:
        points.check_kinds(["errno", word])
    assert told in str(error.value)


def test_kinds_are_asked_for_once() -> None:
    assert points.check_kinds(["short", "errno", "short"]) == ("short", "errno")
    with pytest.raises(UsageError):
        points.check_kinds([])


def test_a_point_says_itself_in_words() -> None:
    assert POINTS[0].describe() == "service: openat#1 in phase start"


# ---- What takes time, and what has another end ---------------------------------------------------


def test_a_call_can_be_late_wherever_it_is() -> None:
    assert errnos(POINTS, "delay") == ["delay(2s)"] * len(POINTS)
    assert errnos(POINTS, "pause(5m)") == ["pause(5m)"] * len(POINTS)
    held = errnos(POINTS, "hold(until=client/0:socket)")
    assert held == ["hold(until=client/0:socket)"] * len(POINTS)


def test_what_is_read_or_written_ends_where_it_has_another_end() -> None:
    lines = """
main pipe2#1 - 0x80000
main read#1 - 3 9
main write#1 - 1 9
main read#2 - 0 9
main socket#1 - 1 0x1 0
main connect#1 - 4
main recvfrom#1 - 4 9 0x0
main write#2 - 4 9
main close#1 - 4
main openat#1 - AT_FDCWD "/x" 0x0 00
main read#3 - 4 9
main pread64#1 - 4 9
main fsync#1 - 4"""
    these = points.points(trace(lines))
    assert said(points.failing(these, "eof")) == [
        "main:read=eof",
        "main:write=eof",
        "main:recvfrom=eof",
        "main:write#2=eof",
    ]
    assert said(points.failing(these, "reset")) == ["main:recvfrom=reset", "main:write#2=reset"]


def test_none_of_these_is_tried_unless_it_is_asked_for() -> None:
    assert points.KINDS == ("errno", "short", "crash", "crash-after")
