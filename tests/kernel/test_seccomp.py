"""A real filter on a process that the test executes, and its listener in our hands."""

import errno
import os
import select
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness._kernel import memory, process
from harness._kernel.seccomp import Listener, check_user_notification
from harness._kernel.uapi import AUDIT_ARCH_X86_64, ERESTARTNOHAND, ERESTARTNOINTR
from harness.calls import NR
from tests.kernel.servant import Servant, wait_readable

# Calls that the interpreter never makes by itself, so that each notification is the test's own.
GETPGID, GETSID, MKDIR = NR["getpgid"], NR["getsid"], NR["mkdir"]
NOWHERE = (1 << 63) + 12345
TRAPS = f"{{{GETPGID}: (), {GETSID}: (ArgTest(0, 'eq', 77),), {MKDIR}: ()}}"


@pytest.fixture(scope="module", autouse=True)
def _machine() -> None:
    try:
        check_user_notification()
    except OSError as error:
        pytest.skip(f"no seccomp user notification: {error}; fix: harness doctor says how")


@pytest.fixture
def servant() -> Iterator[Servant]:
    """It has the filter, and we the listener's only descriptor."""
    with Servant() as servant:
        servant.do("process.give_up_new_privileges()")
        yield servant


@pytest.fixture
def listener(servant: Servant) -> Iterator[Listener]:
    servant.do(f"listener = seccomp.install(program({TRAPS}))")
    listener = Listener(servant.take_fd("listener"))
    servant.do("os.close(listener)")
    yield listener
    servant.kill()
    listener.close()


def trapped(servant: Servant, listener: Listener, call: str) -> int:
    """Let the servant make a call that is trapped; the notification's id."""
    servant.begin(call)
    wait_readable(listener.fd)
    return listener.receive()[0]


def test_a_notification_says_who_calls_what_with_which_arguments(
    servant: Servant, listener: Listener
) -> None:
    # Every argument is 64 bits, unsigned.
    libc = "ctypes.CDLL(None).syscall"
    words = [5, 0, 1 << 40, (1 << 64) - 1, 1 << 63, 7]
    arguments = ", ".join(f"ctypes.c_uint64({word})" for word in words)
    servant.begin(f"{libc}({GETPGID}, {arguments})")
    wait_readable(listener.fd)
    ident, pid, flags, nr, arch, pointer, *args = listener.receive()
    assert (pid, flags, nr, arch) == (servant.pid, 0, GETPGID, AUDIT_ARCH_X86_64)
    assert args == words
    assert pointer > 0
    listener.answer(ident, 3)
    assert servant.result() == 3


def test_a_call_that_proceeds_is_carried_out(
    servant: Servant, listener: Listener, tmp_path: Path
) -> None:
    path = tmp_path / "made"
    ident = trapped(servant, listener, f"os.mkdir({str(path)!r})")
    assert not path.exists()
    listener.proceed(ident)
    servant.result()
    assert path.is_dir()


def test_an_answered_call_is_not_carried_out_and_returns_the_value(
    servant: Servant, listener: Listener, tmp_path: Path
) -> None:
    path = tmp_path / "made"
    listener.answer(trapped(servant, listener, f"os.mkdir({str(path)!r})"), 0)
    servant.result()
    assert not path.exists()


def test_values_are_passed_as_they_are_also_large_ones(
    servant: Servant, listener: Listener
) -> None:
    servant.do("libc = ctypes.CDLL(None); libc.syscall.restype = ctypes.c_long")
    for value in (0, 1, 1 << 40, -(1 << 40)):
        listener.answer(trapped(servant, listener, f"libc.syscall({GETPGID}, 0)"), value)
        assert servant.result() == value


def test_a_call_can_fail_with_any_error(servant: Servant, listener: Listener) -> None:
    for number in (errno.ENOSPC, errno.EINTR, 1, 4095):
        listener.answer(trapped(servant, listener, "os.getpgid(0)"), 0, number)
        with pytest.raises(OSError, match=r".") as caught:
            servant.result()
        assert caught.value.errno == number


@pytest.mark.parametrize("restart", [ERESTARTNOINTR, ERESTARTNOHAND])
def test_an_answer_may_have_the_call_made_again_once_a_signal_has_come(
    servant: Servant, listener: Listener, restart: int
) -> None:
    """Without a signal the program would see the number itself, which no program knows."""
    ident = trapped(servant, listener, "os.getpgid(0)")
    process.kill(servant.pid, signal.SIGCHLD)  # ignored: no handler runs
    process.kill(servant.pid, signal.SIGSTOP)
    process.kill(servant.pid, signal.SIGCONT)
    listener.answer(ident, 0, restart)
    wait_readable(listener.fd)
    again = listener.receive()
    assert again[0] != ident
    assert again[3] == GETPGID
    listener.answer(again[0], 9)
    assert servant.result() == 9


