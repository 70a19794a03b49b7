"""One seed, one trace: equal digests, whatever else runs on the machine. Another seed, another
trace."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from conftest import Effort
from harness._engine.record import plan_of, record
from harness._engine.replay import compare
from harness._engine.runner import Runner
from harness._engine.trial import TrialResult
from harness.oracle import judge
from harness.recording import Recording
from harness.subject import TrialPlan
from harness.trace import first_difference
from tests.system.subjects import (
    pipeline,
    prefork_interpreter,
    server_on_a_path,
    server_on_a_port,
)
from tests.system.support import harness, plan, python, shell

Subject = Callable[..., TrialPlan]

SUBJECTS = [pipeline, server_on_a_path, server_on_a_port, prefork_interpreter]
SEED = 7


@pytest.fixture
def trials(effort: Effort, record_property: Callable[[str, object], None]) -> int:
    """How often a trial is repeated: 50 times, unless CI must be quick."""
    count = 50 if effort == "full" else 4
    record_property("trials", count)
    return count


@pytest.fixture(params=["quiet", "busy"])
def machine(request: pytest.FixtureRequest) -> Iterator[None]:
    """A quiet machine, and one with two loops that never let a processor go."""
    loops = [
        subprocess.Popen(["timeout", "120", "sh", "-c", "while :; do :; done"])
        for _ in range(2 if request.param == "busy" else 0)
    ]
    yield
    for loop in loops:
        loop.terminate()
    for loop in loops:
        loop.wait(10)


@pytest.fixture
def ordinary_runner(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runner]:
    """A runner that may not run in real time, as an unprivileged user's may not."""
    refused = [f"process.schedule_in_real_time#{n}=EPERM" for n in range(1, 200)]
    monkeypatch.setenv("HARNESS_KERNEL_FAIL", " ".join(refused))
    with Runner() as runner:
        yield runner


def repeat(runner: Runner, trial: TrialPlan, times: int) -> list[TrialResult]:
    return [runner.run(trial) for _ in range(times)]


def digests(results: list[TrialResult]) -> list[str]:
    return [result.trace.digest for result in results]


def assert_all_equal(results: list[TrialResult]) -> None:
    """One digest; else how many of each, and where the two commonest part."""
    counts = Counter(digests(results))
    if len(counts) == 1:
        return
    (one, _), (other, _) = counts.most_common(2)
    by_digest = {result.trace.digest: result for result in results}
    expected, actual = by_digest[one].trace, by_digest[other].trace
    at = first_difference(expected, actual) or 0
    before, rest = expected.counted()[max(0, at - 12) : at], expected.counted()[at : at + 4]
    lines = [f"{len(counts)} digests: {sorted(counts.values(), reverse=True)}", f"at event {at}:"]
    lines += [f"    {event.line()}" for event in before]
    lines += [f"  - {event.line()}" for event in rest]
    lines += [f"  + {event.line()}" for event in actual.counted()[at : at + 4]]
    pytest.fail("\n".join(lines))


@pytest.mark.parametrize("subject", SUBJECTS)
@pytest.mark.usefixtures("machine")
def test_one_seed_gives_one_digest(
    runner: Runner,
    subject: Subject,
    effort: Effort,
    record_property: Callable[[str, object], None],
) -> None:
    trials = 50 if effort == "full" else 10
    record_property("trials", trials)
    results = repeat(runner, subject(seed=SEED), trials)
    assert_all_equal(results)
    assert results[0].outcome.end == "exited"
    assert len(results[0].schedule.switches) > 20, "the seed must have drawn an order of its own"


@pytest.mark.parametrize("subject", SUBJECTS)
@pytest.mark.parametrize("machine", ["busy"], indirect=True)
@pytest.mark.usefixtures("machine")
def test_one_seed_gives_one_digest_without_real_time(
    ordinary_runner: Runner, subject: Subject, trials: int
) -> None:
    assert_all_equal(repeat(ordinary_runner, subject(seed=SEED), trials))


@pytest.mark.parametrize("subject", SUBJECTS)
def test_the_default_policy_gives_one_digest_and_needs_no_switch(
    runner: Runner, subject: Subject, trials: int
) -> None:
    results = repeat(runner, subject(), trials)
    assert_all_equal(results)
    assert results[0].schedule.switches == ()


