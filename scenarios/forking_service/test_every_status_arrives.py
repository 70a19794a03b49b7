"""Children end with each exit status and by each fatal signal, in other and other orders of events:
each client is told that of its own child once, as the kernel gave it."""

import signal
from functools import partial

import pytest

from conftest import Effort
from harness._pytest.exploring import Explore
from harness.histories import exactly_one_reply, own_reply
from scenarios.forking_service.service import SERVICE
from scenarios.forking_service.workloads import tells_its_status

#: What a signal does that nobody minds, if not end the process. Source: signal(7).
_NOT_FATAL = {
    *(signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH),
    *(signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU),
}
FATAL = sorted(signal.valid_signals() - _NOT_FATAL)
#: As subprocess has them: a signal's is negative.
STATUSES = [*range(256), *(-number for number in FATAL)]
#: Three that a mistake would mix up: no bit, all bits, and a signal.
TOLD_APART = (0, 255, -9)
_AT_ONCE = 3


def explores(explore: Explore, codes: list[int] | tuple[int, ...], trials: int) -> None:
    clients = [partial(tells_its_status, code=code) for code in codes]
    explore(SERVICE, *clients, trials=trials, oracles=[exactly_one_reply, own_reply])


def test_those_that_are_easily_mixed_up(explore: Explore, effort: Effort) -> None:
    explores(explore, TOLD_APART, trials=500 if effort == "full" else 6)


@pytest.mark.full
@pytest.mark.parametrize("first", range(0, len(STATUSES), _AT_ONCE))
def test_every_other_one(explore: Explore, first: int) -> None:
    explores(explore, STATUSES[first : first + _AT_ONCE], trials=12)


@pytest.mark.full
@pytest.mark.parametrize("code", TOLD_APART)
def test_in_every_order_with_a_preemption(explore: Explore, code: int) -> None:
    client = partial(tells_its_status, code=code)
    result = explore(
        SERVICE,
        client,
        strategy="bounded",
        bound=1,
        trials=100_000,
        oracles=[exactly_one_reply, own_reply],
    )
    assert result.claim.endswith("interleavings with at most 1 preemption"), result.claim
