"""Processor time in a trial: counted in calls, so that it is the same in each run."""

from __future__ import annotations

import ast

import pytest

from harness._engine.runner import Runner
from tests.system.support import plan, python

MICROSECOND = 1e-6


def said(runner: Runner, code: str) -> object:
    """What *code* prints, the same twice; nothing weakens it."""
    runs = [runner.run(plan(*python(code))) for _ in range(2)]
    outputs = {run.outcome.stdout.head for run in runs}
    assert len(outputs) == 1, outputs
    assert [run.outcome.weakened for run in runs] == [(), ()]
    return ast.literal_eval(outputs.pop())


def test_each_call_takes_a_microsecond_and_each_look_too(runner: Runner) -> None:
    first, second, third = said(
        runner,
        "import os, time as t; a = t.process_time_ns(); b = t.process_time_ns();"
        "[os.access('/', 0) for _ in range(5)]; print([a, b, t.process_time_ns()])",
    )
    assert first > 0
    assert (second - first, third - second) == (1_000, 6_000)


def test_who_waits_until_it_has_used_half_a_minute_is_not_kept_waiting(runner: Runner) -> None:
    code = "import time\nwhile time.process_time() < 30: pass\nprint(1)"
    assert said(runner, code) == 1


def test_a_sleep_uses_none(runner: Runner) -> None:
    before, after = said(
        runner,
        "import time as t; a = t.process_time(); t.sleep(1000); print([a, t.process_time()])",
    )
    assert after - before < 10 * MICROSECOND


def test_a_thread_has_its_own_and_the_process_all_of_them(runner: Runner) -> None:
    own, thread, all_of_it, afterwards = said(
        runner,
        """
import os, threading, time as t
def works():
    for _ in range(100): os.access("/", 0)
    seen.append(t.thread_time_ns())
seen = []
x = threading.Thread(target=works); x.start(); x.join()
own = t.thread_time_ns(); print([own, *seen, t.process_time_ns(), t.process_time_ns()])
""",
    )
    assert thread >= 100_000
    assert all_of_it >= own + thread
    assert afterwards - all_of_it == 1_000


@pytest.mark.parametrize("ask", ["resource.getrusage(-1).ru_utime", "os.times().children_user"])
def test_what_children_have_used_counts_when_they_have_ended(runner: Runner, ask: str) -> None:
    before, after = said(
        runner,
        f"""
import os, resource
def used(): return {ask}
before = used()
if os.fork() == 0:
    for _ in range(20_000): os.access("/", 0)
    os._exit(0)
os.wait()
print([before, used()])
""",
    )
    assert before == 0
    assert 0.02 <= after < 0.021


def test_a_child_of_a_thread_has_an_account_of_its_own(runner: Runner) -> None:
    """What its parent's other children have used is none of its own."""
    code = """
import os, threading
def forks(work):
    if os.fork() == 0: work(); os._exit(0)
    os.wait()
def works(): [os.access("/", 0) for _ in range(20_000)]
def tells(): os.write(1, str(os.times().children_user).encode())
forks(works)
x = threading.Thread(target=forks, args=(tells,)); x.start(); x.join()
"""
    assert said(runner, code) == 0.0


def test_getrusage_and_times_say_the_same(runner: Runner) -> None:
    usage, times, elapsed, resident = said(
        runner,
        "import os, resource as r\nfor _ in range(20_000): os.access('/', 0)\n"
        "a = os.times(); os.times(); b = os.times(); u = r.getrusage(r.RUSAGE_SELF)\n"
        "print([u.ru_utime, b.user, b.elapsed - a.elapsed, u.ru_maxrss])",
    )
    assert times == int(usage * 100) / 100 == 0.02
    assert elapsed >= 0
    assert resident == 8192


def test_what_is_wrong_is_said_as_the_kernel_does(runner: Runner) -> None:
    code = (
        "import ctypes, errno; c = ctypes.CDLL(None, use_errno=True); say = ctypes.get_errno\n"
        "print([(c.syscall(98, 7, bytes(144)), say()), (c.syscall(98, 0, 8), say()),"
        " (c.syscall(100, 8), say()), (c.syscall(228, 2, 8), say())])"
    )
    assert said(runner, code) == [(-1, 22), (-1, 14), (-1, 14), (-1, 14)]


def test_a_shell_says_how_long_it_took_and_it_is_the_same_each_time(runner: Runner) -> None:
    runs = [runner.run(plan("bash", "-c", "time sleep 3; times")) for _ in range(2)]
    first, second = (run.outcome.stderr.head + run.outcome.stdout.head for run in runs)
    assert first == second
    assert "real\t0m3.0" in first
    assert "user\t0m0.000s" in first
    assert [run.outcome.weakened for run in runs] == [(), ()]
