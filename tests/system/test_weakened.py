"""A trial in which something could not be held still says so: by whom, why, and since when."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness._engine.runner import Runner
from harness._engine.store import load
from harness._engine.trial import TrialResult
from tests.system.support import (
    PATIENCE_S,
    clean_environment,
    harness,
    plan,
    python,
    shell,
)

CProgram = Callable[..., str]

USED = "main reads how much processor time was used"
_CALL = "import ctypes; call = ctypes.CDLL(None, use_errno=True).syscall; "
_FORK = "\nimport os\nif os.fork() == 0: os._exit(0)\nos.wait()"

#: What a Python program does, and what is said of it.
PROGRAMS = {
    "clock_gettime": ("import time; time.clock_gettime(-6)", f"{USED} (clock_gettime)"),
    "wait4": (
        "import os\nif os.fork() == 0: os._exit(0)\nos.wait4(-1, 0)",
        f"{USED} (wait4)",
    ),
    "setitimer": (
        "import signal; signal.setitimer(signal.ITIMER_PROF, 100)",
        "main sets a timer of processor time (setitimer)",
    ),
    "semtimedop": (
        f"{_CALL}call(220, call(64, 0, 1, 0o1600), bytes(6), 1, bytes(16))",
        "main waits by real time (semtimedop)",
    ),
    "io_uring": (
        f"{_CALL}print(call(425, 8, bytes(120)), ctypes.get_errno())",
        "main asks for io_uring, and is told that there is none",
    ),
    "anonymous memory": (
        f"import mmap; m = mmap.mmap(-1, 4096){_FORK}",
        "main shares memory with a child",
    ),
    "a file": (
        "import mmap; f = open('f', 'w+b'); f.truncate(4096);"
        f"m = mmap.mmap(f.fileno(), 4096){_FORK}",
        "main shares memory with a child",
    ),
    "a file of two": (
        "import mmap, os; f = open('f', 'w+b'); f.truncate(4096)\n"
        "if os.fork() == 0: mmap.mmap(f.fileno(), 4096); os._exit(0)\n"
        "m = mmap.mmap(f.fileno(), 4096, prot=mmap.PROT_READ); os.wait()",
        "main/0 shares memory with main",
    ),
    "System V memory": (
        f"{_CALL}call(30, call(29, 0, 4096, 0o1600), None, 0){_FORK}",
        "main shares memory with a child",
    ),
    "/proc/uptime": ("open('/proc/uptime')", "main opens /proc/uptime, which is not held still"),
    "/proc of a process": (
        "import os; open(f'/proc/{os.getpid()}/stat')",
        "main opens /proc/PID/stat, which is not held still",
    ),
}


def said(result: TrialResult) -> list[str]:
    return [one.describe() for one in result.outcome.weakened]


@pytest.mark.parametrize("what", PROGRAMS)
def test_what_a_program_does_weakens_its_trial(what: str, runner: Runner) -> None:
    code, reason = PROGRAMS[what]
    result = runner.run(plan(*python(code), stdin=b""))
    assert (said(result), result.outcome.exit_code) == ([reason], 0), result.outcome


STEADY = {
    "a pipeline": shell("seq 30 | sort -r | tail -n 3; date; sleep 5; ls /etc; uname -a"),
    "memory of its own": python(
        f"import mmap; m = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE){_FORK}"
    ),
    "shared memory that is gone": python(f"import mmap; mmap.mmap(-1, 4096).close(){_FORK}"),
    "memory shared with no one": python("import mmap; m = mmap.mmap(-1, 4096)"),
    "a file that is only read": python(
        "import mmap; f = open('/etc/passwd');"
        f"m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ){_FORK}"
    ),
    "threads": python("import threading as t; x = t.Thread(target=print); x.start(); x.join()"),
    "processor time": python("import os, resource as r, time; time.process_time(); os.times()"),
    "other clocks": python("import time; time.time(); time.monotonic(); time.perf_counter()"),
    "its maps": python("open('/proc/self/maps')"),
}


@pytest.mark.parametrize("what", STEADY)
def test_an_ordinary_program_weakens_nothing(what: str, runner: Runner) -> None:
    result = runner.run(plan(*STEADY[what], stdin=b""))
    assert (said(result), result.outcome.exit_code) == ([], 0), result.outcome


def test_in_free_mode_nothing_is_held_and_nothing_is_said(runner: Runner) -> None:
    code, _ = PROGRAMS["anonymous memory"]
    code += "\nimport time; time.clock_gettime(-6); open('/proc/stat')"
    result = runner.run(plan(*python(code), mode="free"))
    assert said(result) == []


def test_it_is_said_once_and_since_when(runner: Runner) -> None:
    result = runner.run(plan(*shell("exec </dev/null; for i in 1 2 3; do : </proc/uptime; done")))
    (one,) = result.outcome.weakened
    exec_is, *_ = (
        i for i, event in enumerate(result.trace.events, 1) if '"/dev/null"' in event.args
    )
    assert (one.role, one.event >= exec_is) == ("main", True), result.trace.lines()


def test_what_is_looked_at_is_no_event(runner: Runner) -> None:
    """Who goes next, and every digest, must not depend on it."""
    quiet = runner.run(plan(*python("pass"), seed=3))
    looked_at = runner.run(plan(*python("import mmap; mmap.mmap(-1, 4096)"), seed=3))
    names = {event.call for event in looked_at.trace.events}
    assert not names & {"mmap", "getrusage", "times", "sysinfo"}
    assert quiet.outcome.exit_code == looked_at.outcome.exit_code == 0


def test_a_fault_at_such_a_call_still_fires(runner: Runner) -> None:
    fault = "getrusage=EFAULT"
    code = "import resource; resource.getrusage(0)"
    result = runner.run(plan(*python(code), faults=[fault]))
    assert result.outcome.fired == (1,)
    assert "EFAULT" in result.outcome.stderr.head or "Bad address" in result.outcome.stderr.head


_WOKEN = """
import os, threading
os.mkfifo("f")
threading.Thread(target=lambda: open("f", "rb").close()).start()
open("f", "wb").close()
"""


def test_a_thread_that_the_kernel_wakes_runs_beside_another(runner: Runner) -> None:
    result = runner.run(plan(*python(_WOKEN)))
    (reason,) = said(result)
    assert reason.endswith(" has run beside another thread of its process")


_IN_TURN = """
import concurrent.futures, os, queue, signal, socket, subprocess, threading, time
a, b = socket.socketpair(); r, w = os.pipe(); q = queue.Queue(1); lock = threading.Lock()
def reads(): a.recv(1); os.read(r, 1); q.get(); q.get()
with concurrent.futures.ThreadPoolExecutor(3) as pool:
    one = pool.submit(reads)
    b.send(b"x"); os.write(w, b"x"); q.put(1); q.put(2)
    list(pool.map(lambda n: time.sleep(n), [3, 1, 2])); one.result()
    list(pool.map(lambda n: subprocess.run(["true"]), range(3)))
