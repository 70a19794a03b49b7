"""Which calls a signal can interrupt, read from a trace in which handlers are seen."""

import pytest

from harness import points
from harness.handlers import Handlers
from harness.trace import Event, Trace

INSTALLS = "main rt_sigaction#1 - USR1 handled"
RESTARTS = "main rt_sigaction#1 - USR1 restarts"


def last(*lines: str, functions: tuple[str, ...] = ()) -> bool:
    """Whether the last of these events may fail with EINTR."""
    handlers = Handlers(functions)
    return [handlers.see(Event.parse(line)) for line in lines][-1]


@pytest.mark.parametrize("call", ["read#1 - 3 9", "wait4#1 - 0x0", "poll#1 - 1"])
def test_where_nothing_is_handled_nothing_is_interrupted(call: str) -> None:
    assert not last(f"main {call}")
    assert last(INSTALLS, f"main {call}")


def test_a_handler_may_have_calls_carried_out_again_but_not_all() -> None:
    assert not last(RESTARTS, "main read#1 - 3 9")
    assert last(RESTARTS, "main poll#1 - 1")


def test_one_handler_of_several_suffices() -> None:
    assert last(INSTALLS, "main rt_sigaction#2 - INT restarts", "main read#1 - 3 9")


@pytest.mark.parametrize("how", ["default", "ignored"])
def test_what_is_handled_no_more_interrupts_no_more(how: str) -> None:
    assert not last(INSTALLS, f"main rt_sigaction#2 - USR1 {how}", "main read#1 - 3 9")
    assert last(INSTALLS, "main rt_sigaction#2 - USR1 -", "main read#1 - 3 9")


@pytest.mark.parametrize("signal", ["SEGV", "RTMIN-2"])
def test_what_a_program_does_to_itself_is_no_reason(signal: str) -> None:
    assert not last(f"main rt_sigaction#1 - {signal} handled", "main read#1 - 3 9")


@pytest.mark.parametrize("call", ["epoll_wait#1 - 3 9", "semop#1 - 1", "rt_sigtimedwait#1 -"])
def test_to_be_stopped_interrupts_some_without_any_handler(call: str) -> None:
    assert last(f"main {call}")


def test_a_socket_with_a_limit_in_time_is_interrupted_by_a_stop_too() -> None:
    assert last("main setsockopt#1 - 3 1 20", "main recvfrom#1 - 3 9 0x0")
    assert not last("main setsockopt#1 - 3 1 2", "main recvfrom#1 - 3 9 0x0")


def test_a_child_and_a_thread_have_the_handlers_of_their_parent_and_a_program_has_none() -> None:
    assert last(INSTALLS, "main/0 read#1 - 3 9")
    assert last(INSTALLS, "main#1 read#1 - 3 9")
    assert last(INSTALLS, "main#1/0 read#1 - 3 9")
    assert not last("main/0 rt_sigaction#1 - USR1 handled", "main read#1 - 3 9")
    assert not last(INSTALLS, 'main/0 execve#1 - "/bin/cat"', "main/0 read#1 - 3 9")


def test_a_function_is_called_by_an_interpreter_that_handles_the_keyboard() -> None:
    assert last("service read#1 - 3 9", functions=("service",))
    assert not last('service execve#1 - "/bin/cat"', "service read#1 - 3 9", functions=("service",))
    assert not last("client/0 read#1 - 3 9", functions=("service",))


def test_a_copy_learns_for_itself() -> None:
    handlers = Handlers()
    handlers.copy().see(Event.parse(INSTALLS))
    assert not handlers.see(Event.parse("main read#1 - 3 9"))


@pytest.mark.parametrize(
    ("kind", "tried"), [("errno", False), ("interrupted", True), ("EINTR", True)]
)
def test_who_asks_for_it_by_name_gets_it_anyway(kind: str, tried: bool) -> None:
    trace = Trace(events=(Event.mark("phase", 1, "work"), Event.parse("main wait4#1 - 0x0")))
    there = points.points(trace, handlers=Handlers())
    assert ("main:wait4=EINTR" in map(str, points.failing(there, kind))) == tried
    unknown = points.points(trace)
    assert "main:wait4=EINTR" in map(str, points.failing(unknown, kind))
