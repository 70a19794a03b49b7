"""Each kind of fault, met by real programs: what it does to the caller, and what it does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness._engine.runner import Runner
from tests.system.support import (
    MODES,
    calls,
    exit_status,
    files,
    harness,
    killed_by,
    needs,
    one_line,
    plan,
    python,
    roles,
    shell,
)

CProgram = Callable[..., str]

both_modes = pytest.mark.parametrize("mode", MODES)

# errno

_FAILING = {
    "openat": "os.open('f', os.O_CREAT | os.O_WRONLY)",
    "read": "os.read(zero, 1)",
    "pread64": "os.pread(zero, 1, 0)",
    "write": "os.write(null, b'x')",
    "pwrite64": "os.pwrite(null, b'x', 0)",
    "lseek": "os.lseek(null, 0, 1)",
    "newfstatat": "os.stat('/bin')",
    "mkdir": "os.mkdir('f')",
    "rmdir": "os.rmdir('d')",
    "rename": "os.rename('d', 'f')",
    "unlink": "os.unlink('g')",
    "symlink": "os.symlink('g', 'f')",
    "link": "os.link('g', 'f')",
    "chmod": "os.chmod('g', 0)",
    "ftruncate": "os.ftruncate(file, 1)",
    "fsync": "os.fsync(file)",
    "fdatasync": "os.fdatasync(file)",
    "flock": "fcntl.flock(file, fcntl.LOCK_EX)",
    "fcntl": "fcntl.fcntl(file, fcntl.F_SETPIPE_SZ, 4096)",
    "getdents64": "os.listdir('.')",
    "chdir": "os.chdir('/')",
    "getcwd": "os.getcwd()",
    "pipe2": "os.pipe()",
    "dup3": "os.dup2(null, 100, False)",
    "clone": "os.fork()",
    "execve": "os.execv('/bin/true', ['true'])",
    "kill": "os.kill(os.getpid(), 9)",
    "wait4": "os.waitpid(-1, 0)",
    "socket": "socket.socket()",
    "socketpair": "socket.socketpair()",
    "bind": "unbound.bind('f')",
    "listen": "unbound.listen()",
    "connect": "unbound.connect('g')",
    "accept4": "unbound.accept()",
    "sendto": "one.send(b'x')",
    "recvfrom": "one.recv(1, socket.MSG_DONTWAIT)",
    "sendmsg": "one.sendmsg([b'x'])",
    "recvmsg": "one.recvmsg(1)",
    "sendfile": "os.sendfile(null, file, 0, 1)",
    "copy_file_range": "os.copy_file_range(file, file, 1, 0, 10)",
    "splice": "os.splice(pipe, null, 1)",
    "poll": "select.poll().poll(0)",
    "epoll_create1": "select.epoll()",
    "clock_nanosleep": "time.sleep(1)",
    "eventfd2": "os.eventfd(0)",
    "memfd_create": "os.memfd_create('f')",
}
_FAIL = """
import _socket, errno, fcntl, os, select, socket, time
os.mkdir("d"); os.mkdir("e")
file = os.open("g", os.O_CREAT | os.O_RDWR); os.write(file, b"12")
zero, null = os.open("/dev/zero", os.O_RDONLY), os.open("/dev/null", os.O_WRONLY)
one, two = socket.socketpair()
unbound = socket.socket(socket.AF_UNIX)
pipe = os.pipe()[0]
os.kill(os.getpid(), 0)
try:
    {act}
except OSError as error:
    os.writev(1, [errno.errorcode[error.errno].encode()])
