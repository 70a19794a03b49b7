"""How many trials a second, with all cores at work: against an ordinary test of the same thing.

The ordinary test starts the service as a process of its own, waits for it to say that it is ready,
asks once, and tells it to end; it has no faults, no order, no clean world, and no verdict but the
reply. Ours has all of them, and asks a second client after the first.
"""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from harness import Subject, listening
from harness._engine.pool import Pool
from harness._engine.trial import TrialResult
from harness.errors import HarnessError, RunnerError
from harness.oracle import judge
from harness.subject import TrialPlan

from . import Figure, echo
from .kernel_plane import PROGRAMS

#: trials a second that are asked for on two cores
GOALS = {"process": 120, "command": 40}
_WARM_UP = 8
_A_ROUND = 2  # trials for each lap that is asked for


def measure(*, rounds: int, laps: int) -> list[Figure]:
    """Milliseconds a trial, jobs side by side. Raises `HarnessError` when no trial can be run."""
    jobs = len(os.sched_getaffinity(0))
    count = max(_WARM_UP, laps * _A_ROUND)
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as directory, Pool(jobs) as pool:
        service = Subject.process(
            echo.serve, ready=listening("{dir}/s"), kwargs={"path": "{dir}/s"}
        ).plan(partial(echo.ask, path="{dir}/s"))
        figures = [
            _compare(
                f"a process trial with a client, {jobs} at once",
                partial(_trials, pool, service),
                partial(_each, jobs, partial(_ordinary_test, directory)),
                rounds,
                count,
                GOALS["process"],
            )
        ]
        program = Path(directory, "nothing")
        compiler = shutil.which("cc") or shutil.which("gcc")
        what = f"a command trial of a small C program, {jobs} at once"
        if compiler is None:
            missing = "no C compiler: apt install gcc libc6-dev"
            return [*figures, Figure(what=what, unit="ms", missing=missing)]
        source = str(PROGRAMS / "nothing.c")
        subprocess.run([compiler, "-O2", "-static", "-o", str(program), source], check=True)
        command = Subject.command([str(program)], bind=[directory]).plan()
        plain = partial(subprocess.run, [str(program)], check=True)
        figures.append(
            _compare(
                what,
                partial(_trials, pool, command),
                partial(_each, jobs, lambda _: plain()),
                rounds,
                count,
                GOALS["command"],
            )
        )
        return figures


def _compare(
    what: str,
    ours: Callable[[int], object],
    theirs: Callable[[int], object],
    rounds: int,
    count: int,
    goal: int,
) -> Figure:
    ours(_WARM_UP)
    pairs = [(_ms(ours, count), _ms(theirs, count)) for _ in range(rounds)]
    return Figure(
        what=what,
        unit="ms",
        ours=statistics.median(one for one, _ in pairs),
        against="ordinary",
        peer=statistics.median(other for _, other in pairs),
        ratio=statistics.median(one / other for one, other in pairs),
        goal=round(1000 / goal, 2),
        of="ours",
    )


def _ms(act: Callable[[int], object], count: int) -> float:
    began = time.perf_counter()
    act(count)
    return (time.perf_counter() - began) / count * 1e3


def _trials(pool: Pool, plan: TrialPlan, count: int) -> None:
    golden = None
    for _, answer in pool.run((number, plan) for number in range(count)):
        if isinstance(answer, HarnessError):
            raise answer
        assert isinstance(answer, TrialResult)
        verdict = judge(plan.roots[0], answer.outcome, golden, answer.schedule)
        if verdict.status != "PASS":
            raise RunnerError(f"a trial did not pass: {verdict.describe()}")
        golden = golden or answer.outcome


def _each(jobs: int, act: Callable[[int], object], count: int) -> None:
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(act, range(count)))


_numbers = itertools.count()


def _ordinary_test(directory: str, _: int) -> None:
    path = f"{directory}/{next(_numbers)}"
    service = subprocess.Popen([sys.executable, echo.__file__, path], stdout=subprocess.PIPE)
    assert service.stdout is not None
    with service, service.stdout:
        service.stdout.readline()
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(path)
            connection.sendall(b"hello")
            if connection.recv(100) != b"hello":
                raise RunnerError("the echo is not one")
        service.terminate()
