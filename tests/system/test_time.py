"""The trial's own time: unmodified programs wait for hours, and it costs milliseconds.

Each program says itself how long it has waited, by the clock that it sees.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness._engine.runner import Runner
from harness._engine.trial import TrialResult
from tests.system.support import (
    PATIENCE_S,
    PROJECT,
    calls,
    clean_environment,
    exit_status,
    needs,
    plan,
    python,
    shell,
)

CProgram = Callable[..., str]

_TIMED = """
import time
began = time.monotonic()
def waited(): return round(time.monotonic() - began, 1)
"""

#: What waits, and what it prints.
PYTHON = {
    "sleep": ("time.sleep(86400); print(waited())", "86400.0"),
    "wall clock": ("a = time.time(); time.sleep(7200); print(round(time.time() - a))", "7200"),
    "event": (
        "import threading; print(threading.Event().wait(3600), waited())",
        "False 3600.0",
    ),
    "queue": (
        "import queue\n"
        "try: queue.Queue().get(timeout=1000)\n"
        "except queue.Empty: print('empty', waited())",
        "empty 1000.0",
    ),
    "future": (
        "import concurrent.futures as cf\n"
        "with cf.ThreadPoolExecutor() as pool:\n"
        "    future = pool.submit(time.sleep, 500)\n"
        "    try: future.result(timeout=100)\n"
        "    except cf.TimeoutError: print('late', waited())\n"
        "print(waited())",
        "late 100.0\n500.0",
    ),
    "asyncio": (
        "import asyncio\n"
        "async def main():\n"
        "    await asyncio.gather(asyncio.sleep(3600), asyncio.sleep(1800))\n"
        "    try: await asyncio.wait_for(asyncio.Event().wait(), 500)\n"
        "    except asyncio.TimeoutError: print('late', waited())\n"
        "asyncio.run(main())",
        "late 4100.0",
    ),
    "subprocess": (
        "import subprocess\n"
        "try: subprocess.run(['sleep', '9999'], timeout=60)\n"
        "except subprocess.TimeoutExpired: print('expired', waited())",
        "expired 60.0",
    ),
    "socket": (
        "import socket\n"
        "a, b = socket.socketpair(); a.settimeout(700)\n"
        "try: a.recv(1)\n"
        "except TimeoutError: print('late', waited())",
        "late 700.0",
    ),
    "select and a signal": (
        "import os, select, signal\n"
        "r, w = os.pipe(); os.set_blocking(w, False); signal.set_wakeup_fd(w)\n"
        "signal.signal(signal.SIGALRM, lambda *a: print('alarm', waited()))\n"
        "signal.setitimer(signal.ITIMER_REAL, 50, 20)\n"
        "print(select.select([r], [], [], 500)[0] == [r], waited())\n"
        "time.sleep(30); print(waited())",
        "alarm 50.0\nTrue 50.0\nalarm 70.0\n80.0",
    ),
    "sigtimedwait": (
        "import signal\nprint(signal.sigtimedwait([signal.SIGUSR1], 900), waited())",
        "None 900.0",
    ),
    "epoll": (
        "import select; print(select.epoll().poll(250), waited())",
        "[] 250.0",
    ),
    "a wait that is not in vain": (
        "import os, select\n"
        "r, w = os.pipe()\n"
        "if os.fork() == 0: time.sleep(40); os.write(w, b'x'); os._exit(0)\n"
        "print(select.select([r], [], [], 500)[0] == [r], waited())",
        "True 40.0",
    ),
    "a loop on the clock": (
        "while time.monotonic() - began < 5: pass\nprint(waited())",
        "5.0",
    ),
    "absurd": (
        "import select\n"
        "try: time.sleep(-1)\n"
        "except ValueError as e: print(e)\n"
        "try: select.select([], [], [], -1)\n"
        "except ValueError as e: print(e)",
        "sleep length must be non-negative\ntimeout must be non-negative",
    ),
}


@pytest.mark.parametrize("what", PYTHON)
def test_a_python_program_waits_by_the_trials_time(what: str, runner: Runner) -> None:
    code, said = PYTHON[what]
    result = runner.run(plan(*python(_TIMED + code), step_limit=10**6))
    assert (result.outcome.stdout.head, exit_status(result)) == (f"{said}\n", 0), result.outcome


COMMANDS = {
    "sleep": ("sleep 86400; echo $?", "0\n"),
    "timeout": ("timeout 3600 sleep 7200; echo $?", "124\n"),
    "date": ("a=$(date +%s); sleep 600; echo $(($(date +%s) - a))", "600\n"),
    "perl's sleep": ("perl -e 'my $a = time; sleep 5000; print time - $a, \"\\n\"'", "5000\n"),
    "perl's alarm": (
        'perl -e \'$SIG{ALRM} = sub { print "alarm\\n" };'
        ' my $a = time; alarm 3000; sleep 9999; print time - $a, "\\n"\'',
        "alarm\n3000\n",
    ),
    "bash's read": ("mkfifo f; bash -c 'read -t 3600 x <>f; echo $?'", "142\n"),
    "those that wait beside one another": (
        "(sleep 3; echo three) & (sleep 1; echo one) & (sleep 2; echo two) & wait",
        "one\ntwo\nthree\n",
    ),
}


@pytest.mark.parametrize("what", COMMANDS)
def test_a_command_waits_by_the_trials_time(what: str, runner: Runner) -> None:
    script, said = COMMANDS[what]
    needs(*(program for program in ("perl", "bash") if program in script))
    result = runner.run(plan(*shell(script)))
    assert (result.outcome.stdout.head, exit_status(result)) == (said, 0), result.outcome


def test_a_static_program_waits_by_the_trials_time(runner: Runner) -> None:
    needs("busybox")
    result = runner.run(plan("/bin/busybox", "sleep", "9999"))
    assert exit_status(result) == 0


_GO = """
package main