os._exit(0)
"""


@pytest.mark.parametrize("call", _FAILING)
def test_a_call_that_fails_is_not_carried_out(call: str, runner: Runner) -> None:
    code = python(_FAIL.format(act=_FAILING[call]))
    free = runner.run(plan(*code))
    nth = len(calls(free, "main", call))
    if not nth:
        pytest.skip(f"this interpreter does it by another call than {call}")
    result = runner.run(plan(*code, faults=[f"{call}#{nth}=EDQUOT"]))
    assert result.outcome.stdout.head == "EDQUOT"
    assert exit_status(result) == 0
    assert result.outcome.fired == (1,)
    assert files(result) == {"d": "dir", "e": "dir", "g": "file"}
    assert roles(result) == ["main"]


_CLOSED = """
import os, sys
read, write = os.pipe()
try:
    os.close(write)
except OSError as error:
    print(error.strerror, flush=True)
print(os.read(read, 1), flush=True)
"""


@both_modes
def test_a_close_that_fails_has_closed_all_the_same(mode: str, runner: Runner) -> None:
    free = runner.run(plan(*python(_CLOSED)))
    events = [e for e in free.trace.events if e.call in ("pipe2", "close")]
    start = next(i for i, e in enumerate(events) if e.call == "pipe2")
    nth = events[start + 1].nth
    if mode == "free":  # and there the same calls are made
        assert events[start + 1].call == "close"
    result = runner.run(plan(*python(_CLOSED), faults=[f"close#{nth}=EIO"], mode=mode))
    assert result.outcome.stdout.head == "Input/output error\nb''\n"
    assert exit_status(result) == 0


def test_closing_what_is_not_open_can_fail_too(runner: Runner) -> None:
    code = "import os\ntry: os.close(77)\nexcept OSError as error: print(error.errno)"
    free = runner.run(plan(*python(code)))
    nth = next(e.nth for e in free.trace.events if e.call == "close" and e.args == ("77",))
    result = runner.run(plan(*python(code), faults=[f"close#{nth}=EINTR"]))
    assert result.outcome.stdout.head == "4\n"


@both_modes
def test_a_fork_that_fails_costs_no_role(mode: str, runner: Runner) -> None:
    code = """
import os
def child():
    if os.fork() == 0: os._exit(0)
    os.wait()
for _ in range(3):
    try: child()
    except OSError as error: print(error.strerror, flush=True)
