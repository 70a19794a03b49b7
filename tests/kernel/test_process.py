"""Processes that the test executes, and what the wrappers do to them. Nothing is forked here."""

import errno
import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from harness._kernel import process
from tests.kernel.servant import ROOT, Servant, command, run, wait_readable

NO_SUCH_PID = (1 << 22) + 1  # above PID_MAX_LIMIT
NO_SUCH_FD = 1_000_000_000


@pytest.fixture
def servant() -> Iterator[Servant]:
    with Servant() as servant:
        yield servant


@pytest.fixture(scope="module")
def bystander() -> Iterator[Servant]:
    """For tests that leave it as it was."""
    with Servant() as servant:
        yield servant


# Descriptors of another process


def test_a_duplicate_shares_the_open_file_with_its_owner(bystander: Servant) -> None:
    number = bystander.ask("[fd := os.memfd_create('shared'), os.write(fd, b'abcdef')][0]")
    bystander.ask("os.lseek(fd, 2, 0)")
    ours = process.get_fd(bystander.pidfd, number)
    try:
        assert os.read(ours, 2) == b"cd"
        assert bystander.ask("os.read(fd, 9).decode()") == "ef", "the offset is not shared"
        assert os.get_inheritable(ours) is False
    finally:
        os.close(ours)


def test_a_held_duplicate_hides_the_end_of_file(servant: Servant) -> None:
    reader = servant.take_fd("(ends := os.pipe())[0]")
    held = process.get_fd(servant.pidfd, servant.ask("ends[1]"))
    servant.kill()
    os.set_blocking(reader, False)
    with pytest.raises(BlockingIOError):
        os.read(reader, 1)
    os.close(held)
    assert os.read(reader, 1) == b""
    os.close(reader)


def test_a_number_that_is_not_open_gives_ebadf(bystander: Servant) -> None:
    with pytest.raises(OSError, match=r".") as caught:
        process.get_fd(bystander.pidfd, NO_SUCH_FD)
    assert caught.value.errno == errno.EBADF


def test_a_process_that_is_gone_gives_esrch(servant: Servant) -> None:
    servant.kill()
    with pytest.raises(ProcessLookupError):
        process.get_fd(servant.pidfd, 0)


def test_a_pidfd_of_no_process_gives_esrch() -> None:
    with pytest.raises(ProcessLookupError):
        process.open_pidfd(NO_SUCH_PID)


def test_a_pidfd_becomes_readable_at_the_end(servant: Servant) -> None:
    pidfd = process.open_pidfd(servant.pid)
    servant.process.kill()
    wait_readable(pidfd)
    os.close(pidfd)


# clone


def test_a_clone_is_0_in_the_child_and_the_childs_pid_in_the_parent(servant: Servant) -> None:
    servant.do(
        """
        pid = process.clone(0)
        if pid == 0:
            os._exit(7 if os.getppid() == control_pid else 1)
    """.replace("control_pid", str(servant.pid))
    )
    assert servant.ask("os.waitpid(pid, 0)[1] >> 8") == 7


def test_the_interpreters_own_fork_hooks_run(servant: Servant) -> None:
    servant.do("""
        hooks = []
        os.register_at_fork(
            before=lambda: hooks.append("before"),
            after_in_child=lambda: hooks.append("child"),
            after_in_parent=lambda: hooks.append("parent"),
        )
        pid = process.clone(0)
        if pid == 0:
            os._exit(7 if hooks == ["before", "child"] else 1)
    """)
    assert servant.ask("os.waitpid(pid, 0)[1] >> 8") == 7
    assert servant.ask("hooks") == ["before", "parent"]


def test_a_clone_that_fails_raises_and_leaves_the_interpreter_whole(servant: Servant) -> None:
    servant.do("hooks = []; os.register_at_fork(after_in_parent=lambda: hooks.append('parent'))")
    with pytest.raises(OSError, match="Invalid argument"):
        servant.ask("process.clone(uapi.CLONE_THREAD)")  # without CLONE_SIGHAND
    assert servant.ask("hooks") == ["parent"]
    assert servant.ask("subprocess.run(['true']).returncode") == 0
    servant.do("thread = threading.Thread(target=int); thread.start(); thread.join()")


def test_a_cloned_child_can_fork_spawn_and_have_threads(servant: Servant) -> None:
    """libc has not seen the clone: nothing that init does may depend on that."""
    servant.do("""
        pid = process.clone(0)
        if pid == 0:
            spawned = os.posix_spawn("/bin/true", ["true"], {})
            assert os.waitpid(spawned, 0)[1] == 0
            forked = os.fork() or os._exit(3)
            assert os.waitpid(forked, 0)[1] == 3 << 8
            seen = []
            thread = threading.Thread(target=lambda: seen.append(threading.get_native_id()))
            thread.start()
            thread.join()
            assert seen and seen != [os.getpid()]
            assert threading.get_native_id() == os.getpid()
            signal.raise_signal(signal.SIGKILL)
    """)
    assert servant.ask("os.waitpid(pid, 0)[1]") == signal.SIGKILL


# Signals


def test_kill_says_whether_the_process_was_there(servant: Servant) -> None:
    assert process.kill(servant.pid, 0) is True
    servant.kill()
    assert process.kill(servant.pid, 0) is False
    assert process.kill(NO_SUCH_PID, signal.SIGKILL) is False


