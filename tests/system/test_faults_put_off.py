"""Faults that put a call off: delay, pause, hold until; met by real programs, in both modes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from harness import Subject, listening
from harness._engine.runner import Runner
from harness._engine.trial import TrialResult
from harness.schedule import Schedule, parse_faults_at
from tests.system.programs import workloads
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
    shell,
)

CProgram = Callable[..., str]

both_modes = pytest.mark.parametrize("mode", MODES)
#: Real in free mode, where it is waited for; so it is short.
_SHORT, _MS = "50ms", 50

# delay

_TIMED = """
import os, time
before = time.monotonic_ns()
os.mkdir("d")
late_ms = (time.monotonic_ns() - before) // 10**6
os.write(1, b"late" if late_ms >= {ms} else b"at once")
"""


@both_modes
@pytest.mark.parametrize("kind", ["delay", "pause"])
def test_the_call_is_made_later_by_the_trials_own_time(
    kind: str, mode: str, runner: Runner
) -> None:
    time, ms = (_SHORT, _MS) if mode == "free" else ("24h", 86_400_000)
    result = runner.run(
        plan(*python(_TIMED.format(ms=ms)), faults=[f"mkdir={kind}({time})"], mode=mode)
    )
    assert (exit_status(result), result.outcome.stdout.head) == (0, "late")
    assert (result.outcome.fired, files(result)) == ((1,), {"d": "dir"})
    # Put off and then made, as one call and not as two.
    assert [line.split()[1:3] for line in calls(result, "main", "mkdir")] == [
        ["mkdir#1", f"{kind}:{time}"],
        ["mkdir#1", "-"],
    ]


@both_modes
def test_others_go_on_meanwhile(mode: str, runner: Runner) -> None:
    code = """
import os
for name in "ab":
    if os.fork() == 0: os.mkdir(name); os.write(1, name.encode()); os._exit(0)
