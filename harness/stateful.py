"""A state machine whose rules are what clients do and what goes wrong; all that it does is one
trial.

    class Counters(TrialMachine):
        subject = SERVICE
        plays = counts                       # the workload of each client: counts(client, steps)

        @rule(client=st.integers(0, 1), by=st.integers(1, 9))
        def add(self, client, by):
            self.step(client, "add", by=by)

        @rule(at=st.sampled_from(["service:accept4#2=EMFILE", "service:write#1=short(1)"]))
        def fails(self, at):
            self.fault(at)

    def test_counters(trial):
        run(Counters, trial)

Hypothesis draws a sequence of rules; each only notes what is to be done, and when the sequence is
complete it is run as one trial and judged. So what is shrunk is the sequence, and a failing one is
a schedule with a workload: it has a recording like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, Protocol

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from .oracle import Oracle
from .schedule import FaultAt, Schedule, Switch
from .subject import Subject

#: A step of a client: [name, arguments].
Step = list[Any]


class RunsTrials(Protocol):
    """The fixture `trial`."""

    def __call__(self, subject: Subject, *clients: Any, **options: Any) -> Any: ...


class TrialMachine(RuleBasedStateMachine):
    """Base of such machines.

    *subject* is what is tried; *plays* the workload of each client, at the top of a module: it gets
    `steps`, a list of [name, arguments] in the order in which the rules noted them for that client.
    Who of the clients goes first is the schedule's matter, not the rules'. *oracles* and *options*
    go to the fixture `trial`."""

    subject: ClassVar[Subject]
    plays: ClassVar[Callable[..., None]]
    clients: ClassVar[int] = 2
    oracles: ClassVar[Sequence[Oracle]] = ()
    options: ClassVar[dict[str, Any]] = {}
    _trial: ClassVar[RunsTrials]

    def __init__(self) -> None:
        super().__init__()
        self._steps: dict[int, list[Step]] = {number: [] for number in range(self.clients)}
        self._faults: list[str | FaultAt] = []
        self._switches: list[Switch] = []

    def step(self, client: int, name: str, **arguments: Any) -> None:
        """The client does this next; *arguments* are values of JSON."""
        self._steps[client].append([name, arguments])

    def fault(self, at: str | FaultAt) -> None:
        """This goes wrong, if the trial comes there."""
        if at not in self._faults:
            self._faults.append(at)

    def switch(self, switch: Switch) -> None:
        """Another role goes next there."""
        self._switches.append(switch)

    def teardown(self) -> None:
        """Run it, and judge it."""
        __tracebackhide__ = True
        plays = type(self).plays
        workloads = [partial(plays, steps=steps) for steps in self._steps.values() if steps]
        if workloads:
            type(self)._trial(
                self.subject,
                *workloads,
                faults=self._faults,
                schedule=Schedule(switches=tuple(self._switches)),
                oracles=self.oracles,
                must_fire=False,
                **self.options,
            )


def run(
    machine: type[TrialMachine],
    trial: RunsTrials,
    *,
    max_examples: int = 20,
    stateful_step_count: int = 10,
) -> None:
    """Look for a sequence of rules whose trial fails: *max_examples* sequences of up to
    *stateful_step_count* rules. Fails the test with the shortest that was found."""
    bound = type(machine.__name__, (machine,), {"_trial": staticmethod(trial)})
    run_state_machine_as_test(
        bound,
        settings=settings(
            max_examples=max_examples,
            stateful_step_count=stateful_step_count,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
