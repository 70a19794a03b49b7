"""One trial from start to end: its world is made, supervised, judged over, and nothing of it is
left."""

from __future__ import annotations

import contextlib
import os
import resource
import stat
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from .._kernel import process, view
from .._supervisor.answers import Answers
from .._supervisor.core import Core
from .._supervisor.decisions import Decision, Decisions
from .._supervisor.filters import filter_of
from .._supervisor.footprint import touches
from .._supervisor.init import InitPlan, Program
from .._supervisor.intake import Intake
from .._supervisor.launch import launch
from .._supervisor.loop import Limits, run_controlled, run_free
from .._supervisor.outputs import Outputs
from .._supervisor.phases import Phases
from .._supervisor.policies import policy_named
from .._supervisor.quiescence import share_one_processor
from .._supervisor.scheduler import Scheduler
from .._supervisor.state import Trial
from .._supervisor.stuck import report
from .._supervisor.tasks import IDLE
from .._supervisor.template import Template
from .._supervisor.virtual_time import STEP_NS
from .._supervisor.watching import Watch
from ..calls import signal_number
from ..errors import RunnerError
from ..history import history_of
from ..recording import ClientFunction, from_base64, to_base64
from ..schedule import FRESH, RESTARTED, Schedule
from ..subject import BARE, SERVICE, TrialPlan
from ..trace import Event, Trace
from ..variation import STDERR, STDOUT
from ..verdict import ClientEnd, FileChange, Outcome
from ..workload import Workload
from .changes import WHOLE_MAX, changes, contents, view_of
from .measured import take_measured

PassOn = Callable[[int, bytes], bool]
_ORIGINAL_CPUS = os.sched_getaffinity(0)
_ORIGINAL_DESCRIPTORS = resource.getrlimit(resource.RLIMIT_NOFILE)
_TEMPLATES_MAX = 8  # processes that wait beside a runner
#: Of a variant: by how much the numbers of its processes and the times of its calls are others.
_PIDS_APART = 1009
_TIMES_APART_NS = 2718


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialResult:
    """What one trial gave.

    *schedule* is its plan's with the switches that its policy drew: it repeats the trial.
    *decisions* are the steps at which more than one task could go, when the plan asks for them.
    *outlived_clients*: the service ended after all of its clients, so after it was told to.
    *not_passed_on*: of our standard output (1) and error (2) the errno by which they refused what
    the trial wrote. *measured*: coverage data of its processes, which `Runner.run` keeps.
    """

    outcome: Outcome
    trace: Trace
    schedule: Schedule
    seconds: float
    decisions: tuple[Decision, ...] = ()
    outlived_clients: bool = False
    not_passed_on: Mapping[int, int] = field(default_factory=dict)
    measured: tuple[bytes, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "outcome": self.outcome.to_json(),
            "contents": [(name, data.decode("latin-1")) for name, data in self.outcome.contents],
            "trace": self.trace.lines(),
            "schedule": self.schedule.to_json(),
            "seconds": self.seconds,
            "decisions": self.decisions,
            "outlived_clients": self.outlived_clients,
            "not_passed_on": list(self.not_passed_on.items()),
            "measured": [to_base64(data) for data in self.measured],
        }

    @classmethod
    def from_json(cls, obj: dict[str, Any]) -> Self:
        return cls(
            outcome=replace(
                Outcome.from_json(obj["outcome"]),
                contents=tuple((name, text.encode("latin-1")) for name, text in obj["contents"]),
            ),
            trace=Trace(events=tuple(Event.parse(line) for line in obj["trace"])),
            schedule=Schedule.from_json(obj["schedule"]),
            seconds=obj["seconds"],
            decisions=tuple(
                Decision(role, call, nth, total, tuple(others), chosen, preempts, tuple(conflicts))
                for role, call, nth, total, others, chosen, preempts, conflicts in obj["decisions"]
            ),
            outlived_clients=obj["outlived_clients"],
            not_passed_on=dict(obj["not_passed_on"]),
            measured=tuple(from_base64("measured", text) for text in obj["measured"]),
        )