@pytest.mark.parametrize("subject", SUBJECTS)
def test_different_seeds_give_different_interleavings(
    runner: Runner, subject: Subject, trials: int
) -> None:
    found = digests([runner.run(subject(seed=seed)) for seed in range(trials)])
    assert len(set(found)) == len(found)


def test_interleavings_differ_in_what_a_race_gives(runner: Runner) -> None:
    """Two writers of one file: who is first is decided by the seed alone."""
    race = shell("echo a >>f & echo b >>f & wait; cat f | tr -d '\\n'")
    heads = {runner.run(plan(*race, seed=seed)).outcome.stdout.head for seed in range(10)}
    assert heads == {"ab", "ba"}


@pytest.mark.parametrize("subject", SUBJECTS)
def test_another_runner_and_another_processor_give_the_same_digest(subject: Subject) -> None:
    found = []
    for cpu in sorted(os.sched_getaffinity(0)):
        with Runner() as runner:
            found.append(runner.run(subject(seed=SEED, cpu=cpu)))
    assert_all_equal(found)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_what_a_seed_decided_is_written_down_as_switches_of_the_default_policy(
    runner: Runner, subject: Subject, effort: Effort
) -> None:
    for seed in range(20 if effort == "full" else 2):
        trial = subject(seed=seed)
        first = runner.run(trial)
        written = record(trial, first, judge(trial.roots[0], first.outcome)).dumps()
        recording = Recording.loads(written)
        again_plan = plan_of(recording)
        assert again_plan.policy == "default"
        again = runner.run(again_plan)
        assert_all_equal([first, again])
        assert again.outcome == first.outcome
        assert again.schedule.switches == first.schedule.switches
        assert compare(recording, trial.roots[0], again).word == "REPRODUCED"


@pytest.mark.parametrize("fault", ["read#2=short(1)", "**:write#*=short(1)", "**:close#3=EINTR"])
def test_a_seed_with_a_fault_gives_one_digest(runner: Runner, fault: str, trials: int) -> None:
    assert_all_equal(repeat(runner, pipeline(seed=SEED, faults=[fault]), trials))


def test_the_command_line_gives_the_digest_that_the_engine_gives(runner: Runner) -> None:
    script = "seq 30 | sort -r | tail -n 3"
    command = ("sh", "-c", script)
    env = {"PYTHONHASHSEED": "0", "PATH": "/usr/bin:/bin"}
    result = runner.run(plan(*command, seed=SEED, cwd="/", home="/", env=env))
    done = harness("run", "--seed", str(SEED), "--env", "PATH=/usr/bin:/bin", "--", *command)
    assert done.stderr.rstrip().endswith(f"digest {result.trace.digest[:12]}")


def test_free_mode_never_claims_a_digest(tmp_path: os.PathLike[str]) -> None:
    file = os.path.join(tmp_path, "r.json")
    done = harness("run", "--mode", "free", "--record", file, "--", "sh", "-c", "seq 9 | wc -l")
    assert done.returncode == 0
    assert "digest" not in done.stderr
    assert "digest" not in harness("show", file).stdout
    replayed = harness("replay", "--times", "3", file)
    assert replayed.returncode == 0
    assert "diverges" not in replayed.stdout


def test_a_free_recording_has_no_exact_replay(tmp_path: os.PathLike[str]) -> None:
    file = os.path.join(tmp_path, "r.json")
    harness("run", "--mode", "free", "--record", file, "--", "true")
    done = harness("replay", "--exact", file)
    assert done.returncode == 2
    assert "free" in done.stderr


def test_threads_that_share_no_memory_between_calls_give_one_digest(runner: Runner) -> None:
    """Each thread waits for its byte; who is woken, runs alone."""
    code = """
import os, threading
pipes = [os.pipe() for _ in range(4)]
def pass_on(n):
    os.write(pipes[n + 1][1], os.read(pipes[n][0], 1))
threads = [threading.Thread(target=pass_on, args=(n,)) for n in range(3)]
for thread in threads: thread.start()
os.write(pipes[0][1], b"x")
assert os.read(pipes[3][0], 1) == b"x"
for thread in threads: thread.join()
"""
    assert_all_equal(repeat(runner, plan(*python(code)), 10))
