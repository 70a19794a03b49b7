"""What stands in the way of a server is said in one line, with status 127, and nothing is left."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.reference.prefork import PROGRAMS, Direct, run
from tests.reference.support import environment

SCRIPT = str(PROGRAMS / "runs_something.py")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"", "it has fewer than two words"),
        (b"v2,1.000000000 3,4,5,6", "it is not of version v1: 'v2'"),
        (b"v1,1.000000000 93,94,95,96", "its descriptor 93: Bad file descriptor"),
        (b"v1,1.000000000 0,1,2,3", "its listening descriptor 0 is not a socket"),
    ],
)
def test_a_malformed_variable(value: bytes, why: str) -> None:
    env = environment() | {"PREFORK_INTERP": os.fsdecode(value)}
    done = run([sys.executable, str(PROGRAMS / "tells.py")], env=env)
    assert done.returncode == 127
    line = f"{PROGRAMS / 'tells.py'}: prefork: PREFORK_INTERP cannot be used: {why}\n"
    assert done.stderr.decode() == line


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("thread", "1 threads run, which a fork would not have: waiter"),
        ("loop", "an event loop runs, which every executor would share: call it before"),
    ],
)
def test_what_a_fork_would_not_take_with_it(what: str, why: str) -> None:
    with Direct("runs_something.py", what, shows_errors=False) as server:
        assert server.setup.returncode == 127
        assert server.setup.stderr.decode() == f"{SCRIPT}: prefork: {why}\n"
        assert os.listdir(server.path) == []


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"max_servers": 0}, "max_servers is 1 or more"),
        ({"idle_timeout": float("nan")}, "idle_timeout is at most 1e9 seconds, not nan"),
        ({"call_timeout": 0}, "call_timeout is more than 0 seconds, not 0"),
        ({"max_errors": -1}, "max_errors is 0 or more, not -1"),
        ({"log_facility": "nowhere"}, "log_facility is one of auth,"),
        ({"autoreload_extra": "/etc/passwd"}, "autoreload_extra is a list of paths"),
    ],
)
def test_options_that_cannot_be_are_said_in_a_plain_run_too(
    options: dict[str, object], why: str
) -> None:
    given = repr(options).replace("nan", "float('nan')")
    done = subprocess.run(
        [sys.executable, SCRIPT, "options", given],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert why in done.stderr
