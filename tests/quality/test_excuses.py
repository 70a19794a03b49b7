"""Each thing that must still hold when something goes wrong is broken by a service of a few lines,
and that is found; the same service without a bug keeps all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import pytest
from _pytest.mark import ParameterSet

from harness import Subject, listening
from harness._engine.sweep import sweep
from harness._engine.sweep_result import SweepResult
from harness.points import PHASES
from tests.quality import echo

#: Who spins makes ten times as many steps as are needed.
_STEPS = 3000


@dataclass(frozen=True, kw_only=True, slots=True)
class Wrong:
    """What goes wrong, at whose calls: a row of the table of excuses.

    *timeout_s*: how long a client waits for its answer, by the trial's clock."""

    name: str
    kinds: Sequence[str]
    roles: str
    phases: Sequence[str] = PHASES
    timeout_s: float | None = None

    def sweep(self, bug: str = "", *, exitfirst: bool = False) -> SweepResult:
        """Of the service with *bug*: the first client is the one that goes wrong, if one does."""
        service = Subject.process(
            echo.serve,
            kwargs={"path": echo.SOCKET, "bug": bug},
            ready=listening(echo.SOCKET),
        )
        it, beside = (
            partial(echo.ask, text=text, timeout_s=self.timeout_s) for text in ("one\n", "two\n")
        )
        plan = service.plan(it=it, beside=beside, step_limit=_STEPS)
        return sweep(
            plan,
            kinds=self.kinds,
            roles=self.roles,
            phases=self.phases,
            exitfirst=exitfirst,
            store=None,
        )


_CRASH = ("crash", "crash-after")
ERRNO = Wrong(name="errno", kinds=["errno"], roles="service**")
SHORT = Wrong(name="short", kinds=["short"], roles="service**")
SIGNAL = Wrong(
    name="signal",
    kinds=["signal(WINCH)", "signal(CHLD)"],
    roles="service**",
    phases=["work", "stop"],
)
CLIENT = Wrong(name="client", kinds=["errno", "short", *_CRASH], roles="client/it**")
CLIENT_HELD = Wrong(name="client-held", kinds=["hold"], roles="client/it**")
CHILD_DIES = Wrong(name="child-dies", kinds=_CRASH, roles="service/**")
CHILD_HELD = Wrong(name="child-held", kinds=["hold"], roles="service/**")
SERVICE_DIES = Wrong(name="service-dies", kinds=_CRASH, roles="service")
SERVICE_HELD = Wrong(
    name="service-held", kinds=["hold"], roles="service", phases=["work"], timeout_s=60.0
)
ROWS = (
    *(ERRNO, SHORT, SIGNAL, CLIENT, CLIENT_HELD, CHILD_DIES, CHILD_HELD),
    *(SERVICE_DIES, SERVICE_HELD),
)

#: What goes wrong, what must still hold, the bug that breaks it, and the oracle that says so.
CELLS = (
    (ERRNO, "it ends", "WaitsForTheClient", "ends"),
    (ERRNO, "it fails visibly", "SaysItIsDone", "reports-the-truth"),
    (ERRNO, "others are served", "DropsTheNext", "honest-result"),
    (ERRNO, "a fresh client is served", "GivesUp", "recovers"),
    (ERRNO, "nothing is left", "LeavesWork", "leaves-nothing"),
    (SHORT, "it is not noticed", "SendsOnce", "honest-result"),
    (SIGNAL, "a fresh client is served", "MindsSignals", "recovers"),
    (SIGNAL, "nothing is left", "MindsSignals", "leaves-nothing"),
    (CLIENT, "others are served", "DropsTheNext", "honest-result"),
    (CLIENT, "the service lives", "GivesUp", "recovers"),
    (CLIENT, "nothing of it is left", "LeavesWork", "leaves-nothing"),
    (CLIENT_HELD, "others are served", "DropsTheNext", "honest-result"),
    (CLIENT_HELD, "the service lives", "GivesUp", "recovers"),
    (CLIENT_HELD, "nothing of it is left", "LeavesWork", "leaves-nothing"),
    (CHILD_DIES, "it ends", "WaitsForTheClient", "ends"),
    (CHILD_DIES, "it fails visibly", "SaysItIsDone", "reports-the-truth"),
    (CHILD_DIES, "others are served", "DropsTheNext", "honest-result"),
    (CHILD_DIES, "a fresh client is served", "GivesUp", "recovers"),
    (CHILD_DIES, "nothing is left", "LeavesWork", "leaves-nothing"),
    (CHILD_HELD, "it ends", "WaitsForTheClient", "ends"),
    (CHILD_HELD, "it fails visibly", "SaysItIsDone", "reports-the-truth"),
    (CHILD_HELD, "others are served", "DropsTheNext", "honest-result"),
    (CHILD_HELD, "a fresh client is served", "GivesUp", "recovers"),
    (CHILD_HELD, "nothing is left", "LeavesWork", "leaves-nothing"),
    (SERVICE_DIES, "clients see the end, not silence", "HasAHelper", "ends"),
    (SERVICE_DIES, "it starts again", "DoesNotStartAgain", "recovers"),
    (SERVICE_DIES, "it serves again", "DoesNotServeAgain", "recovers"),
    (SERVICE_DIES, "it stops again", "DoesNotStopAgain", "recovers"),
    (SERVICE_DIES, "nothing is left", "LeavesThePidFile", "leaves-nothing"),
    (SERVICE_HELD, "a fresh client is served", "GivesUp", "recovers"),
    (SERVICE_HELD, "nothing is left", "LeavesWork", "leaves-nothing"),
)


#: In CI one row of each place: the service's, a client's, a child's.
_IN_CI = (ERRNO, CLIENT, CHILD_DIES, SERVICE_DIES)


def _row(wrong: Wrong, *cell: str) -> ParameterSet:
    marks = () if wrong in _IN_CI else pytest.mark.full
    return pytest.param(wrong, *cell, id=": ".join([wrong.name, *cell[:1]]), marks=marks)


@pytest.mark.parametrize(("wrong", "holds", "bug", "oracle"), [_row(*cell) for cell in CELLS])
def test_a_service_that_does_not_hold_it_is_found(
    wrong: Wrong, holds: str, bug: str, oracle: str
) -> None:
    found = _found(wrong.sweep(bug, exitfirst=True))
    if oracle not in found:  # but what follows from it, at some other call
        found = _found(wrong.sweep(bug))
    assert oracle in found, f"{holds}: {found}"


def _found(result: SweepResult) -> set[str]:
    return {one.finding.oracle for one in result.findings}


@pytest.mark.parametrize("wrong", [*map(_row, ROWS)])
def test_of_a_service_that_holds_everything_there_is_no_finding(wrong: Wrong) -> None:
    result = wrong.sweep()
    assert [f"{one.fault}: {one.finding.describe()}" for one in result.findings] == []
    assert (result.covered, result.inconclusive) == (result.points, ())
