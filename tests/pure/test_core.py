"""The core counts calls and says whose turn it is; no process runs here."""

from hypothesis import given
from hypothesis import strategies as st

from harness._supervisor.core import Core
from harness.calls import NR
from harness.schedule import Schedule, parse_fault_at

READ, WRITE, MMAP, OPENAT = NR["read"], NR["write"], NR["mmap"], NR["openat"]


def core(*faults: str, phase: str = "work") -> Core:
    made = Core(Schedule(faults=tuple(parse_fault_at(text) for text in faults)))
    made.phase = phase
    return made


def due(made: Core, role: str, *calls: int) -> list[str]:
    """Which fault is due at each of *calls*, made by the root *role*."""
    one = made.roles.get(role) or made.root(role)
    found = []
    for nr in calls:
        watch = made.chosen(made.count(one, nr))
        if watch is not None:
            made.fire(watch)
        found.append("" if watch is None else str(watch.at.fault))
    return found


def test_a_fault_is_due_at_its_nth_call_of_the_role() -> None:
    assert due(core("read#2=EIO"), "main", READ, WRITE, READ, READ) == ["", "", "EIO", ""]


def test_from_the_nth_on_it_is_due_each_time() -> None:
    assert due(core("read#2+=EIO"), "main", READ, READ, READ) == ["", "EIO", "EIO"]


def test_each_matching_role_counts_for_itself() -> None:
    made = core("main/*:read#2=EIO")
    assert due(made, "main/0", READ) + due(made, "main/1", READ, READ) == ["", "", "EIO"]
    assert due(made, "main", READ, READ) == ["", ""]
    assert made.seen() == [3]
    assert made.fired == [1]


def test_a_family_counts_its_calls_together() -> None:
    assert due(core("io#3=EIO"), "main", READ, OPENAT, WRITE, READ) == ["", "", "", "EIO"]


def test_in_another_phase_a_call_is_counted_and_no_fault_is_due() -> None:
    made = core("read#1=EIO", phase="start")
    assert due(made, "main", READ) == [""]
    made.phase = "work"
    assert due(made, "main", READ) == [""]
    assert made.seen() == [2]


def test_the_phase_is_that_in_which_the_call_is_answered() -> None:
    """A call that is made in one phase may be answered in the next: there the trace has it."""
    made = core("read#1=EIO", phase="start")
    waiting = made.count(made.root("main"), READ)
    assert made.chosen(waiting) is None
    made.phase = "work"
    assert made.chosen(waiting) is waiting[0]


def test_of_two_faults_at_one_call_the_first_wins_and_both_count() -> None:
    made = core("read#1=EIO", "read#1=EINTR", "read#2=EAGAIN")
    assert due(made, "main", READ, READ) == ["EIO", "EAGAIN"]
    assert made.seen() == [2, 2, 2]


def test_a_call_that_no_scheduler_needs_does_not_move_the_events_address() -> None:
    made = core("mmap#1=ENOMEM")
    role = made.root("main")
    due(made, "main", MMAP, READ, MMAP)
    assert (role.total, role.counts[MMAP]) == (1, 2)


def test_roles_are_named_after_who_made_them() -> None:
    made = core()
    main = made.root("main")
    first = made.born(main, thread=False)
    names = [
        first,
        made.born(main, thread=False),
        made.born(main, thread=True),
        made.born(first, thread=False),
    ]
    assert [role.name for role in names] == ["main/0", "main/1", "main#1", "main/0/0"]
    assert [role.order for role in names] == [1, 2, 3, 4]


@given(st.lists(st.sampled_from([READ, WRITE, OPENAT]), max_size=30), st.integers(1, 10))
def test_the_nth_call_is_the_same_whatever_other_calls_are_made(calls: list[int], nth: int) -> None:
    found = due(core(f"read#{nth}=EIO"), "main", *calls)
    reads = [i for i, nr in enumerate(calls) if nr == READ]
    expected = [reads[nth - 1]] if len(reads) >= nth else []
    assert [i for i, fault in enumerate(found) if fault] == expected


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([READ, WRITE, OPENAT])), max_size=30)
)
def test_what_was_seen_is_what_the_matching_roles_called(calls: list[tuple[str, int]]) -> None:
    made = core("a:read#3=EIO", "*:io#2=EIO", "b:*#5=EIO")
    for role, nr in calls:
        due(made, role, nr)
    assert made.seen() == [
        calls.count(("a", READ)),
        sum(nr in (READ, WRITE) for _, nr in calls),
        sum(role == "b" for role, _ in calls),
    ]


# What puts a call off


def test_what_puts_a_call_off_comes_before_what_becomes_of_it_whatever_the_order() -> None:
    made = core("read#*=EIO", "read#*=delay(1s)", "read#1=pause(1s)")
    waiting = made.count(made.root("main"), READ)
    order = []
    while later := made.putting_off(waiting):
        order.append(str(later.at.fault))
        waiting = [watch for watch in waiting if watch is not later]
    chosen = made.chosen(waiting)
    assert chosen is not None
    assert [*order, str(chosen.at.fault)] == ["delay(1s)", "pause(1s)", "EIO"]


def test_what_ends_a_hold_is_counted_in_its_own_role_and_is_no_fault_there() -> None:
    made = core("read=hold(until=main/0:write#2)")
    one = made.root("main/0")
    waiting = made.count(one, WRITE)
    made.meet(waiting)
    assert (made.met, made.seen()) == ([0], [0])
    waiting = made.count(one, WRITE)
    assert (made.putting_off(waiting), made.chosen(waiting)) == (None, None)
    made.meet(waiting)
    assert (made.met, made.fired) == ([1], [0])


def test_what_ends_a_hold_does_so_in_its_phase_only() -> None:
    made = core("read=hold(until=main/0:write#1+@stop)")
    one = made.root("main/0")
    made.meet(made.count(one, WRITE))
    assert made.met == [0]
    made.phase = "stop"
    made.meet(made.count(one, WRITE))
    assert made.met == [1]
