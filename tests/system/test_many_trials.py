"""One runner runs trial after trial, so a trial may leave nothing in it either."""

import os

import pytest

from harness._engine.runner import Runner
from tests.system.support import plan, shell

DAEMON = "(setsid sleep 600 & ) </dev/null >/dev/null 2>&1"


@pytest.mark.parametrize("mode", ["controlled", "free"])
@pytest.mark.parametrize("script", ["true | true", f"{DAEMON}; true"], ids=["pipeline", "daemon"])
def test_a_trial_leaves_no_descriptor_in_its_runner(script: str, mode: str, runner: Runner) -> None:
    given = plan(*shell(script), mode=mode)
    runner.run(given)
    before = descriptors(runner)
    for _ in range(3):
        runner.run(given)
    assert descriptors(runner) == before


def descriptors(runner: Runner) -> list[str]:
    return sorted(os.listdir(f"/proc/{runner.pid}/fd"), key=int)
