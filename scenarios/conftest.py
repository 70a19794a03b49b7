"""What all scenarios share: one bench a process, and a line at the end that says what was done."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from harness._engine.runner import Runner
from harness._engine.store import DIRECTORY
from harness.errors import MachineError
from harness.schedule import Schedule
from scenarios.bench import Bench, Tally
from scenarios.subjects import Subject

_TALLY = pytest.StashKey[Tally]()
_BEGAN = pytest.StashKey[float]()
_KEY = "scenarios"  # of xdist's workeroutput, which is shared with others


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_TALLY] = Tally()
    config.stash[_BEGAN] = time.monotonic()


@pytest.fixture(scope="session")
def runner() -> Iterator[Runner]:
    """One runner for all trials of this process. Skips where the machine cannot hold a trial."""
    with Runner() as runner:
        try:
            runner.run(Subject(name="true", command=("true",), needs={}).plan(Schedule()))
        except MachineError as error:
            pytest.skip(str(error))
        yield runner


@pytest.fixture(scope="session")
def bench(request: pytest.FixtureRequest, runner: Runner, effort: str) -> Bench:
    """Tries subjects; recordings of failures go to .harness/ of the project.

    These programs are others' and change rarely: at each third call in the size for CI.
    """
    folder = request.config.rootpath / DIRECTORY
    step = 1 if effort == "full" else 3
    return Bench(runner, folder, request.config.stash[_TALLY], _own_cpu(), step)


def _own_cpu() -> int:
    """The processor for the trials of this process: each worker has its own, while they last."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[int(worker) % len(allowed)]


def pytest_sessionfinish(session: pytest.Session) -> None:
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[_KEY] = session.config.stash[_TALLY].to_json()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object, error: object) -> None:
    output = getattr(node, "workeroutput", {})  # a worker that crashed has none
    if _KEY in output:
        config: pytest.Config = node.config  # type: ignore[attr-defined]
        config.stash[_TALLY].add(output[_KEY])


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    tally = config.stash[_TALLY]
    if tally.trials:
        seconds = time.monotonic() - config.stash[_BEGAN]
        terminalreporter.write_sep("=", "scenarios")
        terminalreporter.write_line(tally.describe(seconds))
