"""Free mode's short cut through rows of plain calls: it counts, traces and faults as the long way
does, and lets everything else have its turn."""

from __future__ import annotations

from harness._engine.runner import Runner
from tests.system.support import calls, exit_status, plan, python

#: One call thousands of times in a row; what is printed says at which of them it failed.
_ROW = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
print([nth for nth in range(1, 20001) if libc.getppid() < 0])
"""


def test_a_fault_deep_in_a_row_fires_at_its_call_and_each_is_in_the_trace(runner: Runner) -> None:
    result = runner.run(
        plan(*python(_ROW), faults=["getppid#12345=EPERM", "getppid#12346=EPERM"], mode="free")
    )
    assert result.outcome.stdout.head == "[12345, 12346]\n"
    assert (result.outcome.seen, result.outcome.fired) == ((20000, 20000), (1, 1))
    events = calls(result, "main", "getppid")
    assert len(events) == 20000
    assert [e for e in events if not e.endswith(" -")] == [
        "main getppid#12345 fail:EPERM",
        "main getppid#12346 fail:EPERM",
    ]


def test_what_a_row_writes_is_drained_while_it_lasts(runner: Runner) -> None:
    """Its pipe holds 64 KiB; a writer that nobody reads would block for ever."""
    code = "import os\nfor _ in range(30000): os.getppid(); os.write(1, b'0123456789')"
    result = runner.run(plan(*python(code), faults=["getppid#99999=EPERM"], mode="free"))
    assert exit_status(result) == 0
    assert result.outcome.stdout.size == 300000


def test_a_row_without_end_ends_at_the_deadline(runner: Runner) -> None:
    code = "import os\nwhile True: os.getppid()"
    result = runner.run(
        plan(
            *python(code),
            faults=["getppid#99999999=EPERM"],
            mode="free",
            deadline_s=1.0,
            step_limit=10**9,
        )
    )
    assert result.outcome.end == "deadline"
    assert result.outcome.seen[0] > 0


def test_a_row_without_end_ends_at_the_step_limit(runner: Runner) -> None:
    code = "import os\nwhile True: os.getppid()"
    result = runner.run(
        plan(*python(code), faults=["getppid#99999999=EPERM"], mode="free", step_limit=5000)
    )
    assert result.outcome.end == "steps"


def test_a_row_that_is_killed_in_the_middle_is_over(runner: Runner) -> None:
    code = """
import os, signal
child = os.fork()
if not child:
    while True: os.getppid()
for _ in range(3000): os.getppid()
os.kill(child, signal.SIGKILL)
print(os.WTERMSIG(os.wait()[1]))
"""
    result = runner.run(plan(*python(code), faults=["getppid#99999999=EPERM"], mode="free"))
    assert result.outcome.stdout.head == "9\n"