def run_trial(
    plan: TrialPlan,
    *,
    stop_fd: int | None = None,
    pass_on: PassOn | None = None,
    templates: Templates | None = None,
    clock: Callable[[], int] = time.monotonic_ns,
) -> TrialResult:
    """Run one trial.

    *stop_fd*: when it becomes readable the trial is given up and `KeyboardInterrupt` raised.
    *pass_on* gets what the trial writes as it comes. *templates* are kept for trials to come. By
    *clock*, in nanoseconds, the deadline is measured. Raises `SubjectError` (with an exit status)
    when the subject cannot run, `MachineError` when this machine cannot hold a trial. However it
    ends, no process, mount or file of the trial is left.
    """
    if templates is None and plan.workloads:
        with contextlib.closing(Templates()) as templates:
            return run_trial(
                plan, stop_fd=stop_fd, pass_on=pass_on, templates=templates, clock=clock
            )
    began = time.monotonic()
    # A trial before this one may have pinned us. With a processor of our own we stay there from the
    # beginning: on another one, trials in real time would keep us waiting.
    cpus = {plan.cpu} if plan.cpu in _ORIGINAL_CPUS else _ORIGINAL_CPUS
    process.run_anywhere(cpus)
    outputs = Outputs(pass_on, WHOLE_MAX if plan.contents else 0)
    stdin = _stdin(plan)
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    template = None
    try:
        template = templates.of(plan) if templates else None
        if template is not None:
            process.run_anywhere(cpus, template.pid)
        world = launch(_init_plan(plan, outputs, stdin, null), template)
    except BaseException as error:
        outputs.close()
        if templates is not None and isinstance(error, RunnerError):
            templates.discard(template)
        raise
    finally:
        os.close(stdin)
        os.close(null)
    outputs.release_write_ends()
    ready = plan.in_trial(plan.ready) if plan.ready else None
    functions = {role for role, (_, workload) in _programs(plan).items() if workload}
    trial = Trial(
        world,
        Core(plan.schedule),
        plan.schedule,
        plan.roots,
        ready,
        functions,
        plan.threads_of,
        own_network=not plan.host_network,
        step_ns=STEP_NS + plan.variant * _TIMES_APART_NS,
    )
    if template is not None and template.real_clock:
        for role in sorted(functions):
            trial.weaken(role, f"reads the real clock (vDSO: {template.real_clock})")
    try:
        return _supervised(plan, trial, outputs, stop_fd, clock, began)
    finally:
        world.kill(trial.execs.traced())
        trial.close()
        world.close()
        outputs.close()
        # Whatever our caller starts next would inherit it, and starve what is ordinary.
        process.run_anywhere(_ORIGINAL_CPUS)


def _supervised(
    plan: TrialPlan,
    trial: Trial,
    outputs: Outputs,
    stop_fd: int | None,
    clock: Callable[[], int],
    began: float,
) -> TrialResult:
    world, core = trial.world, trial.core
    intake, answers = Intake(trial, outputs), Answers(trial)
    if stop_fd is not None:
        intake.watch(stop_fd)
    if plan.stdin is None:
        trial.entropy.notice([os.fsencode(os.readlink("/proc/self/fd/0"))])
    before = view.nodes(world.layers)
    phases = Phases(trial, answers, signal_number(plan.stop))
    limits = Limits(int(plan.deadline_s * 1e9), plan.step_limit, clock)
    policy = policy_named(
        plan.policy,
        plan.schedule.seed if plan.policy_seed is None else plan.policy_seed,
        depth=plan.depth,
        length=plan.length,
        touches=touches,
    )
    decisions = Decisions(touches if plan.conflicts else None) if plan.decisions else None
    scheduler = Scheduler(plan.schedule.switches, policy, decisions)
    watch = Watch(trial, plan.invariants) if plan.invariants else None
    _weaken(plan, trial)
    if plan.schedule.mode == "controlled":
        trial.in_real_time = share_one_processor(world.pid, plan.cpu)
        outside = plan.host_network or _is_outside(plan)
        run_controlled(
            trial,
            intake,
            answers,
            phases,
            scheduler,
            limits,
            outside_may_act=outside,
            watch=watch,
        )
    else:
        run_free(trial, intake, answers, phases, limits)
    if trial.ended == "cancelled":
        raise KeyboardInterrupt
    if trial.refusal is not None:
        raise trial.refusal
    waits = report(trial) if trial.ended != "exited" else trial.reason
    alive = (task for task in trial.alive() if task.state != IDLE)
    left = (task.name for task in alive if task.kernel_state() not in "ZX")
    leftovers = tuple(sorted(left))
    world.kill(trial.execs.traced())
    outputs.close()
    after = view.nodes(world.layers)
    measured = () if plan.coverage is None else take_measured(world.layers, after)
    trace = trial.text()
    changed = changes(plan, world.layers, before, after)
    outcome = Outcome(
        one_process=plan.threads,
        end=trial.ended,  # type: ignore[arg-type]
        status=trial.statuses.get(plan.roots[0]),
        clients=tuple(
            ClientEnd(role=name, status=trial.statuses[name])
            for name in plan.roots[1:]
            if name in trial.statuses
        ),
        stdout=outputs.streams[0].seen(),
        stderr=outputs.streams[1].seen(),
        files=changed,
        leftovers=leftovers,
        fired=tuple(core.fired),
        seen=tuple(core.seen()),
        not_applied=tuple(scheduler.not_applied()),
        history=history_of(trace),
        weakened=tuple(trial.weaknesses.found),
        broken=() if watch is None else tuple(watch.broken),
        report=waits,
        contents=_contents(world.layers, outputs, after, changed) if plan.contents else (),
    )
    schedule = plan.schedule
    if scheduler.decided and plan.policy != "default":
        schedule = replace(schedule, switches=tuple(scheduler.decided))
    return TrialResult(
        outcome=outcome,
        trace=trace,
        schedule=schedule,
        seconds=time.monotonic() - began,
        decisions=() if decisions is None else decisions.all(),
        outlived_clients=_outlived(plan, [*trial.statuses]),
        measured=measured,
    )