def test_kill_fails_where_it_may_not(servant: Servant) -> None:
    if servant.ask("os.geteuid()") == 0:
        servant.do("os.setresuid(65534, 65534, 65534)")
    with pytest.raises(PermissionError):
        servant.ask("process.kill(1, 0)")


def test_a_task_is_signalled_alone(servant: Servant) -> None:
    servant.do("""
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
        started, stop = threading.Event(), threading.Event()
        thread = threading.Thread(target=lambda: (started.set(), stop.wait()), daemon=True)
        thread.start()
        started.wait()
    """)
    tid = servant.ask("thread.native_id")
    process.signal_task(servant.pid, tid, signal.SIGUSR1)
    assert pending(servant.pid, tid) == 1 << signal.SIGUSR1 - 1
    assert pending(servant.pid, servant.pid) == 0
    servant.do("stop.set(); thread.join()")


def pending(pid: int, tid: int) -> int:
    """The signals pending for one thread. Source: proc_pid_status(5)."""
    with open(f"/proc/{pid}/task/{tid}/status") as status:
        return next(int(line.split()[1], 16) for line in status if line.startswith("SigPnd:"))


def test_a_task_that_is_gone_or_of_another_process_gives_esrch(servant: Servant) -> None:
    with pytest.raises(ProcessLookupError):
        process.signal_task(servant.pid, os.getpid(), 0)
    pid = servant.pid
    servant.kill()
    with pytest.raises(ProcessLookupError):
        process.signal_task(pid, pid, 0)


# What becomes of them without us


def test_orphans_below_a_subreaper_become_its_children(servant: Servant) -> None:
    servant.do("""
        process.become_subreaper()
        ends = os.pipe()
        middle = subprocess.run(
            ["sh", "-c", "exec 3<&0; cat <&3 >/dev/null & echo $!"],
            stdin=ends[0],
            stdout=subprocess.PIPE,
        )
        orphan = int(middle.stdout)
    """)
    parent = servant.ask("open(f'/proc/{orphan}/stat').read().rpartition(')')[2].split()[1]")
    assert int(parent) == servant.pid
    servant.do("os.close(ends[1])")
    assert servant.ask("os.waitpid(orphan, 0) == (orphan, 0)") is True


def test_a_child_that_dies_with_its_parent_is_killed_when_that_is() -> None:
    reader, held_by_child = os.pipe()
    parent = subprocess.Popen(
        command("orphan", str(held_by_child)),
        cwd=ROOT,
        pass_fds=[held_by_child],
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    os.close(held_by_child)
    with parent, open(reader, "rb") as end_of_child:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        pidfd = os.pidfd_open(child)
        parent.kill()
        wait_readable(end_of_child.fileno())
        assert end_of_child.read() == b""
        wait_readable(pidfd)
        os.close(pidfd)


# What they may do


def test_no_new_privileges_are_gained_from_then_on(servant: Servant) -> None:
    servant.do("process.give_up_new_privileges()")
    with open(f"/proc/{servant.pid}/status") as status:
        assert "NoNewPrivs:\t1\n" in status.read()


def test_without_randomisation_each_program_lies_where_the_last_one_did() -> None:
    assert len({run("stack", "fixed")["stack"] for _ in range(3)}) == 1


def test_with_randomisation_they_differ() -> None:
    """Or the test above would prove nothing."""
    with open("/proc/sys/kernel/randomize_va_space") as setting:
        if setting.read().strip() == "0":
            pytest.skip("no randomisation here; fix: sudo sysctl -w kernel.randomize_va_space=2")
    assert len({run("stack", "as it is")["stack"] for _ in range(3)}) > 1


# Where and when they run


def test_a_pinned_process_may_run_on_one_processor_until_it_may_run_anywhere(
    servant: Servant,
) -> None:
    before = os.sched_getaffinity(servant.pid)
    one = max(before)
    process.pin(servant.pid, one)
    assert os.sched_getaffinity(servant.pid) == {one}
    process.run_anywhere(before, servant.pid)
    assert os.sched_getaffinity(servant.pid) == before


def test_pin_0_is_the_caller(servant: Servant) -> None:
    one = min(os.sched_getaffinity(0))
    servant.ask(f"process.pin(0, {one})")
    assert os.sched_getaffinity(servant.pid) == {one}
    assert os.sched_getaffinity(0) >= {one}


def test_real_time_is_round_robin_until_it_is_undone(servant: Servant) -> None:
    try:
        process.schedule_in_real_time(servant.pid, 1)
    except PermissionError:
        pytest.skip("no real-time priority for this user; fix: run as root, or ulimit -r 2")
    assert os.sched_getscheduler(servant.pid) == os.SCHED_RR
    assert os.sched_getparam(servant.pid).sched_priority == 1
    process.run_anywhere(os.sched_getaffinity(0), servant.pid)
    assert os.sched_getscheduler(servant.pid) == os.SCHED_OTHER


def test_real_time_is_refused_where_it_is_not_allowed(servant: Servant) -> None:
    servant.do("import resource; resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))")
    if servant.ask("os.geteuid()") == 0:
        servant.do("os.setresuid(65534, 65534, 65534)")
    with pytest.raises(PermissionError):
        servant.ask("process.schedule_in_real_time(0, 1)")
    servant.ask("process.run_anywhere(os.sched_getaffinity(0))")
