"""What a request to the forking service costs, beside what one would use instead.

Everybody has imported the same modules: the service and multiprocessing's forkserver before they
are asked, an ordinary process each time, and who forks by hand is this process, which has them.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection

from reference.forking_service.client import ForkingServiceClient

from . import Figure

MODULES = ("asyncio", "ssl", "json", "logging", "http.client", "sqlite3", "email", "xml.etree")
SAYS = b"It sure does!\n"
_WARM_UP = 3
_STUCK = 10
#: Laps that are asked for, to one request of each kind and round.
_LAPS = 20

#: One request: seconds until the first byte, and until the status.
Request = Callable[[], tuple[float, float]]


def measure(*, rounds: int, laps: int) -> list[Figure]:
    """Milliseconds a request. RuntimeError when something is not answered as it should be."""
    for name in MODULES:
        importlib.import_module(name)
    count = max(1, laps // _LAPS)
    forkserver = multiprocessing.get_context("forkserver")
    forkserver.set_forkserver_preload(["__main__", __name__, *MODULES])
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as place, _service(place) as path:
        ours = partial(_forked_by_the_service, ForkingServiceClient(path))
        peers: dict[str, tuple[Request, float]] = {
            "an ordinary process": (_ordinary, 1 / 15),
            "a forkserver's": (partial(_by_the_forkserver, forkserver), 1.0),
            "a bare fork": (_forked_by_hand, 2.0),
        }
        figures = []
        for name, (theirs, goal) in peers.items():
            figures += _compare(name, ours, theirs, rounds, count, goal)
        jobs = len(os.sched_getaffinity(0))
        return [
            *figures,
            _at_once(jobs, ours, rounds, count),
            _beside_stuck_ones(path, ours, rounds, count),
        ]


@contextmanager
def _service(place: str) -> Iterator[str]:
    path = os.path.join(place, "s")
    words = ["--path", path, "--directory", place, "--preload", ",".join(MODULES)]
    process = subprocess.Popen(
        [sys.executable, "-m", "reference.forking_service", *words], stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    with process:
        while not (line := process.stderr.readline()).startswith(b"Listening on socket: "):
            if not line:
                raise RuntimeError("the service does not start")
        # It logs each request; nobody is to wait for a reader of that.
        process.stderr.close()
        yield path
        process.send_signal(signal.SIGTERM)


def _compare(
    name: str, ours: Request, theirs: Request, rounds: int, count: int, goal: float
) -> list[Figure]:
    for _ in range(_WARM_UP):
        ours(), theirs()
    pairs = [(_medians(ours, count), _medians(theirs, count)) for _ in range(rounds)]
    return [
        Figure(
            what=f"request to {what}",
            unit="ms",
            ours=statistics.median(one[place] for one, _ in pairs) * 1e3,
            against=name,
            peer=statistics.median(other[place] for _, other in pairs) * 1e3,
            ratio=statistics.median(one[place] / other[place] for one, other in pairs),
            goal=round(goal, 3),
        )
        for place, what in enumerate(("first byte", "status"))
    ]


def _medians(request: Request, count: int) -> tuple[float, float]:
    first, status = zip(*(request() for _ in range(count)), strict=True)
    return statistics.median(first), statistics.median(status)


def _at_once(jobs: int, ours: Request, rounds: int, count: int) -> Figure:
    """So many clients, each a process, one request after the other."""
    each = count * 10
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        clients = [_client(ours, each) for _ in range(jobs)]
        if any(os.waitpid(client, 0)[1] for client in clients):
            raise RuntimeError("a client failed")
        taken.append((time.perf_counter() - began) / (jobs * each))
    return Figure(
        what=f"a request, {jobs} clients at once", unit="ms", ours=statistics.median(taken) * 1e3
    )


def _beside_stuck_ones(path: str, ours: Request, rounds: int, count: int) -> Figure:
    """The slowest of a hundred requests, with clients beside it that ask for a child and do not
    come, and without them."""
    pairs = []
    for _ in range(rounds):
        alone = _slowest(ours, count)
        stuck = [socket.socket(socket.AF_UNIX) for _ in range(_STUCK)]
        for one in stuck:
            one.connect(path)
            one.sendall(b"fork rocks\n")
            if not one.recv(100).startswith(b"ok\n"):
                raise RuntimeError("there is no child to be stuck")
        pairs.append((_slowest(ours, count), alone))
        for one in stuck:
            one.close()
        # They are given up a second later, in the midst of the next round otherwise.
        time.sleep(2)
    return Figure(
        what=f"99th percentile to status, {_STUCK} stuck",
        unit="ms",
        ours=statistics.median(one for one, _ in pairs) * 1e3,
        against="without those",
        peer=statistics.median(other for _, other in pairs) * 1e3,
        ratio=statistics.median(one / other for one, other in pairs),
        goal=3.0,
    )


def _slowest(request: Request, count: int) -> float:
    taken = sorted(request()[1] for _ in range(count * 10))
    return taken[len(taken) * 99 // 100]


def _client(ours: Request, count: int) -> int:
    if pid := os.fork():
        return pid
    status = 1
    try:
        for _ in range(count):
            ours()
        status = 0
    finally:
        os._exit(status)


# ---- One request of each kind --------------------------------------------------------------------


def _check(said: bytes, status: int | None) -> None:
    if (said, status) != (SAYS, 0):
        raise RuntimeError(f"it says {said!r} and ends with {status}")


def _forked_by_the_service(client: ForkingServiceClient) -> tuple[float, float]:
    began = time.perf_counter()
    child = client.fork(["rocks"])
    said = child.stdout.read(1)
    first = time.perf_counter() - began
    status = child.wait()
    ended = time.perf_counter() - began
    _check(said + child.communicate()[0], status)
    return first, ended


def _ordinary() -> tuple[float, float]:
    program = f"import {', '.join(MODULES)}; print({SAYS.decode().strip()!r})"
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process:
        said = process.stdout.read(1)
        first = time.perf_counter() - began
        status = process.wait()
        ended = time.perf_counter() - began
        _check(said + process.stdout.read(), status)
    return first, ended


def _by_the_forkserver(
    context: multiprocessing.context.ForkServerContext,
) -> tuple[float, float]:
    reading, writing = context.Pipe(duplex=False)
    began = time.perf_counter()
    process = context.Process(target=_say, args=(writing,))
    process.start()
    writing.close()
    said = reading.recv_bytes()
    first = time.perf_counter() - began
    process.join()
    ended = time.perf_counter() - began
    reading.close()
    _check(said, process.exitcode)
    process.close()
    return first, ended


def _say(writing: Connection) -> None:
    writing.send_bytes(SAYS)


def _forked_by_hand() -> tuple[float, float]:
    began = time.perf_counter()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writing, SAYS)
        os._exit(0)
    os.close(writing)
    said = os.read(reading, len(SAYS))
    first = time.perf_counter() - began
    status = os.waitpid(pid, 0)[1]
    ended = time.perf_counter() - began
    os.close(reading)
    _check(said, status)
    return first, ended