def _contents(
    layers: int, outputs: Outputs, after: view.Nodes, changed: tuple[FileChange, ...]
) -> tuple[tuple[str, bytes], ...]:
    streams = zip((STDOUT, STDERR), outputs.streams, strict=True)
    whole = ((name, stream.whole()) for name, stream in streams)
    kept = tuple((name, data) for name, data in whole if data is not None)
    return kept + tuple(contents(layers, after, changed))


def _weaken(plan: TrialPlan, trial: Trial) -> None:
    """Say what was asked for, and cannot be held still."""
    if plan.host_network:
        trial.weaken("", "has the network of this machine")
    for path in plan.write:
        trial.weaken("", f"writes on this machine, below {path}")
    if _is_outside(plan):
        trial.weaknesses.watch_standard_input()


def _outlived(plan: TrialPlan, ended: list[str]) -> bool:
    """Whether the service ended after all of its clients; *ended* has the roles in that order."""
    service, *_ = plan.roots
    before = ended[: ended.index(service)] if service in ended else []
    return service in ended and {client.name for client in plan.clients} <= set(before)


def _init_plan(plan: TrialPlan, outputs: Outputs, stdin: int, null: int) -> InitPlan:
    env = {name: plan.in_trial(value) for name, value in plan.environment.items()}
    programs: list[Program] = []
    every = _programs(plan)
    for role, (command, workload) in every.items():
        words = tuple(plan.in_trial(word) for word in command)
        is_service = role in (BARE, SERVICE, RESTARTED)
        stdio = (null if programs and not plan.debug else stdin, *outputs.write_ends)
        threads = tuple(
            (plan.roots.index(one), one, workload_of)
            for one in (plan.threads_of if is_service else ())
            if (workload_of := every[one][1]) and (role != RESTARTED or one == FRESH)
        )
        programs.append(Program(role, words, env, stdio, workload, not is_service, threads))
    return InitPlan(
        programs=tuple(programs),
        view=view_of(plan),
        files=tuple(
            (file.path, file.mode, file.data or b"")
            for file in plan.inputs
            if file.data is not None
        ),
        filter=filter_of(plan.schedule, watch_listen=plan.ready is not None),
        own_network=not plan.host_network,
        descriptors=_ORIGINAL_DESCRIPTORS,
        gains_privileges=os.geteuid() == 0,
        last_pid=0 if _has_few_pids(plan) else plan.variant * _PIDS_APART,
    )


def _has_few_pids(plan: TrialPlan) -> bool:
    """Whether a limit of processes may be one of their numbers."""
    return any(limit.resource == "NPROC" for limit in plan.schedule.limits)


def _programs(plan: TrialPlan) -> dict[str, tuple[tuple[str, ...], Workload | None]]:
    """What each root runs: a command or a function."""
    service = (plan.command, plan.function)
    clients = {
        client.name: ((), client.workload)
        if isinstance(client, ClientFunction)
        else (client.command, None)
        for client in plan.clients
    }
    first = next(iter(clients.values()), service)
    every = {plan.roots[0]: service} | clients | {FRESH: first, RESTARTED: service}
    return {role: every[role] for role in plan.roots}


class Templates:
    """The templates of one runner: for the same modules, the same one."""

    def __init__(self) -> None:
        self._made: dict[str, Template] = {}

    def of(self, plan: TrialPlan) -> Template | None:
        """The template that *plan* needs, made at its first use; None when it needs none."""
        if not plan.workloads:
            return None
        modules = sorted({(one.module, one.file) for one in plan.workloads})
        measured = plan.coverage is not None
        key = repr((plan.python_path, modules, sorted(plan.environment.items()), measured))
        if key not in self._made:
            if len(self._made) == _TEMPLATES_MAX:
                self._made.pop(next(iter(self._made))).close()
            environment = {name: plan.in_trial(value) for name, value in plan.environment.items()}
            self._made[key] = Template(
                plan.workloads, plan.python_path, environment, coverage=measured
            )
        return self._made[key]

    def discard(self, template: Template | None) -> None:
        """It is of no use any more: the next trial gets another."""
        for key, made in list(self._made.items()):
            if made is template:
                self._made.pop(key).close()

    def close(self) -> None:
        """End them all."""
        for template in self._made.values():
            template.close()
        self._made.clear()


def _stdin(plan: TrialPlan) -> int:
    """The descriptor that the subject reads: the runner's own, nothing, or a file in memory."""
    if plan.stdin is None:
        return os.dup(0)
    if not plan.stdin:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    fd = os.memfd_create("stdin", os.MFD_CLOEXEC)
    os.write(fd, plan.stdin)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _is_outside(plan: TrialPlan) -> bool:
    """Whether somebody beyond the trial may still write what it reads."""
    if plan.stdin is not None:
        return False
    kind = os.fstat(0).st_mode
    return not stat.S_ISREG(kind) and not (stat.S_ISCHR(kind) and not os.isatty(0))
