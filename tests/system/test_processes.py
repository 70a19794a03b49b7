"""Every way to make, change and end a process: each has its role, and nothing of it is left."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness._engine.runner import Runner
from harness._engine.trial import TrialResult
from tests.system.support import (
    MODES,
    calls,
    exit_status,
    needs,
    plan,
    processes_with,
    python,
    roles,
    shell,
)

CProgram = Callable[..., str]
Run = Callable[..., TrialResult]


@pytest.fixture
def run(runner: Runner) -> Run:
    """Run a command as a trial, and check that no process of it is left."""

    def run(*command: str, **options: Any) -> TrialResult:
        token = f"harness-test-{uuid.uuid4()}"
        result = runner.run(plan(*command, env={"TOKEN": token}, **options))
        assert processes_with(token) == []
        return result

    return run


both_modes = pytest.mark.parametrize("mode", MODES)


def made(count: int, below: str = "main") -> list[str]:
    """*below* and its first *count* children."""
    return sorted([below, *(f"{below}/{n}" for n in range(count))])


def ended(result: TrialResult, output: str, status: int = 0) -> bool:
    """Whether the trial ended by itself with this; says what came instead."""
    outcome = result.outcome
    got = (outcome.end, exit_status(result), outcome.stdout.head)
    assert got == ("exited", status, output), f"{outcome.stderr.head}\n{outcome.report}"
    return True


# Programs


@both_modes
def test_a_static_program(mode: str, run: Run) -> None:
    needs("busybox")
    command = ("busybox", "sh", "-c", "busybox echo static | busybox cat; exit 3")
    result = run(*command, mode=mode)
    assert ended(result, "static\n", 3)
    assert sorted(roles(result)) == made(2)


@both_modes
def test_a_script_is_run_by_the_interpreter_that_it_names(
    mode: str, run: Run, tmp_path: Path
) -> None:
    chain = ["#!/bin/sh\necho $0 $1 $2\n", "#!{0} one\n", "#!{1} two\n", "#!{2}\n"]
    scripts: list[Path] = []
    for number, text in enumerate(chain):
        scripts.append(tmp_path / f"s{number}")
        scripts[-1].write_text(text.format(*scripts))
        scripts[-1].chmod(0o755)
    result = run(str(scripts[-1]), cwd=str(tmp_path), mode=mode)
    assert ended(result, f"{scripts[0]} one {scripts[1]}\n")
    assert roles(result) == ["main"]


@both_modes
def test_a_chain_of_programs_is_one_task(mode: str, run: Run) -> None:
    command = ("/usr/bin/env", "nice", "-n1", "timeout", "9", "env", "sh", "-c", "exec echo end")
    result = run(*command, mode=mode)
    assert ended(result, "end\n")
    assert sorted(roles(result)) == ["main", "main/0"]  # timeout(1) is the only one that forks


@both_modes
def test_two_hundred_programs_one_after_another_in_one_process(mode: str, run: Run) -> None:
    script = 'n=$1; test $n = 0 && echo done && exit; exec /bin/sh -c "$2" x $((n - 1)) "$2"'
    result = run(*shell(script), "x", "200", script, mode=mode, step_limit=100_000)
    assert ended(result, "done\n")
    assert roles(result) == ["main"]
    assert len(calls(result, "main", "execve")) in (200, 201)


# Births

_BIRTHS = {
    "fork": "syscall(SYS_fork)",
    "vfork": "vfork()",
    "clone": "syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)",
    "clone3": "syscall(SYS_clone3, &(struct clone_args){.exit_signal = SIGCHLD}, 64)",
    "posix_spawn": "spawn(argv)",
}
_BIRTH = """
#define _GNU_SOURCE
#include <linux/sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
extern char **environ;
__attribute__((unused)) static int spawn(char **argv) {
    int pid;
    return posix_spawn(&pid, argv[1], 0, 0, argv + 1, environ) ? -1 : pid;
}
int main(int argc, char **argv) {
    int status = 0, sum = 0;
    for (int i = 0; i < 3; i++) {
        int pid = BIRTH;
        if (pid < 0) return 99;
        if (pid == 0) { execv(argv[1], argv + 1); _exit(98); }
        if (waitpid(pid, &status, 0) != pid) return 97;
        sum += WEXITSTATUS(status);
    }
    return sum;
}
"""


@both_modes
@pytest.mark.parametrize("how", _BIRTHS)
def test_children_are_numbered_by_birth_however_they_are_made(
    how: str, mode: str, run: Run, c_program: CProgram
) -> None:
    program = c_program(_BIRTH.replace("BIRTH", _BIRTHS[how]))
    result = run(program, *shell("echo child; exit 7"), mode=mode)
    assert ended(result, "child\n" * 3, 21)
    assert sorted(roles(result)) == made(3)


@both_modes
def test_an_execve_that_fails_in_a_vforked_child(mode: str, run: Run, c_program: CProgram) -> None:
    result = run(c_program(_BIRTH.replace("BIRTH", "vfork()")), "/missing", mode=mode)
    assert ended(result, "", (3 * 98) % 256)
    assert sorted(roles(result)) == made(3)


@both_modes
def test_pythons_own_ways_to_start_a_program(mode: str, run: Run) -> None:
    code = """
