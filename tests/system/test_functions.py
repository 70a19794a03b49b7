"""Functions as subjects and clients: the processes that call them, and what becomes of these."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import Subject, listening
from harness._engine.runner import Runner
from harness._engine.trial import TrialResult, run_trial
from harness.errors import HarnessError, SubjectError
from harness.history import Operation
from harness.schedule import FRESH, RESTARTED, Schedule, parse_faults_at
from harness.workload import Workload
from tests.system.programs import workloads
from tests.system.support import MODES

Function = Callable[..., Any]

both_modes = pytest.mark.parametrize("mode", MODES)
ECHO = Subject.process(
    workloads.echo, ready=listening(workloads.SOCKET), kwargs={"path": workloads.SOCKET}
)


def run(
    runner: Runner, function: object, mode: str = "controlled", **kwargs: object
) -> TrialResult:
    return runner.run(_plan(Subject.process(function, kwargs=kwargs), mode))  # type: ignore[arg-type]


def _plan(
    subject: Subject, mode: str = "controlled", *clients: object, faults: tuple[str, ...] = ()
):  # type: ignore[no-untyped-def]

    schedule = Schedule(
        mode=mode,  # type: ignore[arg-type]
        faults=tuple(one for text in faults for one in parse_faults_at(text, "service")),
    )
    return subject.plan(*clients, schedule=schedule)


# Its process


@both_modes
@pytest.mark.parametrize(("value", "status"), [(None, 0), (0, 0), (7, 7), (True, 1)])
def test_what_it_returns_is_its_exit_status(
    runner: Runner, mode: str, value: object, status: int
) -> None:
    assert run(runner, workloads.returns, mode, what=value).outcome.status == status << 8


@pytest.mark.parametrize(("code", "status"), [(None, 0), (5, 5), ("why", 1)])
def test_it_may_leave_as_a_program_does(runner: Runner, code: object, status: int) -> None:
    outcome = run(runner, workloads.leaves, code=code).outcome
    assert (outcome.status, outcome.stderr.head) == (status << 8, "why\n" if code == "why" else "")


@both_modes
def test_an_exception_is_exit_1_and_a_traceback_of_its_own_frames(
    runner: Runner, mode: str
) -> None:
    outcome = run(runner, workloads.raises, mode).outcome
    assert outcome.status == 1 << 8
    assert outcome.stderr.head.endswith("ValueError: this and no more\n")
    assert outcome.stderr.head.count("  File ") == 1


@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL", "SIGSEGV"])
def test_a_signal_ends_it(runner: Runner, name: str) -> None:
    assert run(runner, workloads.dies, name=name).outcome.status == getattr(signal, name)


def test_its_clock_is_that_of_the_trial(runner: Runner) -> None:
    assert run(runner, workloads.waits_a_day).outcome.stdout.head == "86400 86400\n"


def test_an_interrupt_ends_it_as_it_ends_python(runner: Runner) -> None:
    assert run(runner, workloads.interrupts_itself).outcome.status == signal.SIGINT


def test_its_world_is_that_of_a_new_process(runner: Runner) -> None:
    outcome = run(runner, workloads.tells_its_world).outcome
    assert outcome.stdout.head.splitlines() == [
        "['HOME', 'LANG', 'PATH', 'PYTHONHASHSEED']",
        "/trial []",
        "",
        "['0', '1', '2', '3']",  # 3 is the directory that is being listed
        "SIG_IGN SIG_DFL",
        "set()",
        "True",
    ]
    assert outcome.stderr.head == "told\n"


def test_it_ends_like_a_program(runner: Runner) -> None:
    outcome = run(runner, workloads.ends_like_a_program).outcome
    assert sorted(outcome.stdout.head.splitlines()) == ["at the end", "main", "thread"]


def test_output_that_is_lost_is_no_success(runner: Runner) -> None:
    assert run(runner, workloads.closes_its_output).outcome.status == 120 << 8


def test_every_trial_finds_the_same_process_in_every_runner() -> None:
    found = set()
    for _ in range(2):
        with Runner() as runner:
            for _ in range(3):
                found.add(run(runner, workloads.tells_where_it_lies).outcome.stdout.head)
    assert len(found) == 1


# Its phases, and the clients' history


def statuses(result: TrialResult) -> dict[str, int]:
    return {client.role: client.status for client in result.outcome.clients}


@both_modes
def test_a_service_is_asked_once_more_and_told_to_stop(runner: Runner, mode: str) -> None:
    result = runner.run(_plan(ECHO, mode, workloads.ask))
    assert result.outcome.status == 0
    assert statuses(result) == {"client/0": 0, FRESH: 0}
    assert result.outcome.history == (
        Operation(role="client/0", name="ask", result="ok"),
        Operation(role=FRESH, name="ask", result="ok"),
    )
    assert result.outcome.files == ()
    phases = [e.args[0] for e in result.trace.events if e.call == "phase"]
    assert phases == ["start", "work", "recover", "stop", "settle"]


def test_equal_schedules_give_equal_digests(runner: Runner) -> None:
    plan = ECHO.plan(workloads.ask, workloads.ask, slow=workloads.ask)
    assert len({runner.run(plan).trace.digest for _ in range(10)}) == 1


def test_seeds_change_the_order_and_repeat_it(runner: Runner) -> None:
    plan = ECHO.plan(workloads.ask, workloads.ask, policy="random")
    digests = [
        [
            runner.run(replace(plan, schedule=replace(plan.schedule, seed=seed))).trace.digest
            for _ in range(2)
        ]
        for seed in range(4)
    ]
    assert all(first == again for first, again in digests)
    assert len({first for first, _ in digests}) == 4


@both_modes
def test_a_service_that_was_killed_is_started_again(runner: Runner, mode: str) -> None:
    plan = _plan(ECHO, mode, workloads.ask, faults=("service:getsockname=crash",))
    result = runner.run(plan)
    assert result.outcome.status == signal.SIGKILL
    assert statuses(result) == {"client/0": 1 << 8, FRESH: 0, RESTARTED: 0}
    assert [op.result for op in result.outcome.history][1:] == ["ok"]
    assert result.outcome.files == ()


@pytest.mark.parametrize("fault", ["service:listen@start=EADDRINUSE", "service:bind@start=crash"])
def test_a_service_that_did_not_start_is_started_again(runner: Runner, fault: str) -> None:
    result = runner.run(_plan(ECHO, "controlled", workloads.ask, faults=(fault,)))
    assert statuses(result) == {FRESH: 0, RESTARTED: 0}


@pytest.mark.parametrize("fault", ["listen@start=signal(WINCH)", "clone=signal(WINCH)"])
def test_a_signal_that_nobody_minds_changes_nothing(runner: Runner, fault: str) -> None:
    result = runner.run(_plan(ECHO, "controlled", workloads.ask, faults=(f"service:{fault}",)))
    assert result.outcome.fired == (1,)
    assert (result.outcome.status, statuses(result)) == (0, {"client/0": 0, FRESH: 0})


@pytest.mark.parametrize("fault", ["service/0:recvfrom=hold", "service:accept4=hold"])
def test_what_is_held_is_let_go_when_nobody_can_go_on(runner: Runner, fault: str) -> None:
    result = runner.run(_plan(ECHO, "controlled", workloads.ask, faults=(fault,)))
    assert statuses(result) == {"client/0": 0, FRESH: 0}
    assert result.outcome.end == "exited"


def test_a_crash_after_a_call_that_is_not_done_is_no_crash(runner: Runner) -> None:
    """The second accept4 is under way when the faults end, and returns with the fresh client."""
    plan = _plan(ECHO, "controlled", workloads.ask, faults=("service:accept4#2=crash-after",))
    result = runner.run(plan)
    assert result.outcome.fired == (0,)
    assert (result.outcome.status, statuses(result)) == (0, {"client/0": 0, FRESH: 0})


def test_a_reply_that_is_cut_is_a_failure_and_another_one_is_wrong(runner: Runner) -> None:
    cut = runner.run(
        _plan(ECHO, "controlled", workloads.ask, faults=("service/0:sendto=short(2)",))
    )
    assert [op.result for op in cut.outcome.history] == ["fail", "ok"]
    assert "cut short: got b'he', expected b'hello'" in cut.outcome.stderr.head
    wrong = runner.run(ECHO.plan(workloads.ask_for_another))
    assert {op.result for op in wrong.outcome.history} == {"wrong"}
    assert statuses(wrong)["client/0"] == 1 << 8


def test_functions_and_commands_go_together(runner: Runner) -> None:
    result = runner.run(ECHO.plan(workloads.ask, other=["/bin/sh", "-c", "exit 3"]))
    assert statuses(result)["client/other"] == 3 << 8


def test_a_function_runs_without_a_runner_too() -> None:
    policy, cpus = os.sched_getscheduler(0), os.sched_getaffinity(0)
    result = run_trial(_plan(Subject.process(workloads.returns, kwargs={"what": 4})))
    assert result.outcome.status == 4 << 8
    # We were the supervisor, in real time and on one processor; what we start next is not.
    assert (os.sched_getscheduler(0), os.sched_getaffinity(0)) == (policy, cpus)


# Modules that cannot be


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "import nothing_of_the_kind",
            "ModuleNotFoundError: No module named 'nothing_of_the_kind'",
        ),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def f(:", "SyntaxError"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("import os; os._exit(3)", "ended the process that did it"),
        ("g = 3", "has no function f"),
        (
            "from threading import Event, Thread as f\nf(target=Event().wait, daemon=True).start()",
            "starts a thread",
        ),
    ],
)
def test_a_module_that_cannot_be_used_is_named(
    runner: Runner, tmp_path: Path, source: str, said: str
) -> None:
    file = tmp_path / "subject_of_test.py"
    file.write_text(source)
    workload = Workload(module="subject_of_test", file=str(file), qualname="f")
    with pytest.raises(SubjectError) as caught:
        runner.run(Subject.process(workload).plan())
    message = str(caught.value)
    assert said in message
    assert "\n" not in message
    assert "subject_of_test" in message
    assert caught.value.status == 125


def test_the_template_goes_with_its_runner() -> None:
    runner = Runner()
    run(runner, workloads.returns, what=0)
    children = Path(f"/proc/{runner.pid}/task/{runner.pid}/children").read_text().split()
    assert len(children) == 1
    pidfd = os.pidfd_open(int(children[0]))
    os.kill(runner.pid, signal.SIGKILL)
    assert select.select([pidfd], [], [], 30)[0]
    os.close(pidfd)
    runner.close()


def test_a_template_that_died_is_an_error_once(runner: Runner) -> None:
    run(runner, workloads.returns, what=0)
    for pid in Path(f"/proc/{runner.pid}/task/{runner.pid}/children").read_text().split():
        os.kill(int(pid), signal.SIGKILL)
    with pytest.raises(HarnessError, match=r"the template \(process [0-9]+\) died"):
        run(runner, workloads.returns, what=0)
    assert run(runner, workloads.returns, what=0).outcome.status == 0


def test_a_module_is_imported_with_the_trials_environment(runner: Runner, tmp_path: Path) -> None:
    file = tmp_path / "reads_environment.py"
    file.write_text("import os\nvalue = os.environ['VALUE']\ndef f(): print(value)")
    workload = Workload(module="reads_environment", file=str(file), qualname="f")
    said = [
        runner.run(Subject.process(workload, environment={"VALUE": value}).plan())
        for value in ("{dir}/one", "two")
    ]
    assert [result.outcome.stdout.head for result in said] == ["/trial/one\n", "two\n"]


def test_nothing_is_imported_twice(runner: Runner) -> None:
    """The second trial comes of the same template, so its start is the cheap part."""
    run(runner, workloads.returns, what=0)
    before = Path(f"/proc/{runner.pid}/task/{runner.pid}/children").read_text()
    run(runner, workloads.returns, what=0)
    assert Path(f"/proc/{runner.pid}/task/{runner.pid}/children").read_text() == before
    assert sys.modules[workloads.__name__] is workloads
