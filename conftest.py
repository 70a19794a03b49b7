"""What every test of this project shares: how hard to try.

``HARNESS_EFFORT=ci`` (the default) is repeatable: Hypothesis draws the same examples each time and
nothing is judged by wall time. ``HARNESS_EFFORT=full`` looks for what has not been seen yet: more
examples, new ones each time, and tests that ask for the ``effort`` fixture use their full sizes.
"""

import os
import signal
from typing import Literal, cast

import hypothesis
import pytest

Effort = Literal["ci", "full"]

# A trial shares two cores with other workers, so a slow example says nothing about the code.
_SLOW_IS_NO_FAULT = [hypothesis.HealthCheck.too_slow]

hypothesis.settings.register_profile(
    "ci",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=50,
    suppress_health_check=_SLOW_IS_NO_FAULT,
)
hypothesis.settings.register_profile(
    "full",
    deadline=None,
    max_examples=2000,
    print_blob=True,
    suppress_health_check=_SLOW_IS_NO_FAULT,
)


def effort_asked_for() -> Effort:
    """By HARNESS_EFFORT."""
    asked = os.environ.get("HARNESS_EFFORT") or "ci"
    if asked not in ("ci", "full"):
        raise pytest.UsageError(f"HARNESS_EFFORT={asked}: it is 'ci' (the default) or 'full'")
    return cast(Effort, asked)


def pytest_configure() -> None:
    # Whoever starts pytest by nohup(1), or in the background of a script, has these ignored; what
    # tests start would inherit that, and never end when it is told to.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # In every xdist worker too: the profile is process-wide, so no test has to name it.
    hypothesis.settings.load_profile(effort_asked_for())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if effort_asked_for() == "full":
        return
    left_out = [item for item in items if item.get_closest_marker("full")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_report_header() -> str:
    return f"effort: {effort_asked_for()} (HARNESS_EFFORT)"


@pytest.fixture(scope="session")
def effort() -> Effort:
    """``"ci"`` or ``"full"``: the sizes of repetitions and of random kills that a test uses."""
    return effort_asked_for()