import os, subprocess
child = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 3"], {})
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
print(subprocess.run(["/bin/sh", "-c", "echo out; exit 4"], stdout=-1).stdout, flush=True)
print(subprocess.run(["/missing"]) if os.access("/missing", 0) else "none", flush=True)
"""
    result = run(*python(code), mode=mode)
    assert ended(result, "3\nb'out\\n'\nnone\n")
    assert sorted(roles(result)) == made(2)


@both_modes
def test_a_hundred_processes(mode: str, run: Run) -> None:
    code = """
import os
read, write = os.pipe()
children = []
for number in range(100):
    children.append(os.fork())
    if children[-1] == 0:
        os.write(write, bytes([number]))
        os._exit(number % 3)
os.close(write)
got = b""
while data := os.read(read, 200):
    got += data
print(sorted(got) == list(range(100)), flush=True)
print(sum(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children), flush=True)
"""
    result = run(*python(code), mode=mode)
    assert ended(result, "True\n99\n")
    assert sorted(roles(result)) == made(100)


def test_a_fork_bomb_ends_at_the_step_limit(run: Run) -> None:
    result = run(*shell("f() { f | f; }; f"), step_limit=1500)
    assert (result.outcome.end, exit_status(result)) == ("steps", 124)
    assert len(roles(result)) > 5


@pytest.mark.full  # thousands of processes disturb other tests
def test_a_fork_bomb_in_free_mode_ends_at_the_deadline(run: Run) -> None:
    """There births are not seen, so no step limit is met."""
    result = run(*shell("f() { f | f; }; f"), mode="free", deadline_s=0.3)
    assert exit_status(result) == 124


@both_modes
def test_children_of_children_are_named_after_their_parents(mode: str, run: Run) -> None:
    script = "(exit 1); ( (exit 2); (exit 3); exit 4); exit 5"
    code = f"import os, sys\nos.execv('/bin/sh', ['sh', '-c', {script!r}])"
    result = run(*python(code), mode=mode)
    assert ended(result, "", 5)
    names = sorted(roles(result))
    assert names == ["main", "main/0", "main/1", "main/1/0", "main/1/1"]


# Those that outlive their parents


@both_modes
def test_a_daemon_is_left_and_named_and_gone_with_the_trial(mode: str, run: Run) -> None:
    code = """
import os, time
read, write = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.write(1, b"daemon\\n")
        for fd in 0, 1, 2, write: os.close(fd)
        time.sleep(100000)
    os._exit(0)
os.close(write)
os.read(read, 1)
os.write(1, b"parent\\n")
"""
    result = run(*python(code), mode=mode, deadline_s=600)
    assert ended(result, "daemon\nparent\n")
    assert result.outcome.leftovers == ("main/0/0",)


@both_modes
def test_an_orphan_that_ends_later_is_waited_for(mode: str, run: Run) -> None:
    code = """
import os
os.mkfifo("f")
if os.fork() == 0:
    if os.fork() == 0:
        with open("f") as file: file.read()
        os.write(1, b"orphan\\n")
        os._exit(9)
    os._exit(0)
os.wait()
with open("f", "w") as file: file.write("go")
os._exit(2)
"""
    result = run(*python(code), mode=mode)
    assert ended(result, "orphan\n", 2)
    assert result.outcome.leftovers == ()


@both_modes
def test_zombies_are_no_leftovers(mode: str, run: Run) -> None:
    code = """
import os
for number in range(5):
    if os.fork() == 0: os._exit(number)
