"""Callers that talk nonsense, or say nothing more, beside one that does not: it is served as ever,
in any order of events."""

from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from harness._pytest.fixtures import Trial
from scenarios.forking_service.properties import few, seeds
from scenarios.prefork_interpreter.service import NARROW
from scenarios.prefork_interpreter.workloads import CALLS, babbles, stalls

nonsense = st.lists(
    st.one_of(st.just("\0"), st.text(st.characters(max_codepoint=255), min_size=1, max_size=20)),
    min_size=1,
    max_size=6,
)


@few
@given(pieces=nonsense, seed=seeds)
def test_one_that_talks_nonsense(trial: Trial, pieces: list[str], seed: int) -> None:
    # A fresh client would talk nonsense too, and be served as well as that can be.
    trial(NARROW, CALLS["sees"], it=partial(babbles, pieces=pieces), seed=seed)


def test_ones_that_say_nothing_more(trial: Trial) -> None:
    several = {f"it{n}": partial(stalls, sent="\0" * n) for n in range(3)}
    trial(NARROW, CALLS["hello"], **several)
