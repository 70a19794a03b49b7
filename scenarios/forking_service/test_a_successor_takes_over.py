"""The service is told to stop while clients ask, and a successor starts on the same path: each
client has whole answers of one of the two, or is refused in words; no child's status is lost."""

from functools import partial

from conftest import Effort
from harness._pytest.exploring import Explore
from scenarios.forking_service.restarted import KEPT, keeps_asking, restarts


def test_under_load_in_any_order(explore: Explore, effort: Effort) -> None:
    clients, times, trials = (4, 3, 500) if effort == "full" else (2, 1, 8)
    askers = [partial(keeps_asking, times=times, code=code) for code in range(1, clients + 1)]
    explore(KEPT, *askers, restarts, trials=trials)


def test_two_restarts_at_once(explore: Explore, effort: Effort) -> None:
    asker = partial(keeps_asking, times=2, code=3)
    explore(KEPT, asker, restarts, restarts, trials=200 if effort == "full" else 4)