import (
	"context"
	"fmt"
	"time"
)

func main() {
	began := time.Now()
	time.Sleep(2 * time.Hour)
	fmt.Println(time.Since(began).Round(time.Second))
	limited, free := context.WithTimeout(context.Background(), time.Hour)
	defer free()
	<-limited.Done()
	fmt.Println(limited.Err(), time.Since(began).Round(time.Second))
	done := make(chan int)
	go func() { time.Sleep(5 * time.Minute); done <- 1 }()
	select {
	case <-done:
		fmt.Println("done")
	case <-time.After(time.Minute):
		fmt.Println("late", time.Since(began).Round(time.Second))
	}
}
"""


def test_a_go_program_waits_by_the_trials_time(runner: Runner, tmp_path: Path) -> None:
    if shutil.which("go") is None:
        pytest.skip("no go here; fix: apt-get install golang-go")
    (tmp_path / "waits.go").write_text(_GO)
    subprocess.run(
        ["go", "build", "waits.go"],
        cwd=tmp_path,
        env=clean_environment() | {"GOCACHE": str(tmp_path / "cache"), "HOME": str(tmp_path)},
        timeout=300,
        check=True,
    )
    result = runner.run(plan(str(tmp_path / "waits")))
    assert result.outcome.stdout.head.splitlines() == [
        "2h0m0s",
        "context deadline exceeded 3h0m0s",
        "late 3h1m0s",
    ]


_C = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec;
}
static int alarms;
static void alarmed(int number, siginfo_t *info, void *context) {
    alarms += info->si_code == SI_TIMER;
}

int main(void) {
    long began = now();
    struct itimerspec spec = {{100, 0}, {250, 0}}, left;
    unsigned long long count = 0;
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC), epoll = epoll_create1(0);
    struct epoll_event event = {EPOLLIN, {0}};
    epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &event);
    timerfd_settime(timer, 0, &spec, NULL);
    int ready = epoll_wait(epoll, &event, 1, 900000);
    printf("timerfd %d after %ld", ready, now() - began);
    sleep(200);
    timerfd_gettime(timer, &left);
    printf(", read %zd", read(timer, &count, sizeof count));
    printf(" count %llu, next in %ld\n", count,
           (long)left.it_value.tv_sec + (left.it_value.tv_nsec > 500000000));

    struct sigaction action = {.sa_sigaction = alarmed, .sa_flags = SA_SIGINFO};
    sigaction(SIGRTMIN, &action, NULL);
    struct sigevent tells = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
    timer_t posix;
    began = now();
    timer_create(CLOCK_REALTIME, &tells, &posix);
    struct itimerspec once = {{0, 0}, {60, 0}};
    timer_settime(posix, 0, &once, NULL);
    struct timespec hour = {3600, 0}, rest = {0, 0};
    int slept = nanosleep(&hour, &rest);
    printf("nanosleep %d %s after %ld, %ld left, %d alarms\n", slept,
           slept ? strerror(errno) : "", now() - began, (long)rest.tv_sec, alarms);

    began = now();
    int polled = poll(NULL, 0, 77000);
    printf("poll %d after %ld\n", polled, now() - began);
    unsigned ago = alarm(500);
    sleep(100);
    printf("alarm %u, then %u\n", ago, alarm(0));
    return 0;
}
"""


