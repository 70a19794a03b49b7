"""Each call that needs room on a disk fails with ENOSPC."""

import pytest

from scenarios.bench import Bench
from scenarios.subjects import FILTERS, PREFORK, Subject
from scenarios.trials import failing


@pytest.mark.parametrize("subject", [*FILTERS, PREFORK], ids=lambda one: one.name)
def test_a_full_disk_is_reported(bench: Bench, subject: Subject) -> None:
    bench.try_each(subject, failing(bench.points(subject), "space"))