os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
os._exit(0)
"""
    result = run(*python(code), mode=mode)
    assert ended(result, "")
    assert result.outcome.leftovers == ()
    assert len(roles(result)) == 6


@both_modes
def test_an_orphans_end_is_not_taken_for_the_commands(mode: str, run: Run) -> None:
    script = "(sleep 0.1; exit 9) & (exit 8) & exec sh -c 'sleep 0.3; exit 7'"
    assert ended(run(*shell(script), mode=mode), "", 7)


# Signals between processes


@both_modes
def test_a_service_that_ignores_every_wish_to_end_is_ended(mode: str, run: Run) -> None:
    code = """
import signal, socket
for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT:
    signal.signal(number, signal.SIG_IGN)
print("up", flush=True)
server = socket.create_server(("127.0.0.1", 7000))
while True: signal.pause()
"""
    clients = {"one": shell("exit 0")}
    result = run(*python(code), clients=clients, ready=":7000", mode=mode, deadline_s=2)
    assert exit_status(result) == 124
    assert result.outcome.stdout.head == "up\n"
    assert result.outcome.leftovers == ("service",)


@both_modes
def test_a_child_is_killed_by_its_parent_while_it_waits_for_its_turn(mode: str, run: Run) -> None:
    code = """
import os, signal
for _ in range(20):
    child = os.fork()
    if child == 0:
        while True: os.stat("/")
    os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9
print("ended", flush=True)
"""
    result = run(*python(code), mode=mode)
    assert ended(result, "ended\n")
    assert set(made(20)) >= set(roles(result))


@both_modes
def test_a_child_is_stopped_and_continued(mode: str, run: Run) -> None:
    code = """
import os, signal
read, write = os.pipe()
child = os.fork()
if child == 0:
    os.kill(os.getpid(), signal.SIGSTOP)
    os.write(write, b"went on")
    os._exit(5)
assert os.WIFSTOPPED(os.waitpid(child, os.WUNTRACED)[1])
os.kill(child, signal.SIGCONT)
print(os.read(read, 100), flush=True)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5
child = os.fork()
if child == 0:
    while True: os.stat("/")
os.kill(child, signal.SIGSTOP)
assert os.WIFSTOPPED(os.waitpid(child, os.WUNTRACED)[1])
os.kill(child, signal.SIGCONT)
assert os.WIFCONTINUED(os.waitpid(child, os.WCONTINUED)[1])
os.kill(child, signal.SIGTERM)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -15
print("end", flush=True)
"""
    result = run(*python(code), mode=mode)
    assert ended(result, "b'went on'\nend\n")


def test_a_child_that_stays_stopped_is_what_the_trial_is_stuck_on(run: Run) -> None:
    result = run(*python("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)"), deadline_s=600)
    assert result.outcome.end == "stuck"
    assert "main is stopped since kill#1 STOP" in result.outcome.report


_TRACER = """
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv) {
    int status, stops = 0, pid = fork();
    if (pid == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        execv(argv[1], argv + 1);
        _exit(98);
    }
    while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
        stops++;
        ptrace(PTRACE_CONT, pid, 0, WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status));
    }
    printf("%d stops\\n", stops);
    return WEXITSTATUS(status);
}
"""


@both_modes
def test_a_child_that_its_parent_traces(mode: str, run: Run, c_program: CProgram) -> None:
    result = run(c_program(_TRACER), *shell("echo traced; kill -CHLD $$; exit 3"), mode=mode)
    assert ended(result, "traced\n2 stops\n", 3)
    assert sorted(roles(result)) == ["main", "main/0"]


@both_modes
def test_a_program_under_strace(mode: str, run: Run) -> None:
    needs("strace")
    command = ("strace", "-f", "-e", "trace=exit_group", "-o", "log")
    assert ended(run(*command, *shell("echo x; exit 4"), mode=mode), "x\n", 4)


# Threads

_MUTEX = """
#include <pthread.h>
#include <stdio.h>
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn = PTHREAD_COND_INITIALIZER;
static int next, total;
static void *work(void *own) {
    for (int round = 0; round < 5; round++) {
        pthread_mutex_lock(&lock);
        while (next != (int)(long)own) pthread_cond_wait(&turn, &lock);
        next = (next + 1) % 4;
        total++;
        pthread_cond_broadcast(&turn);
        pthread_mutex_unlock(&lock);
    }
    return 0;
}
int main(void) {
    pthread_t threads[4];
    for (long i = 0; i < 4; i++) pthread_create(&threads[i], 0, work, (void *)i);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], 0);
    printf("%d\\n", total);
    return 0;
}
"""


@both_modes
def test_threads_that_wait_for_each_other_in_c(mode: str, run: Run, c_program: CProgram) -> None:
    result = run(c_program(_MUTEX, "-pthread"), mode=mode)
    assert ended(result, "20\n")
    if mode == "controlled":
        assert sorted(roles(result)) == ["main", *(f"main#{n}" for n in range(1, 5))]


@both_modes
def test_threads_that_wait_for_each_other_in_python(mode: str, run: Run) -> None:
    code = """