"""
    result = runner.run(plan(*python(code), faults=["clone#2=EAGAIN"], mode=mode))
    assert result.outcome.stdout.head == "Resource temporarily unavailable\n"
    assert set(roles(result)) == {"main", "main/0", "main/1"}


# short

_SHORT = {
    "read": "len(os.read(file, 5))",
    "pread64": "len(os.pread(file, 5, 1))",
    "readv": "os.readv(file, [bytearray(5)])",
    "preadv2": "os.preadv(file, [bytearray(5)], 1, os.RWF_HIPRI)",
    "write": "os.write(file, b'12345')",
    "pwrite64": "os.pwrite(file, b'12345', 1)",
    "writev": "os.writev(file, [b'123', b'45'])",
    "pwritev2": "os.pwritev(file, [b'123', b'45'], 1, os.RWF_DSYNC)",
    "recvfrom": "len(two.recv(5))",
    "recvmsg": "len(two.recvmsg(5)[0])",
    "sendto": "one.send(b'12345')",
    "sendmsg": "one.sendmsg([b'123', b'45'])",
    "sendfile": "os.sendfile(into, file, 0, 5)",
    "copy_file_range": "os.copy_file_range(file, other, 5)",
    "splice": "os.splice(file, into, 5)",
}
_SHORTEN = """
import os, socket
file = os.open("f", os.O_CREAT | os.O_RDWR)
for digit in range(10): os.write(file, b"%d" % digit)
os.lseek(file, 0, 0)
other = os.open("g", os.O_CREAT | os.O_RDWR)
null = os.open("/dev/null", os.O_WRONLY)
one, two = socket.socketpair()
for _ in range(5): os.write(one.fileno(), b"0123456789")
into = os.pipe()[1]
"""


@pytest.mark.parametrize("call", _SHORT)
def test_a_short_transfer_moves_what_the_fault_says(call: str, runner: Runner) -> None:
    code = python(f"{_SHORTEN}\ndone = {_SHORT[call]}\nos._exit(done)")
    whole = runner.run(plan(*code))
    assert exit_status(whole) == 5
    nth = len(calls(whole, "main", call))
    result = runner.run(plan(*code, faults=[f"{call}#{nth}=short(2)"]))
    assert exit_status(result) == 2
    assert result.outcome.fired == (1,)


def test_every_transfer_of_a_program_can_be_short(runner: Runner) -> None:
    acts = "\n".join(f"os.lseek(file, 0, 0); done += [{act}]" for act in _SHORT.values())
    code = python(f"{_SHORTEN}\ndone = []\n{acts}\nprint(set(done), flush=True)")
    golden = runner.run(plan(*code))
    assert golden.outcome.stdout.head == "{5}\n"
    start = {call: len(calls(golden, "main", call)) for call in ("read", "pread64")}
    # Not the interpreter's own start, which reads its library, thousands of bytes one by one.
    faults = [f"{call}#{nth}+=short(1)" for call, nth in start.items()]
    names = ("readv", "write*", "preadv*", "pwrite*", "recv*", "send*", "copy*", "splice")
    faults += [f"{name}#*=short(1)" for name in names]
    options = [word for fault in faults for word in ("--fault", fault)]
    done = harness("run", *options, "--", *code)
    assert (done.returncode, done.stdout) == (0, "{1}\n"), done.stderr


@pytest.mark.parametrize("family", ["io", "fs"])
def test_a_family_is_shortened_wherever_it_moves_data(family: str, tmp_path: Path) -> None:
    needs("busybox")  # static: a loader gives up at a short pread64
    (tmp_path / "FILE").write_text("0123456789")
    command = ("busybox", "sh", "-c", "echo start; busybox cat FILE")
    done = harness("run", "--fault", f"**:{family}#*=short(1)", "--", *command, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "start\n0123456789")
    fired = int(one_line(done.stderr).split(" fired ")[1].split()[0])
    assert fired >= len(done.stdout)


def test_the_net_family_is_what_sockets_move() -> None:
    code = "import socket\na, b = socket.socketpair()\nprint(a.send(b'123'), b.recvmsg(9)[0])"
    done = harness("run", "--fault", "net#*=short(1)", "--", *python(code))
    assert (done.returncode, done.stdout) == (0, "1 b'1'\n")
    assert "net#*=short(1) fired 2 times" in one_line(done.stderr)


@pytest.mark.parametrize("call", ["mkdir", "openat", "exit_group", "nanosleep"])
def test_what_moves_no_data_cannot_be_short(call: str) -> None:
    done = harness("run", "--fault", f"{call}=short(1)", "--", "true")
    assert done.returncode == 125
    assert call in one_line(done.stderr)


@both_modes
def test_a_short_transfer_waits_for_its_data_as_the_call_would(mode: str, runner: Runner) -> None:
    """The reader is first; what it waits for is the writer's work, and the end of it too."""
    script = "{ cat; } | { cat; }"
    result = runner.run(
        plan(*shell(script), faults=["**:read#*=short(3)"], stdin=b"0123456789", mode=mode)
    )
    assert result.outcome.stdout.head == "0123456789"
    assert exit_status(result) == 0


# signal

