"""Debian's launcher and ours, executed, with a script that is executed: the same holds."""

from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import Effort
from harness._pytest.fixtures import Sweep, Trial
from scenarios.forking_service.properties import few, seeds
from scenarios.prefork_interpreter.whole import (
    LAUNCHERS,
    everything,
    service,
    waits_until_idle,
)

under_each = pytest.mark.parametrize("launcher", LAUNCHERS)
_NAMES = st.lists(st.sampled_from(["hello", "exit", "killed", "copy"]), min_size=2, max_size=2)


@under_each
@settings(few, max_examples=max(2, few.max_examples // 5))
@given(names=_NAMES, seed=seeds)
def test_each_is_served_in_any_order(
    trial: Trial, launcher: str, names: list[str], seed: int
) -> None:
    works = everything(launcher)
    trial(service(launcher), *(works[name] for name in names), seed=seed)


@under_each
@pytest.mark.parametrize("faults", ["errno", "crash,crash-after"])
def test_the_server_fails_or_is_killed(
    sweep: Sweep, launcher: str, faults: str, effort: Effort
) -> None:
    calls = "*" if effort == "full" else "pidfd_open"
    hello = everything(launcher)["hello"]
    sweep(service(launcher), hello, faults=faults, phases=["work"], calls=calls)


@under_each
def test_a_caller_is_killed(sweep: Sweep, launcher: str, effort: Effort) -> None:
    calls = "*" if effort == "full" else "sendmsg"
    work = everything(launcher)
    sweep(
        service(launcher),
        faults="crash,crash-after",
        roles="client/it/*",
        calls=calls,
        beside=work["hello"],
        it=work["copy"],
    )


@pytest.mark.parametrize("launcher", ["C", pytest.param("ours", marks=pytest.mark.full)])
def test_an_idle_server_leaves_nothing(trial: Trial, launcher: str) -> None:
    waits = partial(waits_until_idle, launcher=launcher)
    trial(service(launcher, idle_timeout=3000.0), waits, recovers=False)
