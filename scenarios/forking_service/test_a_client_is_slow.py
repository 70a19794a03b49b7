"""A client reads a byte at a time, each two seconds after the one before: nobody waits for it, and
what it asked for it gets in the end."""

import pytest

from harness._pytest.fixtures import Sweep, Trial
from scenarios.forking_service.service import SERVICE
from scenarios.forking_service.workloads import CHILDREN, EVERYTHING, TOGETHER, says_hello

SLOW = "short(1)+delay(2s)"


@pytest.mark.parametrize("work", ["hello", "rocks", "exit", "talk", "unmet"])
def test_it_is_served_as_ever_beside_a_quick_one(trial: Trial, work: str) -> None:
    tried = trial(
        SERVICE,
        beside=says_hello,
        it=TOGETHER[work],
        faults=f"client/it:recvfrom#*={SLOW}",
    )
    assert [operation.result for operation in tried.history] == ["ok"] * 3


def test_the_quick_one_is_served_first(trial: Trial) -> None:
    """Both ask at once; the slow one has read its answer when the quick one is long gone."""
    tried = trial(
        SERVICE,
        slow=says_hello,
        quick=says_hello,
        faults=f"client/slow:recvfrom#*={SLOW}",
    )
    told = [event.role for event in tried.trace.events if event.call == "ok"]
    assert told == ["client/quick", "client/slow", "client/fresh"]


def test_a_slow_child_is_no_trouble_to_others(trial: Trial) -> None:
    trial(
        SERVICE,
        beside=says_hello,
        it=CHILDREN["replay"],
        faults=f"service/**:io#*={SLOW}",
    )


@pytest.mark.parametrize("kind", ["delay", "pause(10s)", "eof", "reset"])
def test_whenever_it_is_late_or_cut_off_others_are_served(sweep: Sweep, kind: str) -> None:
    sweep(SERVICE, faults=kind, roles="client/it**", beside=says_hello, it=EVERYTHING["hello"])