_INTERRUPTED = """
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
static volatile int handled;
static void handle(int number) { handled = number; }
int main(int argc, char **argv) {
    char c = 'x';
    int ends[2], result;
    sigset_t set;
    struct sigaction action = {.sa_handler = handle};
    struct timespec moment = {0, 1000};
    if (!strcmp(argv[1], "restart")) action.sa_flags = SA_RESTART;
    if (!strcmp(argv[1], "ignore")) action.sa_handler = SIG_IGN;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    if (!strcmp(argv[1], "block")) sigprocmask(SIG_BLOCK, &set, 0);
    if (strcmp(argv[1], "default")) sigaction(SIGUSR1, &action, 0);
    if (pipe(ends) || write(ends[1], &c, 1) != 1) return 99;
    errno = 0;
    if (!strcmp(argv[2], "read")) result = read(ends[0], &c, 1);
    else if (!strcmp(argv[2], "nanosleep")) result = clock_nanosleep(CLOCK_REALTIME, 0, &moment, 0);
    else if (!strcmp(argv[2], "close")) result = close(ends[0]);
    else result = mkdirat(AT_FDCWD, "made", 0700);
    if (result > 1) errno = result, result = -1;
    return (handled ? 100 : 0) + (result < 0 ? errno : 50 + result);
}
"""
_INTERRUPTED = "#define _GNU_SOURCE\n#include <sys/stat.h>\n" + _INTERRUPTED
_CALLS = {"read": "read", "nanosleep": "clock_nanosleep", "close": "close", "mkdirat": "mkdirat"}
_EINTR, _HANDLED = 4, 100
_DONE = {"read": 51, "nanosleep": 50, "close": 50, "mkdirat": 50}


@both_modes
@pytest.mark.parametrize("act", _CALLS)
@pytest.mark.parametrize("how", ["default", "handler", "restart", "ignore", "block"])
def test_a_signal_arrives_exactly_at_the_call(
    how: str, act: str, mode: str, runner: Runner, c_program: CProgram
) -> None:
    program = c_program(_INTERRUPTED)
    golden = runner.run(plan(program, how, act))
    assert exit_status(golden) == _DONE[act]
    nth = len(calls(golden, "main", _CALLS[act]))
    result = runner.run(
        plan(program, how, act, faults=[f"{_CALLS[act]}#{nth}=signal(USR1)"], mode=mode)
    )
    expected = {
        "default": killed_by("USR1"),
        "handler": _HANDLED + (_EINTR if act in ("read", "nanosleep") else _DONE[act]),
        "restart": _HANDLED + (_EINTR if act == "nanosleep" else _DONE[act]),
        "ignore": _DONE[act],
        "block": _DONE[act],
    }
    assert exit_status(result) == expected[how]
    assert result.outcome.fired == (1,)


@both_modes
def test_a_signal_that_is_ignored_by_default_changes_nothing(mode: str, runner: Runner) -> None:
    faults = ["read=signal(CHLD)", "write=signal(WINCH)"]
    result = runner.run(plan("/bin/cat", faults=faults, stdin=b"text\n", mode=mode))
    assert (exit_status(result), result.outcome.stdout.head) == (0, "text\n")
    assert result.outcome.fired == (1, 1)


@both_modes
def test_a_stop_signal_stops_until_somebody_continues(mode: str, runner: Runner) -> None:
    code = """
import os, signal
child = os.fork()
if child == 0:
    os.write(1, b"child\\n")
    os._exit(7)
_, status = os.waitpid(child, os.WUNTRACED)
os.write(1, b"stopped %d\\n" % os.WIFSTOPPED(status))
os.kill(child, signal.SIGCONT)
_, status = os.waitpid(child, 0)
os._exit(os.waitstatus_to_exitcode(status))
"""
    result = runner.run(plan(*python(code), faults=["main/0:write=signal(STOP)"], mode=mode))
    assert result.outcome.stdout.head == "stopped 1\nchild\n"
    assert exit_status(result) == 7


# hold


def test_a_held_child_is_what_its_parent_waits_for(runner: Runner) -> None:
    result = runner.run(plan(*shell("(echo x); echo y"), faults=["main/0:write=hold"]))
    assert result.outcome.end == "stuck"
    assert "main/0 is held at write#1 1 2" in result.outcome.report
    assert "main is blocked in wait4#1 0x0, for main/0" in result.outcome.report
    assert result.outcome.leftovers == ("main", "main/0")


