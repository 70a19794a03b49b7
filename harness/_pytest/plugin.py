"""What pytest loads: options, the marker `harness`, and the fixtures `trial`, `sweep` and
`explore`.

Loading it costs nothing and starts nothing. All else is imported when a test uses a fixture.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from .sections import attach
from .tally import Tally

if TYPE_CHECKING:
    from .exploring import Explore
    from .fixtures import Sweep, Trial
    from .session import Session

_OPTIONS = {
    "jobs": (
        "N",
        "trials at once in one test (default: processors / workers of pytest-xdist)",
    ),
    "coverage": (
        "DIR",
        "measure which lines the functions of trials run; then: coverage combine DIR",
    ),
    "require": (
        "ABILITIES",
        "what this machine must be able to do, separated by commas, as `harness doctor` names it, "
        "or trials: all that these need. A test that needs it and would be skipped fails",
    ),
}
_MARKER = (
    "harness(requires=ABILITIES): uses the fixtures trial, sweep or explore; skipped, with the "
    "fix, where the machine lacks one of ABILITIES"
)
_FIXTURES = {"trial", "sweep", "explore"}
_TALLY = pytest.StashKey[Tally]()
_SESSION = pytest.StashKey["Session"]()
_OUTPUT = "harness"  # our key in what a worker of pytest-xdist hands over


# ---- Configuration -------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--harness-NAME`, HARNESS_NAME in the environment, or `harness_NAME` in the configuration, in
    this order."""
    group = parser.getgroup("harness", "trials under faults")
    for name, (metavar, what) in _OPTIONS.items():
        group.addoption(f"--harness-{name}", metavar=metavar, help=what)
        parser.addini(f"harness_{name}", f"as --harness-{name}", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Check what was given, before any test runs."""
    config.addinivalue_line("markers", _MARKER)
    config.stash[_TALLY] = Tally()
    _jobs(config)
    if _setting(config, "require"):
        _demanded(config)
    _coverage(config)


def _setting(config: pytest.Config, name: str) -> str:
    given = config.getoption(f"harness_{name}")
    if given is None:
        given = os.environ.get(f"HARNESS_{name.upper()}") or config.getini(f"harness_{name}")
    return str(given)


def _jobs(config: pytest.Config) -> int | None:
    text = _setting(config, "jobs")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise pytest.UsageError(f"harness_jobs: {text!r} is not a whole number above 0")
    return int(text)


def _coverage(config: pytest.Config) -> str | None:
    given = _setting(config, "coverage")
    if not given:
        return None
    from .._engine.measured import directory_for
    from ..errors import UsageError

    try:
        return directory_for(str(config.invocation_params.dir / given))
    except UsageError as error:
        raise pytest.UsageError(f"harness_coverage: {error}") from None


def _demanded(config: pytest.Config) -> frozenset[str]:
    from ..errors import UsageError
    from .abilities import abilities_in

    try:
        return abilities_in(_setting(config, "require"))
    except UsageError as error:
        raise pytest.UsageError(f"harness_require: {error}") from None


# ---- Fixtures ------------------------------------------------------------------------------------


@pytest.fixture
def trial(request: pytest.FixtureRequest) -> Trial:
    """trial(subject, *clients, faults=(...)): run one trial, and fail with what is found."""
    from .fixtures import Trial

    return Trial(_session(request.config), request.node)


@pytest.fixture
def sweep(request: pytest.FixtureRequest) -> Sweep:
    """sweep(subject, *clients, faults="errno,short,crash,crash-after"): let each call of the
    subject go wrong in turn, and fail with what is found."""
    from .fixtures import Sweep

    return Sweep(_session(request.config), request.node)


@pytest.fixture
def explore(request: pytest.FixtureRequest) -> Explore:
    """explore(subject, *clients, strategy="mixed", trials=1000): run the subject in other and other
    orders of events, and fail with what is found."""
    from .exploring import Explore

    return Explore(_session(request.config), request.node)


def _session(config: pytest.Config) -> Session:
    if _SESSION not in config.stash:
        from .session import Session

        worker = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
        workers = os.environ.get("PYTEST_XDIST_WORKER_COUNT", "")
        config.stash[_SESSION] = Session(
            config.rootpath,
            config.invocation_params.dir,
            config.stash[_TALLY],
            worker=int(worker) if worker.isdecimal() else 0,
            workers=int(workers) if workers.isdecimal() else 1,
            jobs=_jobs(config),
            demanded=_demanded(config),
            coverage=_coverage(config),
        )
    return config.stash[_SESSION]


# ---- Around the tests ----------------------------------------------------------------------------


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what uses a fixture of ours, so that `-m harness` means these tests."""
    if _FIXTURES & {*getattr(item, "fixturenames", ())}:
        item.add_marker("harness")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, or fail, where the machine lacks what the marker requires."""
    words = [marker.kwargs.get("requires", "") for marker in item.iter_markers("harness")]
    if not any(words):
        return
    from ..errors import UsageError
    from .abilities import abilities_in, need

    try:
        wanted = abilities_in(",".join(words))
    except UsageError as error:
        wanted = frozenset()
        problem = str(error)
    else:
        problem = ""
    if problem:
        pytest.fail(f"harness(requires=...): {problem}", pytrace=False)
    need(wanted, _demanded(item.config))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Attach what happened around the finding."""
    attach(item, call.when)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of pytest-xdist hands over what it counted."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[_OUTPUT] = session.config.stash[_TALLY].to_json()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object, error: object) -> None:
    """Add what a worker counted; one that crashed has nothing to hand over."""
    config: pytest.Config = node.config  # type: ignore[attr-defined]
    counted = getattr(node, "workeroutput", {}).get(_OUTPUT)
    if counted:
        config.stash[_TALLY].add(**counted)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """One line, when there were trials; and what an interrupted one had found."""
    tally = config.stash[_TALLY]
    for report in tally.kept:
        terminalreporter.write_line(report)
    if tally.trials:
        terminalreporter.write_line(f"harness: {tally.describe()}")


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the runner, if there is one."""
    if _SESSION in config.stash:
        config.stash[_SESSION].close()