import queue, threading
asked, answered = queue.Queue(), queue.Queue()
def work():
    while (number := asked.get()) is not None: answered.put(number * number)
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for number in range(50): asked.put(number)
print(sum(answered.get() for _ in range(50)), flush=True)
for _ in threads: asked.put(None)
for thread in threads: thread.join()
"""
    result = run(*python(code), mode=mode)
    assert ended(result, "40425\n")
    if mode == "controlled":
        assert sorted(roles(result)) == ["main", *(f"main#{n}" for n in range(1, 5))]


@both_modes
def test_a_thread_that_is_not_the_first_executes_a_program(mode: str, run: Run) -> None:
    code = """
import os, threading
def leave(): os.execv("/bin/sh", ["sh", "-c", "(exit 1); echo new; exit 6"])
threading.Thread(target=leave).start()
threading.Event().wait()
"""
    result = run(*python(code), mode=mode)
    assert ended(result, "new\n", 6)


@both_modes
def test_a_child_of_a_thread_is_named_after_it(mode: str, run: Run) -> None:
    code = """
import os, threading
def work():
    if os.fork() == 0: os._exit(0)
    os.wait()
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""
    result = run(*python(code), mode=mode)
    assert ended(result, "")
    assert "main#1/0" in roles(result)


@both_modes
def test_exit_in_one_thread_ends_those_that_wait(mode: str, run: Run) -> None:
    code = """
import os, threading, time
def wait(): time.sleep(1000)
def leave(): os._exit(8)
for target in wait, wait, leave: threading.Thread(target=target).start()
wait()
"""
    assert ended(run(*python(code), mode=mode, deadline_s=600), "", 8)


# What a process does to itself


@both_modes
def test_a_process_that_closes_all_its_descriptors(mode: str, run: Run) -> None:
    code = """
import os
os.closerange(0, 1000)
os.mkdir("d")
if os.fork() == 0: os.mkdir("e"); os._exit(0)
os.wait()
os._exit(6)
"""
    result = run(*python(code), mode=mode)
    assert ended(result, "", 6)
    assert [change.path for change in result.outcome.files] == ["/trial/d", "/trial/e"]


@both_modes
def test_a_process_that_leaves_its_session(mode: str, run: Run) -> None:
    script = "setsid -w setsid -w sh -c 'echo inner; exit 3'; echo $?; kill -0 0"
    needs("setsid")
    assert ended(run(*shell(script), mode=mode), "inner\n3\n")


@both_modes
def test_a_program_that_spins_without_a_call_ends_at_the_deadline(
    mode: str, run: Run, c_program: CProgram
) -> None:
    program = c_program("int main(void) { for (volatile int i = 0;; i++) {} }")
    result = run(program, mode=mode, deadline_s=1)
    assert (result.outcome.end, exit_status(result)) == ("deadline", 124)
    said = {"controlled": "main computes since", "free": "main has not made a call yet"}
    assert said[mode] in result.outcome.report


@both_modes
def test_spinning_beside_others_ends_at_the_deadline_too(mode: str, run: Run) -> None:
    result = run(*shell("while :; do :; done & echo x; wait"), mode=mode, deadline_s=0.3)
    assert (result.outcome.end, exit_status(result)) == ("deadline", 124)


@both_modes
def test_a_process_that_may_not_be_dumped(mode: str, run: Run) -> None:
    """PR_SET_DUMPABLE 0 hides a process from its user; the trial goes on."""
    code = """
import ctypes, os
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
os.mkdir("d")
os.execv("/bin/echo", ["echo", "on"])
"""
    result = run(*python(code), mode=mode)
    assert ended(result, "on\n")


@both_modes
def test_a_process_in_namespaces_of_its_own(mode: str, run: Run) -> None:
    needs("unshare")
    script = "unshare -Urpf --mount-proc sh -c 'echo $$; exit 5'; echo $?"
    result = run(*shell(script), mode=mode)
    assert ended(result, "1\n5\n")
