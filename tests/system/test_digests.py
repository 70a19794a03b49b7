"""One schedule, one trace: 1,000 runs of each subject in the full size, beside busy loops on all
processors, from two directories, as two users, and each at another time of day than the one before.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

import pytest

from conftest import Effort
from harness import Subject, listening
from harness._engine.runner import Runner
from harness.schedule import Schedule
from harness.subject import TrialPlan
from scenarios.forking_service.service import SERVICE
from scenarios.forking_service.workloads import runs, says_hello
from tests.system.programs.many import SOCKET, drips, echoes, says
from tests.system.subjects import pipeline, prefork_interpreter
from tests.system.support import PATIENCE_S, PROJECT, plan, python

Make = Callable[[], TrialPlan]
SEED = 11
NOBODY = 65534


def forking_service() -> TrialPlan:
    """Eight clients: two that send a byte a tenth of a second, three that run a command, three
    that say hello."""
    quick = [partial(runs, stdout="It sure does!\n", is_alone=False), says_hello]
    return SERVICE.plan(
        *(drips, drips, *quick * 3), schedule=Schedule(seed=SEED), policy="random", recovers=False
    )


def asyncio_echo() -> TrialPlan:
    """An asyncio server with twenty clients."""
    service = Subject.process(partial(echoes, path="{dir}/socket"), ready=listening(SOCKET))
    return service.plan(*[says] * 20, schedule=Schedule(seed=SEED), policy="random", recovers=False)


_THREADS = """
import concurrent.futures, os, threading
turn, whose = threading.Condition(), [0]
def takes_its_turn(n):
    with turn:
        turn.wait_for(lambda: whose[0] == n, timeout=60)
        os.write(1, b"%d" % n)
        whose[0] += 1
        turn.notify_all()
with concurrent.futures.ThreadPoolExecutor(6) as pool:
    for n in pool.map(takes_its_turn, range(6)): pass
"""


def thread_pool() -> TrialPlan:
    """Six threads that wait for each other by a condition variable."""
    return plan(*python(_THREADS), seed=SEED)


def thread_subject() -> TrialPlan:
    """A service with a thread for each connection, and its three clients, in one process."""
    service = Subject.thread(
        "tests.system.programs.threaded:serve", kwargs={"path": SOCKET}, ready=listening(SOCKET)
    )
    return service.plan(*[says] * 3, schedule=Schedule(seed=SEED), policy="random", recovers=False)


SUBJECTS: dict[str, Make] = {
    "thread subject": thread_subject,
    "thread pool": thread_pool,
    "forking service": forking_service,
    "prefork-interp": partial(prefork_interpreter, seed=SEED),
    "asyncio echo": asyncio_echo,
    "pipeline": partial(pipeline, seed=SEED),
}


@contextmanager
def busy_loops() -> Iterator[None]:
    """A loop on each processor that never lets it go."""
    loops = [
        subprocess.Popen(["timeout", "600", "sh", "-c", "while :; do :; done"])
        for _ in os.sched_getaffinity(0)
    ]
    try:
        yield
    finally:
        for loop in loops:
            loop.terminate()
        for loop in loops:
            loop.wait(10)


@pytest.mark.parametrize("name", SUBJECTS)
def test_every_run_has_one_digest(
    name: str, runner: Runner, effort: Effort, record_property: Callable[[str, object], None]
) -> None:
    trials = 1000 if effort == "full" else 4
    trial = SUBJECTS[name]()
    found = Counter(runner.run(trial).trace.digest for _ in range(trials // 2))
    with busy_loops() if effort == "full" else nullcontext():
        found.update(runner.run(trial).trace.digest for _ in range(trials // 2))
    record_property("trials", trials)
    record_property("most common", found.most_common(1)[0][1])
    assert [*found.values()] == [trials], found
    assert len(runner.run(trial).trace.events) > 100


#: What a program may draw, and what it makes of it.
_DRAWS = """
import os, tempfile, time, uuid
print(time.time(), uuid.uuid4(), os.getpid(), hash("x"), id(object()), tempfile.mkdtemp())
if os.fork(): os.wait()
"""


#: An interpreter that every user may run, as not those in a home.
_EVERYBODYS = "/usr/bin/python3"
_HARNESS = (_EVERYBODYS, "-m", "harness")


def _said_from(folder: Path, as_user: Sequence[str] = ()) -> str:
    """What a program prints in a trial that is started in *folder*, and the digest."""
    done = subprocess.run(
        [
            *(*as_user, *_HARNESS, "run", "--seed", "3", "--env", "HOME=/trial"),
            *("--env", "PATH=/usr/bin:/bin", "--", _EVERYBODYS, "-I", "-S", "-c", _DRAWS),
        ],
        cwd=folder,
        env={"HOME": str(folder), "PYTHONPATH": str(PROJECT), "PATH": "/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "digest" in done.stderr
    return done.stdout + done.stderr


def test_from_another_directory_it_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    assert _said_from(tmp_path) == _said_from(tmp_path / "other")


def test_for_another_user_it_is_the_same(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user; fix: run as root")
    as_user = (
        *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
        *("--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"),
    )
    seen = subprocess.run(
        [*as_user, *_HARNESS, "--version"],
        cwd="/",
        env={"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        check=False,
    )
    if seen.returncode != 0:
        pytest.skip(f"another user cannot read {PROJECT}; fix: a checkout that all may read")
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, NOBODY, NOBODY)
        assert _said_from(tmp_path) == _said_from(Path(folder), as_user)
