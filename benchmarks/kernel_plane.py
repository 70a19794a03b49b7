"""What answering a system call costs: against the same loop in C, against strace, and against
nobody.

Everything runs on one processor, ours and the peers: a notification is two switches from one task
to another, and whether these cross processors would decide the figure. The C programs are built in
a directory of their own when a compiler is there, and time their own laps: nobody's start-up is in
a figure, and a lap in which the processor was somebody else's is not either.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

from harness._engine.runner import Runner
from harness._engine.trial import TrialResult
from harness.errors import RunnerError
from harness.schedule import Schedule, parse_fault_at
from harness.subject import TrialPlan

from . import Figure

PROGRAMS = Path(__file__).with_name("programs")
#: Free mode traps what its faults name, and without one nothing. This one never fires.
NOTHING_ARMED = Schedule(mode="free", faults=(parse_fault_at("getppid#999999999=EPERM"),))
NOTHING_TRAPPED = Schedule(mode="free")
ALL_TRAPPED = Schedule(
    mode="free",
    faults=tuple(parse_fault_at(f"{call}#999999999=EIO") for call in ("read", "write")),
)
_CONTROLLED = Schedule()
#: The C programs time laps of this many calls or exchanges; programs/laps.h.
_LAP = 50
_CALLS_AN_EXCHANGE = 4
#: How many untrapped laps are run for each trapped one: they are so much shorter.
_UNTRAPPED = 25
_EMPTY_TRIALS = 50
_DEADLINE_S = 120.0
#: Microseconds: who polls each 50 ms for an hour, 72,000 times, is to take 5 s.
_HOUR_OF_NAPS = 69
_STRACE = ("-f", "--seccomp-bpf", "--trace=getppid", "--output=/dev/null")
_NS = {"ns": 1.0, "us": 1e3}


class Peer(NamedTuple):
    """What one would use instead: its command, the most that ours may take of its time, and why it
    cannot be had."""

    name: str
    command: Sequence[str]
    goal: float | None = None
    missing: str = ""


def measure(*, rounds: int, laps: int) -> list[Figure]:
    """All figures of the kernel plane. Raises `HarnessError` when no trial can be run here."""
    with (
        tempfile.TemporaryDirectory(prefix="benchmarks-") as directory,
        one_processor(),
        Runner() as runner,
    ):
        bench = Bench(Path(directory), runner, rounds)
        return [
            *bench.trapped(laps),
            *bench.untrapped("getppid", laps * _UNTRAPPED),
            *bench.untrapped("pread", laps * _UNTRAPPED),
            *bench.controlled_steps(laps),
            bench.slope("a read of the clock", "timed", "clock", laps * _LAP, goal=12),
            bench.slope("a nap of 50 ms", "timed", "nap", laps * _LAP, goal=_HOUR_OF_NAPS),
            bench.empty_trial("nothing, linked statically", bench.path("nothing")),
            bench.empty_trial("/bin/true", "/bin/true"),
        ]


@contextmanager
def one_processor() -> Iterator[None]:
    """Run on one processor, and with us everything that is started from here on."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


