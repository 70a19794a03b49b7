"""Several callers at once, and who goes next, at every call, is drawn from a seed."""

from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from harness._pytest.fixtures import Trial
from harness.histories import exactly_one_reply, own_reply
from scenarios.forking_service.properties import few, seeds
from scenarios.prefork_interpreter.service import COLD, NARROW, SERVICE
from scenarios.prefork_interpreter.workloads import (
    CALLS,
    ONE_SERVER,
    is_heard,
    leaves,
    tells_its_status,
)

TOGETHER = {name: work for name, work in CALLS.items() if name != "fresh"}
TOGETHER |= {"heard": is_heard, "leaves": leaves}


@few
@given(names=st.lists(st.sampled_from([*TOGETHER]), min_size=3, max_size=3), seed=seeds)
def test_each_is_served_as_if_it_were_alone(trial: Trial, names: list[str], seed: int) -> None:
    trial(SERVICE, *(TOGETHER[name] for name in names), seed=seed)


@few
@given(seed=seeds)
def test_they_wait_for_each_other_where_only_one_is_served(trial: Trial, seed: int) -> None:
    trial(NARROW, *(TOGETHER[name] for name in ("exit", "copy", "hello")), seed=seed)


@few
@given(seed=seeds)
def test_first_callers_start_one_server(trial: Trial, seed: int) -> None:
    trial(COLD, ONE_SERVER, ONE_SERVER, seed=seed)


@few
@given(seed=seeds)
def test_one_that_asks_for_a_fresh_server_is_nobody_elses_trouble(trial: Trial, seed: int) -> None:
    trial(SERVICE, CALLS["fresh"], CALLS["hello"], seed=seed)


@few
@given(seed=seeds)
def test_each_call_has_one_status_and_it_is_its_own(trial: Trial, seed: int) -> None:
    callers = [partial(tells_its_status, code=code) for code in (1, 2, 3)]
    trial(SERVICE, *callers, seed=seed, oracles=[exactly_one_reply, own_reply])
