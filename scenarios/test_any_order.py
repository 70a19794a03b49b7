"""Nothing goes wrong; only who goes next is drawn, from one seed after another."""

import pytest

from scenarios.bench import Bench, Known
from scenarios.subjects import (
    HTTP_TWICE,
    PIPEFAIL,
    PIPELINE,
    PREFORK,
    PREFORK_TWICE,
    SOCAT_TWICE,
    TAR,
    Subject,
)
from scenarios.trials import in_another_order

SEEDS = {"ci": 20, "full": 1000}
SUBJECTS = (PIPELINE, PIPEFAIL, TAR, PREFORK, PREFORK_TWICE, SOCAT_TWICE, HTTP_TWICE)

KNOWN = (
    Known(
        subject=PREFORK,
        at="seed *",
        what="main: exits 130",
        why="Proc::Prefork::Interp kills the script when it closes its descriptors, which perl does"
        " just before it exits; who is late is reported as killed by SIGINT",
    ),
)


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda one: one.name)
def test_every_order_of_events_gives_the_golden_result(
    bench: Bench, subject: Subject, effort: str
) -> None:
    bench.try_each(subject, in_another_order(SEEDS[effort]), KNOWN)