"""


def test_threads_that_take_turns_weaken_nothing(runner: Runner) -> None:
    result = runner.run(plan(*python(_IN_TURN)))
    assert (said(result), result.outcome.exit_code) == ([], 0), result.outcome


_TRACED = """
import ctypes, os, signal
ptrace = ctypes.CDLL(None).ptrace
if os.fork() == 0:
    ptrace(0, 0, 0, 0)
    os.execv("/bin/date", ["date", "+%Y"])
os.wait()
ptrace(17, 2, 0, 0) and ptrace(17, os.getpid() + 1, 0, 0)
os.wait()
"""


def test_a_program_whose_clock_is_real_is_named(runner: Runner) -> None:
    """Somebody else traces it, so that we cannot."""
    result = runner.run(plan(*python(_TRACED)))
    assert said(result) == ["main/0 reads the real clock (ptrace: Operation not permitted)"]
    assert result.outcome.stdout.head != "2026\n" or _this_year() == "2026"


def _this_year() -> str:
    return subprocess.run(
        ["date", "+%Y"], capture_output=True, text=True, check=True
    ).stdout.strip()


_GO_NOTE = r"""
__asm__(".pushsection .note.go.buildid, \"a\", @note\n"
        ".long 4, 4, 4\n.asciz \"Go\"\n.byte 0\n.asciz \"abc\"\n.popsection");