def test_a_parked_call_is_not_disturbed_by_a_signal(servant: Servant, listener: Listener) -> None:
    """WAIT_KILLABLE_RECV: without it SIGCHLD alone would abort the notification."""
    servant.do("seen = []; signal.signal(signal.SIGUSR1, lambda *a: seen.append(1))")
    ident = trapped(servant, listener, "(os.getpgid(0), seen)")
    process.kill(servant.pid, signal.SIGUSR1)
    assert listener.is_alive(ident)
    listener.answer(ident, 4)
    assert servant.result()[0] == 4
    assert servant.ask("seen") == [1]


def test_a_call_whose_argument_test_fails_is_not_trapped(
    servant: Servant, listener: Listener
) -> None:
    # Not `> 0`: where the session's leader is outside of our PID namespace it is 0.
    assert servant.ask("os.getsid(0)") == os.getsid(servant.pid)
    ident = trapped(servant, listener, "os.getsid(77)")
    listener.answer(ident, 1)
    assert servant.result() == 1


def test_the_arguments_memory_can_be_read_while_the_call_waits(
    servant: Servant, listener: Listener
) -> None:
    servant.begin("os.mkdir('/nowhere/at all')")
    wait_readable(listener.fd)
    notification = listener.receive()
    there = memory.Memory(servant.pid)
    path = there.string(notification[6])
    there.close()
    assert listener.is_alive(notification[0])
    listener.answer(notification[0], 0, errno.EROFS)
    assert path == b"/nowhere/at all"
    with pytest.raises(OSError, match="Read-only"):
        servant.result()


# Descriptors


def test_an_added_descriptor_is_the_lowest_free_one_there(
    servant: Servant, listener: Listener, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"given")
    lowest = servant.ask("[lowest := os.dup(0), os.close(lowest)][0]")
    with open(tmp_path / "file", "rb") as file:
        ident = trapped(servant, listener, "os.getpgid(0)")
        number = listener.add_fd(ident, file.fileno())
    assert number == lowest
    listener.answer(ident, number)
    assert servant.result() == number
    assert servant.ask(f"os.pread({number}, 9, 0).decode()") == "given"
    assert servant.ask(f"os.get_inheritable({number})") is True


def test_an_added_descriptor_can_be_close_on_exec(servant: Servant, listener: Listener) -> None:
    ident = trapped(servant, listener, "os.getpgid(0)")
    number = listener.add_fd(ident, 0, cloexec=True)
    listener.answer(ident, 0)
    servant.result()
    assert servant.ask(f"os.get_inheritable({number})") is False


def test_a_descriptor_can_be_added_at_a_number_closing_what_was_there(
    servant: Servant, listener: Listener, tmp_path: Path
) -> None:
    """So a close that fails still closes: the number gets a dummy first."""
    reader = servant.take_fd("(ends := os.pipe())[0]")
    servant.do("os.close(ends[0])")
    writer = servant.ask("ends[1]")
    (tmp_path / "dummy").write_bytes(b"dummy")
    with open(tmp_path / "dummy", "rb") as file:
        ident = trapped(servant, listener, "os.getpgid(0)")
        assert listener.add_fd(ident, file.fileno(), at=writer) == writer
    listener.answer(ident, 0)  # only on its way back does the caller let go of the old file
    servant.result()
    wait_readable(reader)
    assert os.read(reader, 1) == b"", "the write end is still open"
    os.close(reader)
    assert servant.ask(f"os.pread({writer}, 9, 0).decode()") == "dummy"


@pytest.mark.parametrize("number", [0, 200])
def test_a_descriptor_can_be_added_at_number(
    servant: Servant, listener: Listener, number: int
) -> None:
    """0 is a number like any other."""
    ours, theirs = os.pipe()
    ident = trapped(servant, listener, "os.getpgid(0)")
    assert listener.add_fd(ident, theirs, at=number) == number
    os.close(theirs)
    listener.answer(ident, 0)
    servant.result()
    servant.ask(f"os.write({number}, b'here')")
    assert os.read(ours, 9) == b"here"
    os.close(ours)


def test_adding_a_descriptor_can_answer_the_call_at_once(
    servant: Servant, listener: Listener
) -> None:
    ident = trapped(servant, listener, "os.getpgid(0)")
    number = listener.add_fd(ident, 0, send=True)
    assert servant.result() == number
    assert not listener.is_alive(ident)


def test_adding_fails_where_the_caller_may_have_no_more(
    servant: Servant, listener: Listener
) -> None:
    servant.do("import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))")
    ident = trapped(servant, listener, "os.getpgid(0)")
    with pytest.raises(OSError, match="Too many open files"):
        listener.add_fd(ident, 0)
    listener.answer(ident, 0)
    servant.result()


