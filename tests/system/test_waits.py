"""Two arms: each call that knows time is made on the plain kernel with short times, and in a trial
with long ones; what it returns, writes, leaves of the time, and how it goes on after a signal or a
stop must be the same.

The programs print times in units, rounded. The plain arm waits for real, all programs at once.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness._engine.runner import Runner
from tests.system.support import PATIENCE_S, clean_environment, exit_status, needs, plan

CProgram = Callable[..., str]
SOURCE = Path(__file__).with_name("programs") / "waits.c"
CASES = (
    *("sleeps", "clock_sleeps", "polls", "masked_polls", "selects", "epolls"),
    *("waits_for_signals", "alarms", "timers", "timer_files", "sockets"),
)
#: A unit, in nanoseconds. What a loaded machine adds may be more than half a short one: then it is
#: longer at the second try.
ABSURD_SHORT = 200_000_000
SHORT, SECOND_TRY, LONG = 500_000_000, 3_000_000_000, 500_000_000_000

SCRIPTS = {
    "python": (
        "python3",
        "-c",
        """
import os, select, signal, socket, sys, threading, time
unit = int(sys.argv[1]) / 1e9
began = time.monotonic()
def said(what, *values):
    global began
    print(what, *values, 'after', round((time.monotonic() - began) / unit), flush=True)
    began = time.monotonic()
def later(after, act):
    if not os.fork():
        time.sleep(after * unit)
        act()
        os._exit(0)
time.sleep(2 * unit); said('sleep')
rang = []
signal.signal(signal.SIGALRM, lambda *a: rang.append(1))
signal.setitimer(signal.ITIMER_REAL, unit)
time.sleep(2 * unit); said('an alarm does not end a sleep', len(rang))
r, w = os.pipe()
signal.setitimer(signal.ITIMER_REAL, unit)
said('nor a select', select.select([r], [], [], 2 * unit)[0], len(rang))
signal.setitimer(signal.ITIMER_REAL, 5 * unit)
time.sleep(unit); said('slept')
print('left', round(signal.setitimer(signal.ITIMER_REAL, 0)[0] / unit))
later(1, lambda: os.write(w, b'x'))
said('select', select.select([r], [], [], 3 * unit)[0] == [r])
os.wait(); os.read(r, 1); began = time.monotonic()
a, b = socket.socketpair(); a.settimeout(2 * unit)
try: a.recv(1)
except TimeoutError: said('late')
later(1, lambda: b.send(b'x')); said('socket', a.recv(1)); os.wait(); began = time.monotonic()
said('event', threading.Event().wait(2 * unit))
lock = threading.Lock(); lock.acquire()
threading.Timer(unit, lock.release).start(); said('lock', lock.acquire(timeout=3 * unit))
threading.Timer(3 * unit, lock.release).start(); said('lock', lock.acquire(timeout=unit))
""",
    ),
    "perl": (
        "perl",
        "-e",
        """
use Time::HiRes qw(time sleep alarm ualarm setitimer getitimer ITIMER_REAL);
$| = 1; my $unit = shift() / 1e9; my $began = time;
sub said { printf "%s after %d\n", "@_", (time - $began) / $unit + .5; $began = time }
sleep 2 * $unit; said "sleep";
$SIG{ALRM} = sub { print "alarm\n" }; alarm $unit;
my $slept = sleep 3 * $unit; said "ended by an alarm", int $slept / $unit + .5;
pipe my $r, my $w; my $in = ""; vec($in, fileno $r, 1) = 1;
my ($n, $left) = select my $out = $in, undef, undef, 2 * $unit; said "select", $n;
if (!fork) { sleep $unit; syswrite $w, "x"; exit }
($n, $left) = select $out = $in, undef, undef, 3 * $unit;
said "select", $n, "left", int $left / $unit + .5; wait; $began = time;
eval { local $SIG{ALRM} = sub { die "late\n" }; alarm 2 * $unit; sleep 9 * $unit }; said $@;
""",
    ),
    "bash": (
        "bash",
        "-c",
        """
