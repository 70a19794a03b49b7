"""The planted bugs, and how they are hunted: nothing here tells the harness where to look.

Each is a variant of a service in bugs/. All are swept with the same two clients, at every call of
every role in every phase, with every kind of fault that is tried unless others are asked for; but
those that need no fault, with one ordinary client of the scenarios after the other, and those that
only another order of events shows, in other orders.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from harness import Subject, listening
from harness._engine import store
from harness._engine.explore import explore
from harness._engine.record import record
from harness._engine.replay import Replay, replay
from harness._engine.runner import Runner
from harness._engine.sweep import sweep
from harness._engine.sweep_result import SweepResult
from harness.oracle import judge
from harness.points import KINDS
from harness.subject import DEADLINE_S, ClientLike, TrialPlan
from harness.workload import Workload
from scenarios.forking_service.workloads import (
    EVERYTHING,
    SOCKET,
    drips,
    forks,
    has_two,
    runs,
    says_hello,
)
from scenarios.prefork_interpreter.service import READY
from scenarios.prefork_interpreter.workloads import CALLS
from tests.quality.caught import Caught, stop_at_the_first

BUGS = Path(__file__).with_name("bugs")
#: How often a recording is replayed, in the full size.
REPLAYS = 20
#: A trial without a fault has some 300 events, so whoever makes ten times as many spins.
_STEPS = 3000
#: How many orders of events are tried.
_ORDERS = 40


@dataclass(frozen=True, kw_only=True, slots=True)
class Bug:
    """A planted bug: its *number* on the list of all, and the module in bugs/ that has it."""

    number: int
    service: str
    module: str
    #: It is there without anything going wrong, if only the right client asks.
    is_plain: bool = False
    #: No fault shows it, but another order of events.
    is_of_order: bool = False
    #: Kinds of faults, and at whose calls, if others than those that are tried unless asked for.
    kinds: tuple[str, ...] = KINDS
    roles: str = "**"
    #: What can last goes wrong also from each call on.
    lasting: bool = False
    #: What has no bug, if it is not what that is in the service's other modules.
    sound: str = ""
    #: What must hold at every moment of each trial.
    invariants: tuple[str, ...] = ()
    #: Of each trial: where the finding is that it never ends, this is what it takes.
    deadline_s: float = DEADLINE_S

    @property
    def asked_for(self) -> tuple[str, ...]:
        """The kinds of faults that an exploration draws: none unless some are asked for."""
        return () if self.kinds == KINDS else self.kinds

    @property
    def source(self) -> str:
        return (BUGS / f"{self.module}.py").read_text(encoding="utf-8")

    @property
    def what(self) -> str:
        """Its description: the first line of the module."""
        return self.source.partition("\n")[0].strip('"')

    def mended(self) -> str:
        """The module's source, with the service that has no bug in place of the variant."""
        seam, sound = _SOUND[self.service]
        before, call, after = self.source.rpartition(seam)
        assert call, f"{self.module} does not say which service it runs"
        end = re.search("[,)\\n]", after)
        assert end is not None
        return f"{before}{call}{self.sound or sound}{after[end.start() :]}"


#: Where the modules of a service say what they run, and what of that has no bug.
_SOUND = {
    "forking": ("service_type=", "ForkingService"),
    "forking client": ("reader_type = ", "ReplyReader"),
    "prefork": ("kind=", "Inside"),
}

