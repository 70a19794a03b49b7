"""A sweep interrupts a call only where the program has a handler that would."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.system.support import harness, python

_WAITS = """\
import os, signal
signal.signal(signal.SIGINT, %s)
signal.siginterrupt(signal.SIGINT, %s)
if os.fork() == 0:
    os._exit(0)
os.wait()
"""


@pytest.mark.parametrize(
    ("handler", "interrupts", "kind", "trials"),
    [
        ("signal.default_int_handler", True, "errno", 1),
        ("signal.default_int_handler", False, "errno", 0),
        ("signal.SIG_DFL", True, "errno", 0),
        ("signal.SIG_DFL", True, "interrupted", 1),
    ],
)
def test_a_wait_is_interrupted_where_a_handler_does_not_restart_it(
    handler: str, interrupts: bool, kind: str, trials: int, tmp_path: Path
) -> None:
    command = python(_WAITS % (handler, interrupts))
    done = harness(
        "sweep", "-q", "--calls", "wait4", "--faults", f"{kind},crash-after", "--format", "json",
        "--", *command, cwd=tmp_path,
    )  # fmt: skip
    told = json.loads(done.stdout)
    assert {one["kind"]: one["trials"] for one in told["kinds"]}[kind] == trials, done