class Bench:
    """The measurements, each of *rounds* rounds, of trials that *runner* runs and of programs built
    in *directory*."""

    def __init__(self, directory: Path, runner: Runner, rounds: int) -> None:
        self._directory = directory
        self._runner = runner
        self._rounds = rounds
        self._missing = self._build()

    def path(self, program: str) -> str:
        """Where the C program of this name is built."""
        return str(self._directory / program)

    def _build(self) -> str:
        """Build the C programs; why that cannot be done, or nothing."""
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if compiler is None:
            return "no C compiler: apt install gcc libc6-dev"
        for source in sorted(PROGRAMS.glob("*.c")):
            command = [compiler, "-O2", "-static", "-o", self.path(source.stem), str(source)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                return f"{source.name} does not compile: {done.stderr.strip()[-200:]}"
        return ""

    # What is measured

    def trapped(self, laps: int) -> list[Figure]:
        """A call that a free trial counts, traces and lets pass, no fault being armed."""
        program = [self.path("calls"), "getppid", str(laps)]
        no_strace = "" if shutil.which("strace") else "no strace: apt install strace"
        peers = (
            Peer("C loop", [self.path("notify_loop"), str(laps * _LAP), *program], 1.6),
            Peer("strace", ["strace", *_STRACE, *program], 0.5, no_strace),
        )
        return self._compare("a trapped getppid", "us", program, NOTHING_ARMED, peers)

    def untrapped(self, call: str, laps: int) -> list[Figure]:
        """A call that a trial does not trap. The smallest filter is a peer as well: once a task has
        any at all, the kernel takes a longer way into each of its calls."""
        program = [self.path("calls"), call, str(laps)]
        peers = (
            Peer("native", program, 1.1),
            Peer("smallest filter", [self.path("notify_loop"), "0", *program]),
        )
        return self._compare(f"an untrapped {call}", "ns", program, NOTHING_TRAPPED, peers)

    def controlled_steps(self, laps: int) -> list[Figure]:
        """One answered call of two processes that wait for each other in turn; and the same calls
        in free mode, all trapped."""
        controlled = self.slope("a controlled step", "ping_pong", laps, goal=30)
        free = self.slope("the same in free mode", "ping_pong", laps, schedule=ALL_TRAPPED)
        if controlled.ours is None or free.ours is None:
            return [controlled, free]
        ratio = controlled.ours / free.ours
        return [replace(controlled, against="free", peer=free.ours, ratio=ratio)]

    def slope(
        self,
        what: str,
        program: str,
        *arguments: str | int,
        schedule: Schedule = _CONTROLLED,
        goal: float | None = None,
    ) -> Figure:
        """What one more call of a program costs a trial. In controlled mode its own clock is the
        trial's, so the watch is ours: twice as many calls take so much longer. Its last argument
        is how many it makes, or how many laps of exchanges."""
        if self._missing:
            return Figure(what=what, unit="us", missing=self._missing)
        *first, count = arguments
        calls = int(count) * (_LAP * _CALLS_AN_EXCHANGE if program == "ping_pong" else 1)
        slopes: list[float] = []
        for _ in range(self._rounds):
            once, twice = (
                self._trial([self.path(program), *map(str, first), str(n)], schedule).seconds
                for n in (int(count), 2 * int(count))
            )
            slopes.append((twice - once) / calls)
        ours = statistics.median(slopes) * 1e6
        return Figure(what=what, unit="us", ours=ours, goal=goal, of="ours")

    def empty_trial(self, name: str, program: str) -> Figure:
        """A whole controlled trial of a program that does nothing: its world is made, its view
        built, and looked through afterwards."""
        what = f"an empty trial: {name}"
        if self._missing and not os.path.exists(program):
            return Figure(what=what, unit="ms", missing=self._missing)
        seconds = [self._trial([program], Schedule()).seconds for _ in range(_EMPTY_TRIALS)]
        return Figure(
            what=what, unit="ms", ours=statistics.median(seconds) * 1e3, goal=8, of="ours"
        )

    # How

    def _compare(
        self,
        what: str,
        unit: Literal["ns", "us"],
        program: Sequence[str],
        schedule: Schedule,
        peers: Sequence[Peer],
    ) -> list[Figure]:
        """Ours and each peer in turns. A peer that cannot be had does not keep the others away."""
        why_not = {peer.name: self._missing or peer.missing for peer in peers}
        present = [peer for peer in peers if not why_not[peer.name]]
        ours: list[float] = []
        theirs: dict[str, list[float]] = {peer.name: [] for peer in present}
        scale = _LAP * _NS[unit]
        for _ in range(self._rounds if present else 0):
            ours.append(self._in_trial(program, schedule) / scale)
            for peer in present:
                theirs[peer.name].append(_alone(peer.command) / scale)
        return [
            Figure(
                what=what,
                unit=unit,
                ours=statistics.median(ours),
                against=peer.name,
                peer=statistics.median(theirs[peer.name]),
                ratio=statistics.median(
                    one / other for one, other in zip(ours, theirs[peer.name], strict=True)
                ),
                goal=peer.goal,
            )
            if peer in present
            else Figure(what=what, unit=unit, against=peer.name, missing=why_not[peer.name])
            for peer in peers
        ]

    def _in_trial(self, program: Sequence[str], schedule: Schedule) -> int:
        """The nanoseconds of a lap that *program* prints, run as a trial."""
        outcome = self._trial(program, schedule).outcome
        if outcome.exit_code != 0:
            raise RunnerError(f"{program[0]} did not end well in a trial: {outcome.describe()}")
        return int(outcome.stdout.head)

    def _trial(self, program: Sequence[str], schedule: Schedule) -> TrialResult:
        plan = TrialPlan(
            command=tuple(program),
            cwd=str(self._directory),
            home=str(self._directory),
            environment={"PATH": "/usr/bin:/bin"},
            schedule=schedule,
            deadline_s=_DEADLINE_S,
            step_limit=10**9,
        )
        return self._runner.run(plan)


def _alone(command: Sequence[str]) -> int:
    """The nanoseconds of a lap that a program prints, run as *command*."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RunnerError(f"{command[0]} failed here: {done.stderr.strip()[-200:]}")
    return int(done.stdout)