os.wait(); os.wait()
"""
    result = runner.run(plan(*python(code), faults=["main/0:mkdir=delay(500ms)"], mode=mode))
    assert (exit_status(result), result.outcome.stdout.head) == (0, "ba")


@both_modes
@pytest.mark.parametrize(
    "faults",
    [["read#{n}+=short(1)+delay(2ms)"], ["read#{n}+=short(1)", "read#{n}+=delay(2ms)"]],
    ids=["in one word", "in two"],
)
def test_a_slow_reader_is_a_delay_and_a_short_read_at_the_same_calls(
    faults: list[str], mode: str, runner: Runner
) -> None:
    code = "import os\nwhile data := os.read(0, 9): os.write(1, b'%d ' % len(data))"
    golden = runner.run(plan(*python(code), stdin=b"12345"))
    assert golden.outcome.stdout.head == "5 "
    first = len(calls(golden, "main", "read")) - 1
    given = [fault.format(n=first) for fault in faults]
    result = runner.run(plan(*python(code), stdin=b"12345", faults=given, mode=mode))
    assert result.outcome.stdout.head == "1 1 1 1 1 "
    assert result.outcome.fired == (6, 6)  # the end of the file is read too


@both_modes
@pytest.mark.parametrize("decides", ["EIO", "crash", "signal(USR1)", "crash-after"])
def test_what_becomes_of_a_late_call_is_said_beside_it(
    decides: str, mode: str, runner: Runner
) -> None:
    code = "import os, sys\ntry: os.mkdir('d')\nexcept OSError: os._exit(5)"
    result = runner.run(plan(*python(code), faults=[f"mkdir={decides}+delay(5ms)"], mode=mode))
    statuses = {"EIO": 5, "signal(USR1)": killed_by("USR1")}
    assert exit_status(result) == statuses.get(decides, killed_by("KILL"))
    assert result.outcome.fired == (1, 1)
    assert files(result) == ({"d": "dir"} if decides == "crash-after" else {})


@both_modes
def test_two_delays_at_one_call_are_one_after_the_other(mode: str, runner: Runner) -> None:
    code = python(_TIMED.format(ms=2 * _MS))
    result = runner.run(plan(*code, faults=[f"mkdir=delay({_SHORT})+delay({_SHORT})"], mode=mode))
    assert (result.outcome.stdout.head, result.outcome.fired) == ("late", (1, 1))


_SIGNALLED = """
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
static volatile int handled;
static void handle(int number) {
    struct stat there;
    handled = stat("d", &there) ? 1 : 2;  /* 2: the call had been made already */
}
int main(int argc, char **argv) {
    struct sigaction action = {.sa_handler = handle};
    struct timespec moment = {0, 20000000}, began, now;
    int ends[2];
    char c = 'x';
    if (pipe(ends)) return 98;
    int number = !strcmp(argv[1], "stop") ? SIGSTOP : SIGUSR1, status = 0;
    pid_t child = fork();
    if (child == 0) {
        if (!strcmp(argv[1], "handler")) sigaction(SIGUSR1, &action, 0);
        if (!strcmp(argv[1], "ignore")) signal(SIGUSR1, SIG_IGN);
        clock_gettime(CLOCK_MONOTONIC, &began);
        if (write(ends[1], &c, 1) != 1) return 97;
        if (mkdir("d", 0700)) return 9;
        clock_gettime(CLOCK_MONOTONIC, &now);
        double s = now.tv_sec - began.tv_sec + (now.tv_nsec - began.tv_nsec) / 1e9;
        return 10 * handled + (s >= .49);
    }
    if (read(ends[0], &c, 1) != 1) return 96;
    nanosleep(&moment, 0);
    kill(child, number);
    if (number == SIGSTOP) {
        waitpid(child, &status, WUNTRACED);
        if (!WIFSTOPPED(status)) return 99;
        kill(child, SIGCONT);
    }
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
"""


@both_modes
@pytest.mark.parametrize("how", ["default", "handler", "ignore", "stop"])
def test_a_signal_finds_a_task_that_has_not_made_its_late_call_yet(
    how: str, mode: str, runner: Runner, c_program: CProgram
) -> None:
    program = c_program(_SIGNALLED)
    result = runner.run(plan(program, how, faults=["main/0:mkdir=delay(500ms)"], mode=mode))
    expected = {"default": killed_by("USR1"), "handler": 11, "ignore": 1, "stop": 1}
    assert exit_status(result) == expected[how]
    assert files(result) == ({} if how == "default" else {"d": "dir"})
    made = [line.split()[1] for line in calls(result, "main/0", "mkdir")]
    assert set(made) == {"mkdir#1"}


# The parent waits until its child is in mkdir(2), call 83, or is stopped at it.
_KILLED = """
import os, signal, time
child = os.fork()
if child == 0:
    os.mkdir("d")
    os._exit(0)
if {stops}: os.waitpid(child, os.WUNTRACED)
else:
    while not open(f"/proc/{{child}}/syscall").read().startswith("83 "): pass
    time.sleep(0.01)  # in controlled mode it is the child's turn now
os.kill(child, signal.SIGKILL)
os._exit(os.waitpid(child, 0)[1])
"""


@both_modes
@pytest.mark.parametrize("kind", ["delay", "pause"])
def test_who_is_killed_meanwhile_never_makes_the_call(kind: str, mode: str, runner: Runner) -> None:
    code = python(_KILLED.format(stops=kind == "pause"))
    result = runner.run(plan(*code, faults=[f"main/0:mkdir={kind}(1h)"], mode=mode))
    assert (result.outcome.end, exit_status(result)) == ("exited", 9)
    assert (result.outcome.fired, files(result)) == ((1,), {})
    assert result.outcome.leftovers == ()


@pytest.mark.parametrize("kind", ["delay", "pause"])
def test_the_deadline_may_come_first(kind: str, runner: Runner) -> None:
    result = runner.run(
        plan("/bin/mkdir", "d", faults=[f"mkdir={kind}(1h)"], mode="free", deadline_s=1.0)
    )
    assert (result.outcome.end, files(result)) == ("deadline", {})
    said = "is put off at mkdir#1" if kind == "delay" else "is stopped since mkdir#1"
    assert said in result.outcome.report


@pytest.mark.parametrize("kind", ["delay", "pause"])
def test_a_busy_neighbour_does_not_shorten_it_and_the_deadline_still_comes(
    kind: str, runner: Runner
) -> None:
    code = "import os\nif os.fork() == 0: os.mkdir('d'); os._exit(0)\nwhile True: pass"
    result = runner.run(plan(*python(code), faults=[f"main/0:mkdir={kind}(1h)"], deadline_s=0.3))
    assert (result.outcome.end, files(result)) == ("deadline", {})


@both_modes
def test_a_call_that_never_comes_back_can_be_late(mode: str, runner: Runner) -> None:
    for kind in ("delay", "pause"):
        faults = [f"exit_group={kind}(5ms)"]
        result = runner.run(plan("/bin/false", faults=faults, mode=mode))
        assert (exit_status(result), result.outcome.fired) == (1, (1,))


# pause

_PARENT = """
import os, signal, time
told = []
signal.signal(signal.SIGCHLD, lambda *_: told.append("told"))
child = os.fork()
if child == 0:
    os.mkdir("d")
    os._exit(3)
before = time.monotonic()
for _ in range(3):
    pid, status = os.waitpid(child, os.WUNTRACED | os.WCONTINUED)
    if os.WIFSTOPPED(status): print("stopped", os.WSTOPSIG(status), os.path.exists("d"))
    elif os.WIFCONTINUED(status): print("continued", time.monotonic() - before >= 0.05)
    else: print("exited", os.WEXITSTATUS(status)); break
print("told", bool(told), os.path.exists("d"), flush=True)
"""


@both_modes
def test_a_parent_sees_that_its_child_is_stopped_and_goes_on(mode: str, runner: Runner) -> None:
    result = runner.run(plan(*python(_PARENT), faults=["main/0:mkdir=pause(50ms)"], mode=mode))
    lines = result.outcome.stdout.head.splitlines()
    # A child that ends before its parent has looked is not seen to go on.
    assert [line for line in lines if line != "continued True"] == [
        "stopped 19 False",
        "exited 3",
        "told True True",
    ]


@both_modes
def test_somebody_else_may_end_a_pause(mode: str, runner: Runner) -> None:
    code = """
import os, signal
child = os.fork()
if child == 0: os.mkdir("d"); os._exit(3)
os.waitpid(child, os.WUNTRACED)
os.kill(child, signal.SIGCONT)
os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    result = runner.run(plan(*python(code), faults=["main/0:mkdir=pause(1h)"], mode=mode))
    assert (exit_status(result), files(result)) == (3, {"d": "dir"})


@both_modes
def test_a_pause_stops_all_threads_of_the_process(mode: str, runner: Runner) -> None:
    code = """
import os, threading, time
def count():
    while not done: ticks.append(time.monotonic()); time.sleep(0.01)
ticks, done = [], []
thread = threading.Thread(target=count)
thread.start()
os.mkdir("d")
done.append(1)
thread.join()
gaps = [b - a for a, b in zip(ticks, [*ticks[1:], time.monotonic()])]
print(max(gaps) > 0.25, flush=True)
"""
    result = runner.run(plan(*python(code), faults=["mkdir=pause(300ms)"], mode=mode))
    assert (exit_status(result), result.outcome.stdout.head) == (0, "True\n")


@both_modes
@pytest.mark.parametrize("waits", ["done.wait()", "done.wait(3600)", "os.read(r, 1)"])
def test_a_process_is_stopped_although_its_threads_wait(
    waits: str, mode: str, runner: Runner
) -> None:
    code = f"""
import os, threading
r, w = os.pipe()
child = os.fork()
if child == 0:
    done = threading.Event()
    thread = threading.Thread(target=lambda: {waits})
    thread.start()
    os.mkdir("d")
    done.set()
    os.write(w, b"x")
    thread.join()
    os._exit(3)
print(os.WIFSTOPPED(os.waitpid(child, os.WUNTRACED)[1]), os.path.exists("d"), end=" ")
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
    result = runner.run(plan(*python(code), faults=["main/0:mkdir=pause(50ms)"], mode=mode))
    assert (result.outcome.end, result.outcome.stdout.head) == ("exited", "True False 3\n")


# hold until

# The second child begins when the first is in mkdir(2), call 83, and held there.
_TWO = """
import os
def make(name):
    os.mkdir(name); os.rmdir(name); os.mkdir(name + name); os._exit(0)
first = os.fork()
if first == 0: make("a")
while not open(f"/proc/{first}/syscall").read().startswith("83 "): pass
if os.fork() == 0: make("b")
os.wait(); os.wait()
"""


def _makes(result: TrialResult) -> str:
    """The names of the directories that were made, in that order."""
    made = [e for e in result.trace.events if e.call == "mkdir" and e.action == "-"]
    return " ".join(event.args[0].strip('"') for event in made)


@both_modes
def test_a_hold_ends_when_its_trigger_is_met(mode: str, runner: Runner) -> None:
    """The first child is born first and goes first, but for this."""
    faults = ["main/0:mkdir=hold(until=main/1:mkdir#2)"]
    result = runner.run(plan(*python(_TWO), faults=faults, mode=mode))
    assert (exit_status(result), _makes(result)) == (0, "b bb a aa")
    assert (result.outcome.fired, files(result)) == ((1,), {"aa": "dir", "bb": "dir"})
    assert [line.split()[1:3] for line in calls(result, "main/0", "mkdir")] == [
        ["mkdir#1", "hold"],
        ["mkdir#1", "-"],
        ["mkdir#2", "-"],
    ]


def test_an_open_trigger_is_met_by_the_next_such_call(runner: Runner) -> None:
    faults = ["main/0:mkdir#2=hold(until=main/*:rmdir#*)"]
    result = runner.run(plan(*python(_TWO), faults=faults))
    assert (exit_status(result), _makes(result)) == (0, "a b bb aa")
    assert result.outcome.fired == (1,)


def test_what_has_happened_already_is_not_waited_for() -> None:
    fault = "mkdir#2=hold(until=main:mkdir)"
    done = harness("run", "--fault", fault, "--", "mkdir", "a", "b")
    assert done.returncode == 3
    assert f"main:{fault} did not fire: main:mkdir had been met before" in done.stderr


def test_a_hold_whose_trigger_is_not_met_is_a_trial_that_is_stuck(runner: Runner) -> None:
    result = runner.run(plan("/bin/mkdir", "d", faults=["mkdir=hold(until=main/0:write)"]))
    assert (result.outcome.end, files(result)) == ("stuck", {})
    assert "it waits until main/0: write#1" in result.outcome.report


@both_modes
def test_a_hold_is_over_when_its_faults_are(mode: str, runner: Runner) -> None:
    """Phase recover comes although the client is held for ever, and the fresh one is served."""
    service = Subject.process(
        workloads.echo, kwargs={"path": workloads.SOCKET}, ready=listening(workloads.SOCKET)
    )
    for fault in ("hold", "hold(until=service:rename)"):
        trial = service.plan(workloads.ask, deadline_s=20.0)
        faults = parse_faults_at(f"client/0:sendto={fault}")
        schedule = Schedule.from_json({"format": 1, "mode": mode})
        result = runner.run(replace(trial, schedule=replace(schedule, faults=faults)))
        assert (result.outcome.end, result.outcome.fired) == ("exited", (1,)), result.outcome
        assert {client.role: client.status for client in result.outcome.clients} == {
            "client/0": 0,
            "client/fresh": 0,
        }


# Determinism, and other programs


@pytest.mark.parametrize(
    "faults",
    [
        ["**:write#*=delay(3s)"],
        ["main/*:read#*=pause(1s)"],
        ["main/1:read#*=short(7)+delay(1s)"],
        ["main/0:write=hold(until=main/1:openat)"],
    ],
    ids=str,
)
def test_equal_schedules_give_equal_traces(faults: list[str], runner: Runner, effort: str) -> None:
    code = shell("{ echo one; echo two; } | sort | { read a; echo $a; }")
    digests = set()
    for _ in range(100 if effort == "full" else 8):
        result = runner.run(plan(*code, faults=faults))
        assert (result.outcome.end, result.outcome.stdout.head) == ("exited", "one\n")
        digests.add(result.trace.digest)
    assert len(digests) == 1


def test_a_seed_draws_switches_that_repeat_a_trial_with_delays(runner: Runner) -> None:
    code = shell("(mkdir a; mkdir b) & (mkdir c; mkdir d) & wait")
    faults = ["**:mkdir#*=delay(1s)"]
    drawn = runner.run(plan(*code, faults=faults, seed=5))
    again = runner.run(plan(*code, faults=faults, switches=drawn.schedule.switches))
    assert again.trace.digest == drawn.trace.digest


def test_a_perl_alarm_goes_off_while_its_read_is_late(runner: Runner) -> None:
    needs("perl")
    code = """
$SIG{ALRM} = sub { syswrite STDOUT, "alarm " };
alarm 5; my $began = time;
mkdir "d" or die;
my $late = time - $began; syswrite STDOUT, "$late\n";
"""
    result = runner.run(plan("perl", "-e", code, faults=["mkdir=delay(1h)"]))
    assert result.outcome.stdout.head == "alarm 3600\n"


def test_its_report_says_who_was_late() -> None:
    done = harness("run", "--fault", "mkdir=delay(1h)+EIO", "--", "mkdir", "d")
    assert done.returncode == 1
    said = one_line(done.stderr.splitlines()[-1])
    assert "main:mkdir=delay(1h) fired 1 time; main:mkdir=EIO fired 1 time" in said
