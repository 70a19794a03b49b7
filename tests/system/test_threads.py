"""Thread subjects: the service and its clients are threads of one process, and everything else is
as it is for processes."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest

from conftest import Effort
from harness import Subject, listening
from harness._engine.record import plan_of, record
from harness._engine.replay import compare
from harness._engine.runner import Runner
from harness._engine.sweep import sweep
from harness._engine.trial import TrialResult
from harness.errors import SubjectError, UsageError
from harness.oracle import judge
from harness.recording import ClientCommand, Recording
from harness.schedule import Schedule, parse_fault_at
from tests.system.programs import threaded, workloads
from tests.system.support import MODES, calls
from tests.system.test_determinism import assert_all_equal, machine, ordinary_runner

__all__ = ["machine", "ordinary_runner"]  # fixtures

KWARGS = {"path": threaded.SOCKET}
READY = listening(threaded.SOCKET)
THREADS = Subject.thread(threaded.serve, ready=READY, kwargs=KWARGS)
PROCESSES = Subject.process(threaded.serve, ready=READY, kwargs=KWARGS)
BOTH = pytest.mark.parametrize("subject", [THREADS, PROCESSES], ids=["threads", "processes"])

other = functools.partial(threaded.ask, text="another")


def run(
    runner: Runner, subject: Subject, *clients: Any, faults: tuple[str, ...] = (), **more: Any
) -> TrialResult:
    schedule = Schedule(
        mode=more.pop("mode", "controlled"),
        faults=tuple(parse_fault_at(text, "service") for text in faults),
    )
    return runner.run(subject.plan(*clients, schedule=schedule, **more))


def statuses(result: TrialResult) -> dict[str, int]:
    return {client.role: client.status for client in result.outcome.clients}


@pytest.mark.parametrize("mode", MODES)
@BOTH
def test_each_has_its_role_and_its_phase(runner: Runner, subject: Subject, mode: str) -> None:
    result = run(runner, subject, threaded.ask, other, mode=mode)
    assert result.outcome.end == "exited", result.outcome.report
    assert result.outcome.status == 0
    assert statuses(result) == {"client/0": 0, "client/1": 0, "client/fresh": 0}
    assert [operation.result for operation in result.outcome.history] == ["ok"] * 3
    assert (result.outcome.leftovers, result.outcome.files) == ((), ())
    phases = [e.args[0] for e in result.trace.events if e.call == "phase"]
    assert phases == ["start", "work", "recover", "stop", "settle"]


def test_they_share_one_memory(runner: Runner) -> None:
    result = run(runner, THREADS, threaded.ask, threaded.shares_memory)
    assert (result.outcome.status, *statuses(result).values()) == (0, 0, 0, 0)
    notes = [json.loads(json.loads(e.args[0])) for e in result.trace.events if e.call == "note"]
    assert notes == [{"process": 2, "thread": "client/1"}]


def test_one_fault_fires_in_both_kinds_of_subject(runner: Runner) -> None:
    fault = "client/1:sendto#2=EPIPE"
    for subject in (THREADS, PROCESSES):
        result = run(runner, subject, threaded.ask, other, faults=(fault,))
        assert result.outcome.fired == (1,)
        assert statuses(result) == {"client/0": 0, "client/1": 1 << 8, "client/fresh": 0}
        assert "client/1: BrokenPipeError" in result.outcome.stderr.head


@pytest.mark.parametrize("role", ["service", "service#1", "client/0", "client/1"])
@pytest.mark.parametrize("kind", ["crash", "crash-after"])
def test_what_kills_one_thread_kills_all_and_excuses_all(
    runner: Runner, role: str, kind: str
) -> None:
    golden = run(runner, THREADS, threaded.ask, other)
    call = "accept4" if role == "service" else "sendto"
    result = run(runner, THREADS, threaded.ask, other, faults=(f"{role}:{call}={kind}",))
    assert result.outcome.fired == (1,)
    assert result.outcome.status == 9
    assert statuses(result)["client/1"] == 9
    ends = statuses(result)
    assert (ends["restarted"], ends["client/fresh"]) == (0, 0)
    faulty = Schedule(faults=(parse_fault_at(f"{role}:{call}={kind}", "service"),))
    assert judge("service", result.outcome, golden.outcome, faulty).findings == ()


def test_without_a_crash_nothing_of_that_is_excused(runner: Runner) -> None:
    golden = run(runner, THREADS, threaded.ask, other)
    killed = run(runner, THREADS, functools.partial(threaded.fails, how="kill"), other)
    assert killed.outcome.status == 9
    assert judge("service", killed.outcome, golden.outcome).findings


def test_a_service_that_is_killed_when_it_is_ready_takes_its_clients_along(runner: Runner) -> None:
    result = run(runner, THREADS, threaded.ask, faults=("service:listen@start=crash-after",))
    assert result.outcome.end == "exited", result.outcome.report
    assert statuses(result) == {"client/0": 9, "restarted": 0, "client/fresh": 0}


def test_a_sweep_covers_all_and_finds_nothing_in_a_careful_service(effort: Effort) -> None:
    plan = THREADS.plan(threaded.ask, *([other] if effort == "full" else []))
    result = sweep(plan, store=None, roles="**", calls="*" if effort == "full" else "net")
    assert result.findings == ()
    assert result.inconclusive == ()
    assert result.points == result.covered > 10
    assert result.trials == result.fired + result.did_not_fire
    assert sum(tally.trials for tally in result.kinds) == result.trials
    for tally in result.kinds:
        assert tally.calls == tally.tried + tally.not_applicable + tally.left_out == result.calls


@pytest.mark.usefixtures("machine")
def test_a_recording_of_threads_repeats(runner: Runner, effort: Effort) -> None:
    fault = "service#2:sendto=ECONNRESET"
    schedule = Schedule(seed=5, faults=(parse_fault_at(fault, "service"),))
    plan = THREADS.plan(threaded.ask, other, schedule=schedule, policy="random")
    first = runner.run(plan)
    assert first.schedule.switches
    verdict = judge("service", first.outcome, None, first.schedule)
    text = record(plan, first, verdict).dumps()
    recording = Recording.loads(text)
    assert recording.threads
    assert plan_of(recording).threads
    again = [runner.run(plan_of(recording)) for _ in range(1000 if effort == "full" else 5)]
    assert_all_equal([first, *again])
    replayed = compare(recording, "service", again[0])
    assert (replayed.word, replayed.divergence) == ("REPRODUCED", "")


def test_threads_repeat_without_real_time(ordinary_runner: Runner) -> None:
    plan = THREADS.plan(threaded.ask, other, schedule=Schedule(seed=3), policy="random")
    assert_all_equal([ordinary_runner.run(plan) for _ in range(5)])


def test_a_child_of_a_thread_has_that_thread_alone(runner: Runner) -> None:
    result = run(runner, THREADS, threaded.forks, recovers=False)
    assert result.outcome.stdout.head == "1 thread\n"
    assert statuses(result) == {"client/0": 5 << 8}
    assert calls(result, "client/0/0", "exit_group") == ["client/0/0 exit_group#1 - 5"]
    assert result.outcome.status == 0


def test_a_service_of_threads_may_fork_its_children(runner: Runner) -> None:
    subject = Subject.thread(workloads.echo, ready=READY, kwargs=KWARGS)
    result = run(runner, subject, workloads.ask, workloads.ask, recovers=False)
    assert statuses(result) == {"client/0": 0, "client/1": 0}
    roles = {event.role for event in result.trace.events}
    assert {"service", "service/0", "service/1"} <= roles
    faults = ("service/0:sendto=crash",)
    killed = run(runner, subject, workloads.ask, workloads.ask, faults=faults)
    assert statuses(killed) == {"client/0": 1 << 8, "client/1": 0, "client/fresh": 0}


@pytest.mark.parametrize(
    ("how", "status", "said"),
    [("nothing", 0, ""), ("raise", 1, "ValueError: no such luck"), ("exit", 3, "")],
)
def test_a_client_ends_as_its_function_does(
    runner: Runner, how: str, status: int, said: str
) -> None:
    result = run(runner, THREADS, functools.partial(threaded.fails, how=how), other)
    assert statuses(result) == {"client/0": status << 8, "client/1": 0, "client/fresh": status << 8}
    assert said in result.outcome.stderr.head
    assert result.outcome.status == 0


def test_a_client_that_is_a_command_is_a_process(runner: Runner) -> None:
    result = run(runner, THREADS, ["/bin/sh", "-c", "exit 4"], threaded.ask, recovers=False)
    assert statuses(result) == {"client/0": 4 << 8, "client/1": 0}


# Bad input


def test_a_service_that_returns_at_once_leaves_its_clients_alone(runner: Runner) -> None:
    subject = Subject.thread(threaded.returns, kwargs={"what": 7})
    result = run(runner, subject, threaded.ask, recovers=False)
    assert result.outcome.end == "exited"
    assert result.outcome.status == 7 << 8
    assert statuses(result) == {"client/0": 1 << 8}


def test_a_service_that_is_never_ready_is_told_so(runner: Runner) -> None:
    subject = Subject.thread(threaded.returns, ready=READY)
    result = run(runner, subject, threaded.ask, recovers=False)
    assert result.outcome.report == "service ended before it was ready"
    assert statuses(result) == {}


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(UsageError, match="module:function"):
        Subject.thread("no.such.module:serve")
    subject = Subject.thread("tests.system.programs.threaded:no_such_function")
    with Runner() as runner, pytest.raises(SubjectError, match="has no function no_such_function"):
        runner.run(subject.plan(threaded.ask))


def test_only_a_function_has_threads(tmp_path: Path) -> None:
    from dataclasses import replace

    plan = Subject.command(["true"]).plan()
    with pytest.raises(UsageError, match="only a function"):
        replace(plan, threads=True)
    assert replace(THREADS.plan(), threads=True).threads_of == ()
    command = ClientCommand(name="client/0", command=("true",))
    assert replace(THREADS.plan(), clients=(command,), recovers=True).threads_of == ()
