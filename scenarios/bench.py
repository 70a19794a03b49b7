"""Trying subjects: trials in one runner, judged against the golden run; each failure is recorded
and reported as a bug report that ends in the line that repeats it.

The engine, the oracle and the store are those of the command line.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from harness._engine import store
from harness._engine.record import record
from harness._engine.runner import Runner
from harness._engine.trial import TrialResult
from harness.oracle import judge
from harness.points import Point, points
from harness.schedule import Schedule
from harness.verdict import Finding, Verdict
from scenarios.subjects import PATH, Subject

REPORT_LINES_MAX = 10
_DETAIL_MAX = 160


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """A finding in a program that is as it is: reported elsewhere, documented, or not ours to mend.

    *at* and *what* are patterns of the fault (or `seed N`) and of the finding. It must be found: a
    finding that has vanished was mended, or is not looked for any more.
    """

    subject: Subject
    at: str
    what: str
    why: str

    def is_it(self, subject: Subject, label: str, finding: Finding) -> bool:
        return (
            subject is self.subject
            and fnmatchcase(label, self.at)
            and fnmatchcase(finding.describe(), self.what)
        )


@dataclass(kw_only=True, slots=True)
class Tally:
    """What a session did: for the line at its end."""

    trials: int = 0
    fired: int = 0
    findings: int = 0
    known: int = 0
    there: dict[str, int] = field(default_factory=dict)
    tried: set[str] = field(default_factory=set)

    def add(self, other: dict[str, Any]) -> None:
        """Add what another process has counted, as `to_json` gave it."""
        self.trials += other["trials"]
        self.fired += other["fired"]
        self.findings += other["findings"]
        self.known += other["known"]
        self.there.update(other["there"])
        self.tried.update(other["tried"])

    def to_json(self) -> dict[str, Any]:
        return {
            "trials": self.trials,
            "fired": self.fired,
            "findings": self.findings,
            "known": self.known,
            "there": self.there,
            "tried": sorted(self.tried),
        }

    def describe(self, seconds: float) -> str:
        return (
            f"{self.trials} trials, {self.trials / max(seconds, 0.001):.0f}/s;"
            f" faults at {len(self.tried)} of {sum(self.there.values())} calls,"
            f" {self.fired} fired; {self.findings} findings, {self.known} known ones;"
            f" {seconds:.0f} s"
        )


class Failure(NamedTuple):
    """One trial that went wrong in a way that nothing excuses."""

    label: str
    schedule: Schedule
    result: TrialResult
    verdict: Verdict


class Bench:
    """One runner, the golden runs that it has made, and where recordings go."""

    def __init__(
        self, runner: Runner, folder: Path, tally: Tally, cpu: int | None = None, step: int = 1
    ) -> None:
        """*step*: of the schedules that a test has, every so many is tried (1: all)."""
        self.tally = tally
        self._step = step
        self._runner = runner
        self._folder = folder
        self._cpu = cpu
        self._golden: dict[str, TrialResult] = {}

    def golden(self, subject: Subject) -> TrialResult:
        """The run of *subject* in which nothing goes wrong. Skips the test where it cannot be."""
        if subject.name not in self._golden:
            require(subject)
            result = self._run(subject, Schedule())
            verdict = judge(subject.plan(Schedule()).roots[0], result.outcome)
            assert verdict.status == "PASS", f"{subject.name}: {verdict.describe()}"
            self._golden[subject.name] = result
            there = _points(result, subject)
            self.tally.there[subject.name] = len(there)
        return self._golden[subject.name]

    def points(self, subject: Subject) -> list[Point]:
        """The calls of *subject* at which something may go wrong."""
        return _points(self.golden(subject), subject)

    def try_each(
        self, subject: Subject, schedules: Iterable[Schedule], known: Sequence[Known] = ()
    ) -> None:
        """Run a trial for each of *schedules*; fail the test with what is found beyond *known*."""
        expected = [one for one in known if one.subject is subject]
        met: set[int] = set()
        failures: list[Failure] = []
        count = 0
        for schedule in self._some(schedules, expected):
            count += 1
            failure = self._try(subject, schedule)
            if failure is None:
                continue
            new = []
            for finding in failure.verdict.findings:
                these = {
                    i
                    for i, one in enumerate(expected)
                    if one.is_it(subject, failure.label, finding)
                }
                met |= these
                new += [] if these else [finding]
            if new:
                failures.append(failure)
        self.tally.known += len(met)
        assert count, f"{subject.name} makes no call at which this could go wrong"
        if failures:
            pytest.fail(self._report(subject, failures), pytrace=False)
        vanished = [one for i, one in enumerate(expected) if i not in met]
        if vanished:
            pytest.fail(_say_vanished(vanished[0]), pytrace=False)

    def _some(self, schedules: Iterable[Schedule], known: Sequence[Known]) -> Iterator[Schedule]:
        """Every so many of them, and each at which something is known: that must be found again."""
        for i, schedule in enumerate(schedules):
            label = label_of(schedule)
            if i % self._step == 0 or any(fnmatchcase(label, one.at) for one in known):
                yield schedule

    def _try(self, subject: Subject, schedule: Schedule) -> Failure | None:
        golden = self.golden(subject)
        result = self._run(subject, schedule)
        for at, fired in zip(schedule.faults, result.outcome.fired, strict=True):
            self.tally.fired += bool(fired)
            if fired:
                self.tally.tried.add(f"{subject.name} {at.at}")
        verdict = judge(subject.plan(schedule).roots[0], result.outcome, golden.outcome)
        if verdict.status == "PASS":
            return None
        return Failure(label_of(schedule), schedule, result, verdict)

    def _run(self, subject: Subject, schedule: Schedule) -> TrialResult:
        self.tally.trials += 1
        return self._runner.run(subject.plan(schedule, self._cpu))

    def _report(self, subject: Subject, failures: Sequence[Failure]) -> str:
        """A bug report: what broke, the smallest cause, the line that repeats it."""
        groups: dict[tuple[str, str, str], list[Failure]] = {}
        for failure in failures:
            groups.setdefault(failure.verdict.findings[0].identity(), []).append(failure)
        self.tally.findings += len(groups)
        blocks = [self._block(subject, group) for group in groups.values()]
        lines = blocks[0]
        for other in blocks[1:]:
            if len(lines) + 2 <= REPORT_LINES_MAX:
                lines += [other[0], other[-1]]
        return "\n".join(lines)

    def _block(self, subject: Subject, group: Sequence[Failure]) -> list[str]:
        first = min(group, key=lambda failure: len(failure.result.trace.events))
        finding = first.verdict.findings[0]
        lines = [f"FAIL {subject.name}: {finding.describe()}", f"  {_cause(first)}"]
        if finding.detail:
            lines.append(f"  {_clipped(finding.detail)}")
        if len(group) > 1:
            others = ", ".join(failure.label for failure in group if failure is not first)
            lines.append(f"  and in {len(group) - 1} more: {_clipped(others)}")
        return [*lines, f"  {self._repeat_line(subject, first)}"]

    def _repeat_line(self, subject: Subject, failure: Failure) -> str:
        plan = subject.plan(failure.schedule)
        golden = self.golden(subject).outcome
        try:
            ident = store.save(
                record(plan, failure.result, failure.verdict, golden), str(self._folder)
            )
        except OSError as error:
            return f"not recorded: {error}"
        # An id means something in the directory whose .harness it is in; a path does everywhere.
        here = self._folder.parent == Path.cwd()
        return f"repeat: harness replay {ident if here else self._folder / ident}"


def _points(golden: TrialResult, subject: Subject) -> list[Point]:
    return [*points(golden.trace, subject.roles, phases=subject.phases)]


def require(subject: Subject) -> None:
    """Skip the test, with the fix, where something that *subject* needs is not here."""
    for need, packages in subject.needs.items():
        if not _is_here(need):
            pytest.skip(f"no `{need}` here; fix: apt-get install {packages}")


@cache
def _is_here(need: str) -> bool:
    program, *arguments = need.split()
    path = shutil.which(program, path=PATH)
    if path is None or not arguments:
        return path is not None
    done = subprocess.run([path, *arguments], capture_output=True, env={"PATH": PATH})
    return done.returncode == 0


def label_of(schedule: Schedule) -> str:
    """What is tried, in a word or two: the fault, or the seed."""
    return ", ".join(str(at) for at in schedule.faults) or f"seed {schedule.seed}"


def _cause(failure: Failure) -> str:
    if failure.schedule.faults:
        return "; ".join(at.describe() for at in failure.schedule.faults)
    switches = len(failure.result.schedule.switches)
    return f"in another order of events: {failure.label}, {switches} switches, no fault"


def _clipped(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _DETAIL_MAX else line[:_DETAIL_MAX] + "..."


def _say_vanished(known: Known) -> str:
    return (
        f"{known.subject.name}: a known finding was not found any more\n"
        f"  {known.at}: {known.what}\n"
        f"  it was: {_clipped(known.why)}\n"
        f"  mended in this version of the program? then take it out of the list"
    )