PLANTED = (
    Bug(number=1, service="forking", module="forking_01_spins_at_the_end"),
    Bug(number=2, service="forking", module="forking_02_one_request_ends_it"),
    Bug(number=3, service="forking", module="forking_03_a_child_unwinds"),
    Bug(number=4, service="forking", module="forking_04_waits_for_ever", is_plain=True),
    Bug(number=5, service="forking", module="forking_05_another_order", is_plain=True),
    Bug(number=6, service="forking", module="forking_06_exited_too_early"),
    Bug(number=7, service="forking", module="forking_07_ends_at_a_weekend", is_plain=True),
    Bug(number=8, service="forking", module="forking_08_one_slow_client", is_plain=True),
    Bug(number=9, service="forking", module="forking_09_inherits_connections", is_plain=True),
    Bug(number=10, service="forking", module="forking_10_fork_fails_unnoticed"),
    Bug(
        number=11,
        service="forking",
        module="forking_11_one_interval_late",
        is_of_order=True,
        invariants=("waits(client/**) <= 500ms",),
    ),
    Bug(
        number=12,
        service="forking client",
        module="forking_12_status_in_two_pieces",
        is_of_order=True,
        kinds=("short",),
    ),
    Bug(number=13, service="prefork", module="prefork_13_status_lost", is_of_order=True),
    Bug(
        number=14,
        service="prefork",
        module="prefork_14_stuck_callers",
        kinds=("hold",),
        roles="client/**",
        deadline_s=4.0,
    ),
    Bug(
        number=15,
        service="prefork",
        module="prefork_15_end_is_an_error",
        kinds=("crash",),
        roles="client/**",
        sound="Logged",
    ),
    Bug(
        number=16,
        service="prefork",
        module="prefork_16_accept_spins",
        kinds=("descriptors",),
        roles="service/**",
        lasting=True,
    ),
    Bug(number=17, service="prefork", module="prefork_17_two_servers", is_of_order=True),
    Bug(number=18, service="prefork", module="prefork_18_descriptors_leak", kinds=("crash",)),
)


#: First those that speak the protocol byte by byte, as clients of old.
ORDINARY: dict[str, ClientLike] = {
    "fork": partial(forks, pieces=["fork rocks\n"], stdout="It sure does!\n"),
    "drip": partial(drips, request="fork-env rocks\nBZR_EMAIL: a@weekend\nend\n", every_ms=90),
    "two": has_two,
} | EVERYTHING


@dataclass(frozen=True, kw_only=True, slots=True)
class Hunt(Caught):
    """What came of hunting one bug of a service."""

    bug: Bug


def hunt(bug: Bug, folder: Path, jobs: int = 1, *, shrinks: bool = True) -> Hunt | None:
    """Search until there is a finding; None when there is none. The variant runs from a copy in
    *folder*, and the recording is stored there. An order that was found is shrunk, unless not."""
    if bug.is_of_order:
        return explore_it(bug, folder, jobs, shrinks)
    return run_ordinarily(bug, folder) if bug.is_plain else sweep_it(bug, folder, jobs)


def run_ordinarily(bug: Bug, folder: Path) -> Hunt | None:
    """One trial without a fault for each ordinary client, until one fails."""
    began = time.monotonic()
    service = variant(bug, bug.source, folder)
    with Runner() as runner:
        for trials, client in enumerate(ORDINARY.values(), 1):
            plan = service.plan(client, hello=says_hello, step_limit=_STEPS)
            result = runner.run(plan)
            verdict = judge(plan.roots[0], result.outcome)
            if verdict.status == "FAIL":
                return Hunt(
                    bug=bug,
                    trials=trials,
                    seconds=time.monotonic() - began,
                    finding=verdict.findings[0],
                    by="no fault",
                    recording=record(plan, result, verdict),
                )
    return None


def sweep_it(bug: Bug, folder: Path, jobs: int) -> Hunt | None:
    """Let every call go wrong, with the same two clients for all bugs."""
    began = time.monotonic()
    result = search(bug, bug.source, folder, jobs)
    if not result.findings:
        return None
    found = result.findings[0]
    assert found.ident is not None, found.not_recorded
    return Hunt(
        bug=bug,
        trials=result.trials,
        seconds=time.monotonic() - began,
        finding=found.finding,
        by=f"`{found.fault}`",
        recording=store.load(folder / "store" / found.ident / "recording.json"),
    )


