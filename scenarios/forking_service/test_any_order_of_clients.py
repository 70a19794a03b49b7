"""Four clients at once, and who goes next, at every call, is drawn from a seed."""

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness._pytest.fixtures import Trial
from harness.histories import exactly_one_reply, own_reply
from scenarios.forking_service.properties import few, seeds
from scenarios.forking_service.service import SERVICE
from scenarios.forking_service.workloads import TOGETHER, comes_again, tells_its_status


@few
@given(names=st.lists(st.sampled_from([*TOGETHER]), min_size=4, max_size=4), seed=seeds)
def test_each_is_served_as_if_it_were_alone(trial: Trial, names: list[str], seed: int) -> None:
    trial(SERVICE, *(TOGETHER[name] for name in names), seed=seed)


#: Descriptors that the service has open without a child, and more for each.
_OWN, _EACH = 7, 4


def at_most(children: int) -> list[str]:
    """What holds of the service at every moment while it has no more than so many *children*."""
    descriptors = _OWN + children * _EACH
    return [f"descriptors(service) <= {descriptors}", f"zombies(service) <= {children}"]


@few
@given(seed=seeds)
def test_each_has_one_status_and_it_is_its_own_childs(trial: Trial, seed: int) -> None:
    clients = [partial(tells_its_status, code=code) for code in (1, 2, 3)]
    oracles = [exactly_one_reply, own_reply]
    trial(SERVICE, *clients, seed=seed, oracles=oracles, invariants=at_most(3))


@pytest.mark.full
@few
@given(seed=seeds)
def test_what_it_has_for_a_child_is_gone_with_it(trial: Trial, seed: int) -> None:
    clients = [partial(comes_again, times=3)] * 2
    trial(SERVICE, *clients, seed=seed, invariants=at_most(2))