int main(void) { return 0; }
"""


def test_a_program_in_go_is_known_by_its_note(runner: Runner, c_program: CProgram) -> None:
    result = runner.run(plan(c_program(_GO_NOTE)))
    assert said(result) == ["main runs a program in Go, which reads the processor's own counter"]


_SPINS = r"""
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
static volatile int *flag;
static void *sets(void *unused) {
    for (int i = 0; i < 20; i++)
        getppid(), access("/", 0), nanosleep(&(struct timespec){100, 0}, NULL);
    *flag = 1;
    return unused;
}
int main(int count, char **arguments) {
    flag = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_t thread;
    if (!strcmp(arguments[1], "threads"))
        pthread_create(&thread, NULL, sets, NULL);
    else if (!fork())
        sets(NULL), _exit(0);
    time_t began = time(NULL);
    while (!*flag)
        ;
    printf("seen after %ld\n", (long)(time(NULL) - began));
    fflush(stdout);
    wait(NULL);
    return count - 2;
}
"""
MEANWHILE = "main computes for long, and others that share its memory go on meanwhile"


@pytest.mark.parametrize("who", ["threads", "processes"])
def test_who_waits_by_looking_is_not_waited_for(
    who: str, runner: Runner, c_program: CProgram
) -> None:
    result = runner.run(plan(c_program(_SPINS, "-pthread"), who))
    assert result.outcome.stdout.head == "seen after 2000\n", result.outcome
    assert said(result)[-1] == MEANWHILE
    assert result.outcome.exit_code == 0


def test_a_python_thread_that_waits_by_looking_is_not_waited_for(runner: Runner) -> None:
    code = """