def search(bug: Bug, source: str, folder: Path, jobs: int = 1, **options: Any) -> SweepResult:
    """The sweep of the service that *source* has, to its first finding unless *options* say
    otherwise."""
    usual = {"kinds": bug.kinds, "roles": bug.roles, "lasting": bug.lasting, "exitfirst": True}
    return sweep(
        plan_of(bug, source, folder),
        jobs=jobs,
        store=str(folder / "store"),
        **usual | options,
    )


def explore_it(bug: Bug, folder: Path, jobs: int, shrinks: bool) -> Hunt | None:
    """Try other orders of events, to the end if what is found is to be shrunk."""
    began = time.monotonic()
    result = explore(
        plan_of(bug, bug.source, folder),
        kinds=bug.asked_for,
        trials_max=_ORDERS,
        jobs=jobs,
        store=str(folder / "store"),
        on_progress=None if shrinks else stop_at_the_first,
    )
    if not result.findings:
        return None
    found = result.findings[0]
    assert found.ident is not None, found.not_recorded
    recording = store.load(folder / "store" / found.ident / "recording.json")
    count = len(recording.schedule.switches)
    faults = "".join(f"`{fault}`, " for fault in recording.schedule.faults)
    return Hunt(
        bug=bug,
        trials=found.first,
        seconds=time.monotonic() - began,
        finding=found.finding,
        by=f"{faults or 'another order: '}{count} switch{'es' * (count != 1)}",
        recording=recording,
    )


def plan_of(bug: Bug, source: str, folder: Path) -> TrialPlan:
    """A trial of what *source* has, with the clients that are the same for all bugs."""
    clients: dict[str, ClientLike] = {
        "0": partial(runs, stdout="It sure does!\n"),
        "hello": says_hello,
    }
    if bug.service == "prefork":
        clients = {"0": CALLS["sees"], "hello": CALLS["hello"]}
    elif bug.service == "forking client":
        clients["0"] = in_module(source, folder, "rocks")
    if bug.service == "prefork" and bug.is_of_order:
        clients = {"0": CALLS["hello"]}
    return variant(bug, source, folder).plan(
        **clients, step_limit=_STEPS, deadline_s=bug.deadline_s, invariants=bug.invariants
    )


def variant(bug: Bug, source: str, folder: Path) -> Subject:
    """The service that *source* has. A prefork interpreter serves one call at once; where orders
    are tried, its first two callers come at once."""
    kwargs: dict[str, Any] = {"path": SOCKET, "directory": "{dir}"}
    if bug.service == "prefork":
        own = {"first_calls": 2} if bug.is_of_order else {"max_servers": 1}
        kwargs = {"directory": "{dir}", **own}
    serve: Workload | str = "reference.forking_service.server:serve"
    if bug.service != "forking client":
        serve = in_module(source, folder, "serve", **kwargs)
    return Subject.process(
        serve, kwargs=kwargs, ready=listening(READY if bug.service == "prefork" else SOCKET)
    )


def in_module(source: str, folder: Path, name: str, **kwargs: Any) -> Workload:
    """The function *name* of a module that has *source*, called with *kwargs*."""
    module = folder / "planted_service.py"
    module.write_text(source, encoding="utf-8")
    return Workload(module=module.stem, file=str(module), qualname=name, kwargs=kwargs)


def again(caught: Hunt, times: int = REPLAYS) -> list[Replay]:
    """The recording, replayed."""
    return [*replay(caught.recording, times)]


def mend(caught: Hunt) -> Replay:
    """The recording, replayed when the bug is out of the same file."""
    function = caught.recording.function
    if caught.bug.service == "forking client":
        (function, _) = (one.workload for one in caught.recording.clients)  # type: ignore[union-attr]
    assert function is not None
    Path(function.file).write_text(caught.bug.mended(), encoding="utf-8")
    (after,) = replay(caught.recording)
    return after
