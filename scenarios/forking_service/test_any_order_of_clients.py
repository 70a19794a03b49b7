"""Four clients at once, and who goes next, at every call, is drawn from a seed."""

from hypothesis import given
from hypothesis import strategies as st

from harness._pytest.fixtures import Trial
from scenarios.forking_service.properties import few, seeds
from scenarios.forking_service.service import SERVICE
from scenarios.forking_service.workloads import TOGETHER


@few
@given(names=st.lists(st.sampled_from([*TOGETHER]), min_size=4, max_size=4), seed=seeds)
def test_each_is_served_as_if_it_were_alone(trial: Trial, names: list[str], seed: int) -> None:
    trial(SERVICE, *(TOGETHER[name] for name in names), seed=seed)
