"""Each call that needs a descriptor or a process is refused one."""

import pytest

from scenarios.bench import Bench
from scenarios.subjects import FILTERS, SERVICES, Subject
from scenarios.trials import failing


@pytest.mark.parametrize("subject", [*FILTERS, *SERVICES], ids=lambda one: one.name)
def test_a_lack_of_descriptors_or_processes_is_reported(bench: Bench, subject: Subject) -> None:
    bench.try_each(subject, failing(bench.points(subject), "descriptors", "processes"))