def test_a_c_program_waits_by_the_trials_time(runner: Runner, c_program: CProgram) -> None:
    result = runner.run(plan(c_program(_C)))
    assert result.outcome.stdout.head.splitlines() == [
        "timerfd 1 after 250, read 8 count 3, next in 100",
        "nanosleep -1 Interrupted system call after 60, 3540 left, 1 alarms",
        "poll 0 after 77",
        "alarm 0, then 400",
    ]


def test_the_trial_begins_when_the_schedule_says(runner: Runner) -> None:
    result = runner.run(plan(*shell("date -u +%FT%T")))
    assert result.outcome.stdout.head == "2026-01-01T00:00:00\n"


def repeated(runner: Runner, script: str) -> list[TrialResult]:
    return [runner.run(plan(*shell(script), seed=5)) for _ in range(5)]


def test_time_is_the_same_in_equal_runs(runner: Runner) -> None:
    script = "for i in 1 2 3; do (sleep $i; date +%s.%N) & done; wait; date +%s.%N"
    results = repeated(runner, script)
    assert len({result.trace.digest for result in results}) == 1
    assert len({result.outcome.stdout.sha256 for result in results}) == 1


def test_who_sleeps_is_killed_and_stopped_as_anybody(runner: Runner) -> None:
    script = (
        "sleep 1000 & kill $!; wait $!; echo $?;"
        " sleep 5 & kill -STOP $!; kill -CONT $!; wait; echo $?"
    )
    result = runner.run(plan(*shell(script)))
    assert result.outcome.stdout.head == "143\n0\n"


def test_the_end_of_a_wait_is_in_the_trace(runner: Runner) -> None:
    result = runner.run(plan("/bin/sleep", "10"))
    assert calls(result, "main", "wake") == ["main wake#1 - clock_nanosleep timeout"]


def test_a_trial_may_end_while_a_program_takes_the_place_of_another() -> None:
    """Then its task is traced, and only who traces it can reap it: PID 1 waits for that."""
    program = str(PROJECT / "tests/system/programs/ends_between_programs.py")
    done = subprocess.run(
        [sys.executable, program],
        env=clean_environment() | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("given up\n", "")


def test_in_free_mode_time_is_real(runner: Runner) -> None:
    result = runner.run(plan(*shell("date +%Y%m%d; sleep 0.01"), mode="free"))
    assert exit_status(result) == 0
    assert result.outcome.stdout.head != "20260101\n"


def test_who_polls_for_ever_is_left_running(runner: Runner) -> None:
    script = "(while :; do sleep 100; done) </dev/null >/dev/null 2>&1 & echo"
    result = runner.run(plan(*shell(script)))
    assert result.outcome.end == "exited"
    assert result.outcome.leftovers != ()


_THREADED = r"""
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include <sys/syscall.h>
static void rung(union sigval value) {
    const char *which = syscall(SYS_gettid) == getpid() ? "the first" : "another";
    printf("%d in %s thread\n", value.sival_int, which);
    fflush(stdout);
    _exit(0);
}
int main(void) {
    struct sigevent tells = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = rung};
    struct itimerspec spec = {{0, 0}, {3600, 0}};
    timer_t timer;
    tells.sigev_value.sival_int = 7;
    if (timer_create(CLOCK_MONOTONIC, &tells, &timer) || timer_settime(timer, 0, &spec, NULL))
        return 1;
    for (;;)
        pause();
}
"""


def test_a_timer_may_tell_a_thread(runner: Runner, c_program: CProgram) -> None:
    result = runner.run(plan(c_program(_THREADED)))
    assert result.outcome.stdout.head == "7 in another thread\n"


def test_a_new_program_has_no_timer_of_the_old_one_but_its_alarm(runner: Runner) -> None:
    code = "import os, signal; signal.alarm(500); os.execv('/bin/sleep', ['sleep', '9999'])"
    result = runner.run(plan(*shell(f'python3 -c "{code}"; echo $?')))
    assert result.outcome.stdout.head == "142\n"