unit=$(($1 / 1000000000)).$(($1 / 100000000 % 10))
folder=$(mktemp -d); mkfifo $folder/fifo; exec 3<>$folder/fifo; rm -r $folder
read -t $unit x <&3; echo "read $?"
(sleep $unit; echo hello >&3) & read -t 1$unit x <&3; echo "read $? $x"; wait
timeout $unit sleep 9$unit; echo "timeout $?"
timeout 9$unit sleep $unit; echo "timeout $?"
sleep 9$unit & kill $!; wait $!; echo "killed $?"
trap 'echo trapped' USR1; (sleep $unit; kill -USR1 $$) & sleep 9$unit & wait $!; echo "wait $?"
kill $!
""",
    ),
}


@pytest.fixture(scope="module")
def plain(c_program: CProgram) -> dict[str, str]:
    """What each program prints on the plain kernel."""
    needs(*(argv[0] for argv in SCRIPTS.values()))
    return on_the_kernel(argvs(c_program), SHORT)


def on_the_kernel(programs: dict[str, tuple[str, ...]], unit: int) -> dict[str, str]:
    running = {
        name: subprocess.Popen(
            [*argv, str(unit)], env=clean_environment(), stdout=subprocess.PIPE, text=True
        )
        for name, argv in programs.items()
    }
    try:
        return {name: one.communicate(timeout=PATIENCE_S)[0] for name, one in running.items()}
    finally:
        for one in running.values():
            one.kill()
            one.wait()


def argvs(c_program: CProgram) -> dict[str, tuple[str, ...]]:
    program = c_program(SOURCE.read_text())
    scripts = {
        name: (*argv, *(("bash",) if name == "bash" else ())) for name, argv in SCRIPTS.items()
    }
    return {case: (program, case) for case in CASES} | scripts


@pytest.mark.parametrize("name", [*CASES, *SCRIPTS])
def test_it_is_in_a_trial_as_on_the_plain_kernel(
    name: str, plain: dict[str, str], runner: Runner, c_program: CProgram
) -> None:
    argv = argvs(c_program)[name]
    result = runner.run(plan(*argv, str(LONG)))
    assert exit_status(result) == 0, result.outcome
    if result.outcome.stdout.head != plain[name]:
        plain[name] = on_the_kernel({name: argv}, SECOND_TRY)[name]
    assert result.outcome.stdout.head == plain[name]
    assert plain[name]


def test_absurd_times_are_in_a_trial_what_they_are_on_the_plain_kernel(
    runner: Runner, c_program: CProgram
) -> None:
    program = c_program(SOURCE.with_name("absurd.c").read_text())
    result = runner.run(plan(program, str(LONG)))
    assert exit_status(result) == 0, result.outcome
    for unit in ABSURD_SHORT, SECOND_TRY // 3:
        expected = on_the_kernel({"absurd": (program,)}, unit)["absurd"]
        if result.outcome.stdout.head == expected:
            break
    assert result.outcome.stdout.head.splitlines() == expected.splitlines()
    assert expected.endswith("all of it\n")


def test_who_waits_for_ever_by_a_number_is_seen_to(runner: Runner) -> None:
    """Beyond what the kernel counts there is no end: the trial does not jump there."""
    result = runner.run(plan("sleep", "infinity"))
    assert (result.outcome.end, exit_status(result)) == ("stuck", 124)
    result = runner.run(plan("python3", "-c", "import time; time.sleep(2**31); print(1)"))
    assert result.outcome.stdout.head == "1\n"


SETS = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
int main(void) {
    struct timespec past = {0, 0}, bad = {0, -1};
    struct timeval micro = {0, 0}, wrong = {0, 1000000};
    struct timex change = {.modes = ADJ_OFFSET | ADJ_SETOFFSET, .time = {-1, 0}};
    time_t before = time(NULL);
#define SAID(call) errno = 0, call, printf("%s\n", strerrorname_np(errno))
    SAID(clock_settime(CLOCK_REALTIME, &past));
    SAID(clock_settime(CLOCK_MONOTONIC, &past));
    SAID(clock_settime(CLOCK_REALTIME, &bad));
    SAID(settimeofday(&micro, NULL));
    SAID(settimeofday(&wrong, NULL));
    SAID(adjtimex(&change));
    printf("%ld\n", (long)(time(NULL) - before));
    return 0;
}
"""


def test_a_clock_that_is_set_says_no_and_stays(runner: Runner, c_program: CProgram) -> None:
    """Only root of the machine may set it, which nobody in a trial is, whoever runs it. What is
    wrong anyway is so first: clock_settime(2), settimeofday(2), adjtimex(2)."""
    result = runner.run(plan(c_program(SETS)))
    said = result.outcome.stdout.head.split()
    assert said == ["EPERM", "EINVAL", "EINVAL", "EPERM", "EINVAL", "EPERM", "0"]
    assert result.outcome.weakened == ()


def test_the_list_of_cases_is_the_programs_own(c_program: CProgram) -> None:
    done = subprocess.run([c_program(SOURCE.read_text())], capture_output=True, text=True)
    assert tuple(done.stdout.split()) == CASES


def test_who_reads_the_clock_until_its_alarm_gets_it(runner: Runner) -> None:
    code = """
import signal, sys, time
def rang(*_): print("rang", round(time.monotonic() - began)); sys.exit()
signal.signal(signal.SIGALRM, rang); began = time.monotonic(); signal.alarm(5)
while True: time.monotonic()
"""
    result = runner.run(plan("python3", "-c", code))
    assert result.outcome.stdout.head == "rang 5\n"