import threading, time
done = []
threading.Thread(target=lambda: (time.sleep(5), done.append(1))).start()
while not done: pass
print("seen")
"""
    result = runner.run(plan(*python(code)))
    assert (result.outcome.stdout.head, said(result)) == ("seen\n", [MEANWHILE])


def test_who_shares_no_memory_may_compute_as_long_as_it_takes(runner: Runner) -> None:
    """What it computes is the same in each run, so it is waited for."""
    code = (
        "import os\nif os.fork() == 0:\n"
        "    for _ in range(500): sum(range(10**5))\n    print('one'); os._exit(0)\n"
        "os.wait(); print('two')"
    ).replace("print('one')", "os.write(1, b'one ')")
    result = runner.run(plan(*python(code)))
    assert result.outcome.stdout.head == "one two\n"
    assert said(result) == []


def test_who_computes_for_very_long_leaves_the_processor_to_others_too(runner: Runner) -> None:
    """In real time it would starve what is ordinary. An ordinary user never has it."""
    code = "import os\nwhile os.sched_getscheduler(0) == os.SCHED_RR: pass\nprint('left')"
    result = runner.run(plan(*python(code), deadline_s=30))
    assert (result.outcome.stdout.head, said(result)) == ("left\n", [])


def test_who_spins_for_ever_is_ended_by_the_deadline_and_named(
    runner: Runner, c_program: CProgram
) -> None:
    alone = runner.run(plan(*python("while True: pass"), deadline_s=0.5))
    assert (alone.outcome.end, said(alone)) == ("deadline", [])
    assert "main computes since" in alone.outcome.report
    source = _SPINS.replace("*flag = 1", "*flag = 0")
    together = runner.run(plan(c_program(source, "-pthread"), "threads", deadline_s=2))
    assert (together.outcome.end, said(together)) == ("deadline", [MEANWHILE])


def test_sysinfo_is_the_same_everywhere_and_goes_by_the_trials_time(runner: Runner) -> None:
    code = (
        f"{_CALL}import struct, time\n"
        "def up():\n"
        "    b = ctypes.create_string_buffer(112); call(99, b)\n"
        "    return struct.unpack('=q12Q', b[:104])\n"
        "a = up(); time.sleep(500); b = up(); print(b[0] - a[0], a[1:] == b[1:], a[4] >> 30)"
    )
    result = runner.run(plan(*python(code)))
    assert (result.outcome.stdout.head, said(result)) == ("500 True 4\n", [])


# ---- Where it is said ----------------------------------------------------------------------------


def test_run_show_and_replay_say_it(tmp_path: Path) -> None:
    command = ("--", "sh", "-c", "cat /proc/uptime >/dev/null")
    made = harness("run", "--record", "r.json", *command, cwd=tmp_path)
    reason = "main/0 opens /proc/uptime, which is not held still"
    assert f"; weakened: {reason}; " in made.stderr, made
    (one,) = load(tmp_path / "r.json").expected.weakened
    assert one.describe() == reason
    shown = harness("show", "r.json", cwd=tmp_path).stdout.splitlines()
    assert f"weakened  {reason} (after event {one.event})" in shown
    replayed = harness("replay", "--exact", "--times", "2", "r.json", cwd=tmp_path)
    assert replayed.stdout.splitlines()[1:] == [
        "REPRODUCED 2/2: no finding, as recorded",
        f"weakened: {reason}",
    ]


def test_a_sweep_says_what_its_golden_run_could_not_hold(tmp_path: Path) -> None:
    command = ("sweep", "-q", "--calls", "close", "--faults", "EIO", "-j", "1")
    script = ("--", "sh", "-c", "cat /proc/uptime >/dev/null; echo")
    lines = harness(*command, *script, cwd=tmp_path).stdout.splitlines()
    assert lines[-2] == "weakened: main/0 opens /proc/uptime, which is not held still"
    as_json = harness(*command, "--format", "json", *script, cwd=tmp_path).stdout
    assert [one["role"] for one in json.loads(as_json)["weakened"]] == ["main/0"]


def test_what_was_asked_for_and_cannot_be_held_is_said(tmp_path: Path) -> None:
    done = harness("run", "--net", "host", "--write", str(tmp_path), "--", "true", cwd=tmp_path)
    assert (
        "weakened: the trial has the network of this machine,"
        f" the trial writes on this machine, below {tmp_path};" in done.stderr
    )


def test_standard_input_that_comes_as_it_comes_weakens_only_who_reads_it(tmp_path: Path) -> None:
    reads = harness("run", "--", "sh", "-c", "cat", input="x\n", cwd=tmp_path)
    assert "weakened: main/0 reads standard input as it comes;" in reads.stderr
    does_not = harness("run", "--", "sh", "-c", "cat </dev/null", input="x\n", cwd=tmp_path)
    assert "weakened" not in does_not.stderr
    (tmp_path / "in").write_text("x\n")
    file = harness("run", "--stdin", "in", "--", "sh", "-c", "cat", cwd=tmp_path)
    assert (file.stdout, "weakened" in file.stderr) == ("x\n", False)


def test_a_vdso_that_cannot_be_overwritten_is_said(tmp_path: Path) -> None:
    seam = {"HARNESS_KERNEL_FAIL": "vdso.patch#1=EACCES"}
    done = harness("run", "--", "date", "+%Y", cwd=tmp_path, env=seam)
    assert "; weakened: main reads the real clock (vDSO: Permission denied);" in done.stderr


_NO_DESCRIPTOR = """
import resource
from harness._supervisor.template import _hold_clock
assert _hold_clock() == ""
resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
print(_hold_clock())
"""


def test_a_template_that_cannot_hold_its_clock_says_why() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _NO_DESCRIPTOR],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("Too many open files\n", "")
