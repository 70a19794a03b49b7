"""Clients that are slow, that go away, or that talk nonsense, beside two that do not: these are
served as ever, in any order of events."""

from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from harness._pytest.fixtures import Trial
from harness.subject import ClientLike
from scenarios.forking_service.properties import few, pieces_of, seeds
from scenarios.forking_service.service import SERVICE
from scenarios.forking_service.workloads import (
    TOGETHER,
    asks,
    babbles,
    leaves,
    leaves_its_child,
    says_hello,
)

REQUEST = "fork-env whoami\nBZR_EMAIL: a@weekend\nend\n"

#: In the order that is drawn, others go on between two pieces.
slow = pieces_of("hello\n").map(lambda pieces: partial(asks, pieces=pieces))
vanishing = st.one_of(
    st.integers(0, len(REQUEST) - 1).map(lambda n: partial(leaves, pieces=[*REQUEST[:n]][:1])),
    st.integers(0, len(REQUEST) - 1).map(lambda n: partial(leaves, pieces=[REQUEST[:n]])),
    st.just(leaves_its_child),
)
lying = st.lists(
    st.text(st.characters(max_codepoint=255), min_size=1, max_size=20), min_size=1, max_size=4
).map(lambda pieces: partial(babbles, pieces=pieces))


@few
@given(bad=st.lists(st.one_of(slow, vanishing, lying), min_size=1, max_size=3), seed=seeds)
def test_the_good_ones_are_served(trial: Trial, bad: list[ClientLike], seed: int) -> None:
    good = {"hello": says_hello, "rocks": TOGETHER["rocks"]}
    trial(SERVICE, *bad, seed=seed, **good)


def test_one_that_says_nothing_is_told_that_its_time_is_up(trial: Trial) -> None:
    silent = partial(asks, pieces=["hel"], reply="FAILURE\nrequest timed out\n")
    trial(SERVICE, TOGETHER["rocks"], hello=says_hello, silent=silent)
