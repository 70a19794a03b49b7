"""Twisted's protocols are told the same of a forked process as of a spawned one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.reference.support import PATIENCE_S, Service, environment
from tests.reference.test_client import Liar

pytest.importorskip("twisted", reason="needs Twisted: pip install -e '.[twisted]'")

PROGRAM = Path(__file__).with_name("programs") / "twisted_both.py"
CASES = [
    *("rocks", "exit", "crash", "replay", "much", "lost", "by name", "by number", "paused"),
    *("deaf", "produced", "host", "unknown"),
]

#: What a service says that gives no child, how long it is waited for, and what comes of it.
LIES = {
    "no room": ([b"FAILURE\nno room\n"], 30.0, "^no room$"),
    "leaves": ([], 30.0, "^the service closed the connection without a reply$"),
    "says nothing": ([], 0.05, r"^no child after 0\.05 s$"),
    "no pid": ([b"ok\n0\n/tmp\n"], 30.0, "^cannot watch the child 0: "),
    "never comes": (
        [b"ok\n%d\n/no/such\nexited\n9\n" % os.getpid()],
        30.0,
        r"^cannot talk to child \d+: ",
    ),
}


@pytest.fixture(scope="module")
def told(shared: Service) -> dict[str, list[Any]]:
    liars = {
        name: Liar(f"{shared.place}/{number}", pieces, stays=name == "says nothing")
        for number, (name, (pieces, _, _)) in enumerate(LIES.items())
    }
    lies = {name: (liar.path, LIES[name][1]) for name, liar in liars.items()}
    done = subprocess.run(
        [sys.executable, str(PROGRAM), shared.path, json.dumps(lies)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert (done.returncode, done.stderr) == (0, "")
    for liar in liars.values():
        liar.end()
        os.unlink(liar.path)
    found: dict[str, list[Any]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("case", CASES)
def test_a_protocol_cannot_tell_which_it_has(told: dict[str, list[Any]], case: str) -> None:
    spawned, forked = told[case]
    assert forked == spawned


def test_each_is_told_all_there_is(told: dict[str, list[Any]]) -> None:
    first, middle, last, out, err = told["replay"][1]
    lost = [f"childConnectionLost {number}" for number in range(3)]
    assert first == "connectionMade"
    assert middle == ["ProcessExitedAlready", *lost, "processExited ProcessDone 0 None 0"]
    assert last == "processEnded ProcessDone 0 None 0"
    assert (out, err) == ("one\nthree\n", "two\n")
    assert told["crash"][1][2] == "processEnded ProcessTerminated None 9 9"


def test_where_there_is_no_service_the_deferred_says_so(told: dict[str, list[Any]]) -> None:
    assert told["nobody"][0] == "ServiceNotThere"
    assert told["nobody"][1].startswith("no forking service at /no/such: ")


@pytest.mark.parametrize("lie", LIES)
def test_what_is_no_child_fails_the_deferred_and_the_protocol_hears_nothing(
    told: dict[str, list[Any]], lie: str
) -> None:
    kind, why, did = told[lie]
    assert kind == "ForkingServiceError"
    assert re.search(LIES[lie][2], why), why
    assert did == []
