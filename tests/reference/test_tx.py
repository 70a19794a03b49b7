"""Twisted's protocols are told the same of a forked process as of a spawned one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.reference.support import PATIENCE_S, Service, environment

pytest.importorskip("twisted", reason="needs Twisted: pip install -e '.[twisted]'")

PROGRAM = Path(__file__).with_name("programs") / "twisted_both.py"
CASES = [
    *("rocks", "exit", "crash", "replay", "much", "lost", "by name", "by number", "paused"),
    "unknown",
]


@pytest.fixture(scope="module")
def told(shared: Service) -> dict[str, list[Any]]:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), shared.path],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert (done.returncode, done.stderr) == (0, "")
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