# The parent goes on when its child is held in mkdir(2), call 83: in controlled mode because a task
# goes on until it blocks, in free mode because nothing else comes between.
_HELD = """
import os
read, write = os.pipe()
child = os.fork()
if child == 0: os.write(write, b"x"); os.mkdir("d"); os._exit(0)
os.read(read, 1)
while not open(f"/proc/{child}/syscall").read().startswith("83 "): pass
try: os.mkdir("/")  # is answered after the child's, so that one is held now
except OSError: pass
"""


@both_modes
def test_a_held_task_can_be_killed(mode: str, runner: Runner) -> None:
    code = f"{_HELD}\nos.kill(child, 9)\nos._exit(os.waitpid(child, 0)[1])"
    result = runner.run(plan(*python(code), faults=["main/0:mkdir=hold"], mode=mode))
    assert (result.outcome.end, exit_status(result)) == ("exited", 9)
    assert result.outcome.fired == (1,)
    assert files(result) == {}


@both_modes
def test_a_held_call_that_is_not_the_roots_lets_it_end(mode: str, runner: Runner) -> None:
    code = f"{_HELD}\nos._exit(4)"
    result = runner.run(plan(*python(code), faults=["main/0:mkdir=hold"], mode=mode))
    assert exit_status(result) == 4
    assert result.outcome.leftovers == ("main/0",)


# crash


@both_modes
def test_a_crash_in_a_child_is_the_status_that_its_parent_reads(mode: str, runner: Runner) -> None:
    script = "(echo x); echo $?"
    result = runner.run(plan(*shell(script), faults=["main/0:write=crash"], mode=mode))
    assert (exit_status(result), result.outcome.stdout.head) == (0, "137\n")


@both_modes
def test_a_crash_in_one_thread_is_the_end_of_its_process(mode: str, runner: Runner) -> None:
    code = """
import os, threading
if os.fork() == 0:
    thread = threading.Thread(target=os.mkdir, args=("d",))
    thread.start()
    thread.join()
    os._exit(3)
print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""
    faults = ["main/0#1:mkdir=crash"]
    result = runner.run(plan(*python(code), faults=faults, mode=mode))
    assert (exit_status(result), result.outcome.stdout.head) == (0, "-9\n"), result.outcome
    assert files(result) == {}


@pytest.mark.parametrize("name", ["SEGV", "TERM", "ABRT", "BUS"])
def test_a_crash_by_a_signal_is_a_death_of_that_signal(name: str, runner: Runner) -> None:
    for mode in MODES:
        result = runner.run(plan(*shell("echo x"), faults=[f"write=crash({name})"], mode=mode))
        assert exit_status(result) == killed_by(name)
        assert result.outcome.stdout.size == 0


@both_modes
@pytest.mark.parametrize("how", ["signal.SIG_IGN", "lambda *_: None", "block"])
def test_a_crash_is_one_whatever_the_program_does_about_it(
    how: str, mode: str, runner: Runner
) -> None:
    set_up = f"signal.signal(signal.SIGTERM, {how})"
    if how == "block":
        set_up = "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])"
    code = f"import os, signal\n{set_up}\nos.mkdir('a'); os.mkdir('b'); os._exit(0)"
    result = runner.run(plan(*python(code), faults=["mkdir=crash(TERM)"], mode=mode))
    assert exit_status(result) in (killed_by("TERM"), killed_by("KILL"))
    assert files(result) == {}


# crash-after

_AFTER = {
    "mkdir": (shell("mkdir a b"), "main:mkdir", {"a": "dir"}, ""),
    "rename": (
        python("import os\nopen('a', 'w')\nos.rename('a', 'b')\nos.rename('b', 'c')"),
        "main:rename",
        {"b": "file"},
        "",
    ),
    "file write": (shell("echo one >a; echo two >b"), "main:write", {"a": "file"}, ""),
    "pipe write": (shell("{ echo one; echo two; } | cat"), "main/0:write", {}, "one\n"),
}


@both_modes
@pytest.mark.parametrize("what", _AFTER)
def test_crash_after_leaves_the_effects_of_the_call_and_no_more(
    what: str,
    mode: str,
    runner: Runner,
    effort: str,
    record_property: Callable[[str, object], None],
) -> None:
    command, where, left, said = _AFTER[what]
    if what == "mkdir":
        command = ("/bin/mkdir", "a", "b")
    expected = 0 if what == "pipe write" else 137  # there a child dies, and cat has the last word
    trials = 50 if effort == "full" else 10
    record_property("trials", trials)
    for _ in range(trials):
        result = runner.run(plan(*command, faults=[f"{where}=crash-after"], mode=mode))
        assert (exit_status(result), result.outcome.fired) == (expected, (1,))
        assert files(result) == left
        assert result.outcome.stdout.head == said
        if what == "file write":
            assert [change.size for change in result.outcome.files] == [4]


@both_modes
def test_crash_after_a_fork_leaves_the_child_alive(mode: str, runner: Runner) -> None:
    code = "import os\nif os.fork() == 0: print('child', flush=True); os._exit(0)\nprint('parent')"
    result = runner.run(plan(*python(code), faults=["clone=crash-after"], mode=mode))
    assert (exit_status(result), result.outcome.stdout.head) == (137, "child\n")
    assert "main/0" in roles(result)
    assert result.outcome.end == "exited"


@both_modes
def test_crash_after_an_execve_is_the_end_of_the_new_program(mode: str, runner: Runner) -> None:
    script = "echo before; exec echo after"
    result = runner.run(plan(*shell(script), faults=["execve=crash-after"], mode=mode))
    assert (exit_status(result), result.outcome.stdout.head) == (137, "before\n")


@both_modes
def test_crash_after_waits_for_a_call_that_blocks(mode: str, runner: Runner) -> None:
    """The read is done when the writer has written; so the byte is gone from the pipe."""
    script = "mkfifo p; (read a; echo $a) <p & { echo one; echo two; } >p; wait $!; echo $?"
    result = runner.run(plan(*shell(script), faults=["main/*:read=crash-after"], mode=mode))
    assert result.outcome.stdout.head.splitlines()[-1:] == ["137"]


@both_modes
def test_crash_after_a_call_of_one_thread_is_the_end_of_all(mode: str, runner: Runner) -> None:
    code = """