# Death


def test_whatever_is_done_for_a_task_that_died_gives_enoent(
    servant: Servant, listener: Listener
) -> None:
    ident = trapped(servant, listener, "os.getpgid(0)")
    assert listener.is_alive(ident)
    servant.kill()
    assert not listener.is_alive(ident)
    for late in (
        lambda: listener.proceed(ident),
        lambda: listener.answer(ident, 0),
        lambda: listener.answer(ident, 0, errno.EIO),
        lambda: listener.add_fd(ident, 0),
        lambda: listener.add_fd(ident, 0, send=True),
    ):
        with pytest.raises(FileNotFoundError):
            late()


def test_a_task_that_died_before_it_was_received_is_not_received(
    servant: Servant, listener: Listener
) -> None:
    servant.begin("os.getpgid(0)")
    wait_readable(listener.fd)
    servant.kill()
    os.set_blocking(listener.fd, False)
    with pytest.raises(OSError, match=r".") as caught:
        listener.receive()
    assert caught.value.errno in (errno.ENOENT, errno.EAGAIN)


def test_when_every_filtered_task_is_gone_the_listener_hangs_up_and_has_nothing_to_read(
    servant: Servant, listener: Listener
) -> None:
    servant.kill()
    poll = select.poll()
    poll.register(listener.fd, select.POLLIN)
    assert poll.poll(0) == [(listener.fd, select.POLLHUP)]


def test_an_unknown_id_is_not_alive_and_cannot_be_answered(
    servant: Servant, listener: Listener
) -> None:
    assert not listener.is_alive(NOWHERE)
    with pytest.raises(FileNotFoundError):
        listener.proceed(NOWHERE)


def test_a_call_is_answered_once(servant: Servant, listener: Listener) -> None:
    ident = trapped(servant, listener, "os.getpgid(0)")
    listener.answer(ident, 1)
    with pytest.raises(OSError, match=r".") as caught:
        listener.answer(ident, 2)
    assert caught.value.errno in (errno.ENOENT, errno.EINPROGRESS)
    assert servant.result() == 1


def test_without_its_listener_a_trapped_call_answers_enosys(
    servant: Servant, listener: Listener
) -> None:
    trapped(servant, listener, "os.getpgid(0)")
    listener.close()
    listener.close()  # a second time does nothing
    with pytest.raises(OSError, match="Function not implemented"):
        servant.result()


# Installing


def test_the_listener_is_close_on_exec(servant: Servant) -> None:
    servant.do(f"listener = seccomp.install(program({TRAPS}))")
    assert servant.ask("os.get_inheritable(listener)") is False


def test_a_second_listener_is_refused_with_ebusy(servant: Servant, listener: Listener) -> None:
    with pytest.raises(OSError, match=r".") as caught:
        servant.ask(f"seccomp.install(program({TRAPS}))")
    assert caught.value.errno == errno.EBUSY


def test_a_child_is_filtered_too_and_may_have_no_listener_of_its_own(
    servant: Servant, listener: Listener
) -> None:
    servant.do(f"""
        pid = process.clone(0)
        if pid == 0:
            try:
                seccomp.install(program({TRAPS}))
            except OSError as error:
                os.getpgid(error.errno)
            os._exit(0)
    """)
    wait_readable(listener.fd)
    ident, pid, _, nr, *_ = listener.receive()
    assert (pid, nr) == (servant.ask("pid"), GETPGID)
    listener.answer(ident, 0)
    assert servant.ask("os.waitpid(pid, 0)[1]") == 0


def test_without_privilege_or_no_new_privs_a_filter_is_refused_with_eacces() -> None:
    with Servant() as servant:
        if servant.ask("os.geteuid()") == 0:
            servant.do("os.setgroups([]); os.setresgid(65534, 65534, 65534)")
            servant.do("os.setresuid(65534, 65534, 65534)")
        with pytest.raises(PermissionError) as caught:
            servant.ask(f"seccomp.install(program({TRAPS}))")
        assert caught.value.errno == errno.EACCES


def test_the_kernel_takes_the_longest_program_that_is_built(servant: Servant) -> None:
    servant.do("""
        traps = dict.fromkeys(range(1000, 3100, 2), ())
        while True:
            try:
                code = program(traps)
                break
            except ValueError:
                traps.pop(max(traps))
        listener = seccomp.install(code)
    """)
    assert servant.ask("len(code) // 8") > 3800


def test_waking_synchronously_is_known_or_refused_without_an_error(listener: Listener) -> None:
    assert listener.wake_synchronously() in (True, False)
    release = tuple(map(int, os.uname().release.split(".")[:2]))
    assert listener.wake_synchronously() is (release >= (6, 6))
