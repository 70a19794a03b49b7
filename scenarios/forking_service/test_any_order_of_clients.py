"""Four clients at once, and who goes next, at every call, is drawn from a seed."""

from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from harness._pytest.fixtures import Trial
from harness.histories import exactly_one_reply, own_reply
from scenarios.forking_service.properties import few, seeds
from scenarios.forking_service.service import SERVICE
from scenarios.forking_service.workloads import TOGETHER, tells_its_status


@few
@given(names=st.lists(st.sampled_from([*TOGETHER]), min_size=4, max_size=4), seed=seeds)
def test_each_is_served_as_if_it_were_alone(trial: Trial, names: list[str], seed: int) -> None:
    trial(SERVICE, *(TOGETHER[name] for name in names), seed=seed)


@few
@given(seed=seeds)
def test_each_has_one_status_and_it_is_its_own_childs(trial: Trial, seed: int) -> None:
    clients = [partial(tells_its_status, code=code) for code in (1, 2, 3)]
    trial(SERVICE, *clients, seed=seed, oracles=[exactly_one_reply, own_reply])