import os, threading
thread = threading.Thread(target=lambda: (os.mkdir("a"), os.mkdir("b")))
thread.start()
thread.join()
os.mkdir("c")
"""
    result = runner.run(plan(*python(code), faults=["main#1:mkdir=crash-after"], mode=mode))
    assert exit_status(result) == 137
    assert files(result) == {"a": "dir"}


# Several


def test_the_first_of_two_faults_at_one_call_fires(runner: Runner) -> None:
    faults = ["mkdir=EIO", "mkdir=crash"]
    result = runner.run(plan("/bin/mkdir", "a", faults=faults))
    assert (result.outcome.fired, result.outcome.seen) == ((1, 0), (1, 1))
    assert exit_status(result) == 1


@pytest.mark.parametrize(
    ("nth", "made"),
    [("1", "bcde"), ("3", "abde"), ("*", ""), ("4+", "abc")],
)
def test_a_fault_fires_at_the_calls_that_it_names(nth: str, made: str, runner: Runner) -> None:
    result = runner.run(plan("/bin/mkdir", *"abcde", faults=[f"mkdir#{nth}=EIO"]))
    assert "".join(sorted(files(result))) == made


@both_modes
def test_a_fault_of_a_phase_waits_for_it(mode: str, runner: Runner) -> None:
    server = "trap 'echo bye; exit 0' TERM; echo start; sleep 100 & wait"
    for phase, fires in ("start", False), ("work", True), ("stop", True), ("settle", False):
        result = runner.run(
            plan(
                *shell(server),
                clients={"one": shell("sleep 0.1")},
                mode=mode,
                faults=[f"service:write#*@{phase}=EIO"],
            )
        )
        assert (phase, result.outcome.fired[0] > 0) == (phase, fires)
