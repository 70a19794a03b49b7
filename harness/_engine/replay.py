"""Running a recording again, and saying what became of its finding."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from .. import __version__
from ..errors import HarnessError, RunnerError
from ..fingerprint import changed_file, changed_machine, in_few_lines
from ..oracle import Oracle, judged_by
from ..recording import Recording
from ..trace import NO_ROLE, Trace, first_difference
from ..verdict import Outcome, Verdict
from .fingerprints import digest_of, machine_now, program_path
from .record import plan_of, program_digest
from .runner import Runner
from .trial import TrialResult

Word = Literal["REPRODUCED", "FIXED", "CHANGED", "DIVERGED", "INCONCLUSIVE"]
CONTEXT = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Replay:
    """What one replay said: *word*, why, and where the trace went another way (empty: nowhere).

    *changed* is what is not as it was when the recording was made, where that may explain
    something: a line each."""

    word: Word
    reason: str
    verdict: Verdict | None = None
    result: TrialResult | None = None
    divergence: str = ""
    changed: tuple[str, ...] = ()

    @property
    def exit_status(self) -> int:
        """0 nothing found, or fixed; 1 the finding or another one; 3 it cannot be said, or what was
        asked to be exact is not."""
        if self.word == "REPRODUCED":
            return 1 if self.verdict is not None and self.verdict.status == "FAIL" else 0
        return {"FIXED": 0, "CHANGED": 1, "DIVERGED": 3, "INCONCLUSIVE": 3}[self.word]


def replay(
    recording: Recording,
    times: int = 1,
    oracles: Sequence[Oracle] = (),
    *,
    exact: bool = False,
    debug: bool = False,
    coverage: str | None = None,
) -> Iterator[Replay]:
    """Run *recording* again, *times* times in one runner, and judge each run, by *oracles* too.
    *exact*: one that goes another way is DIVERGED, whatever is found. *debug*: in the foreground,
    see `TrialPlan.for_debugger`. *coverage*: the directory for what is measured; a recording whose
    lines were measured is measured again in any case."""
    plan = plan_of(recording)
    if coverage is not None:
        plan = replace(plan, coverage=coverage)
    if debug:
        plan = plan.for_debugger()
    with Runner() as runner:
        for _ in range(times):
            try:
                result = runner.run(plan)
            except RunnerError:
                raise
            except HarnessError as error:
                yield Replay(
                    word="INCONCLUSIVE",
                    reason=f"it cannot run: {error}",
                    changed=tuple(changed_since(recording)),
                )
                continue
            answer = compare(recording, plan.roots[0], result, oracles, exact=exact)
            # A debugger makes calls of its own: of course it goes another way.
            yield replace(answer, divergence="", changed=()) if debug else answer


def compare(
    recording: Recording,
    root: str,
    result: TrialResult,
    oracles: Sequence[Oracle] = (),
    *,
    exact: bool = False,
) -> Replay:
    """Judge *result* and hold it against the recording."""
    verdict = judged_by(oracles, root, result.outcome, recording.golden, result.schedule)
    word, reason = _compared(recording, verdict, result.outcome)
    divergence = describe_divergence(recording, result.trace) or _describe_difference(
        recording.expected, result.outcome
    )
    explains = bool(divergence) or word != "REPRODUCED"
    if exact and divergence:
        word, reason = "DIVERGED", f"otherwise {word}: {reason}"
    return Replay(
        word=word,
        reason=reason,
        verdict=verdict,
        result=result,
        divergence=divergence,
        changed=tuple(changed_since(recording)) if explains else (),
    )


def _compared(recording: Recording, verdict: Verdict, outcome: Outcome) -> tuple[Word, str]:
    """What became of the findings, and why that is said."""
    then = {finding.identity() for finding in recording.verdict.findings}
    now = {finding.identity() for finding in verdict.findings}
    if now == then:
        return "REPRODUCED", verdict.findings[0].describe() if now else "no finding, as recorded"
    if now:
        before = recording.verdict.findings[0].describe() if then else "no finding"
        return "CHANGED", f"{verdict.findings[0].describe()}; recorded was: {before}"
    reason = f"{recording.verdict.findings[0].describe()}: not any more"
    faults = zip(recording.schedule.faults, outcome.fired, strict=True)
    if unfired := [str(at) for at, fired in faults if not fired]:
        reason += f" (the call of {', '.join(unfired)} is gone)"
    return "FIXED", reason


def _describe_difference(expected: Outcome, got: Outcome) -> str:
    """What came out differently although every call was the same: time and randomness are not
    held."""
    what = [
        name
        for name in ("status", "stdout", "stderr", "files")
        if getattr(expected, name) != getattr(got, name)
    ]
    return f"the same calls, but not the same {' and '.join(what)} as recorded" if what else ""


def describe_divergence(recording: Recording, actual: Trace) -> str:
    """The first event that is not the recorded one, with what led to it, the same in both; empty
    when there is none, and in free mode, where the order of events is the machine's affair."""
    if recording.schedule.mode == "free":
        return ""
    at = first_difference(recording.trace, actual)
    if at is None:
        return ""
    expected, got = recording.trace.counted(), actual.counted()
    ours, theirs = expected[at : at + 1], got[at : at + 1]
    roles = dict.fromkeys(event.role for event in (*ours, *theirs) if event.role != NO_ROLE)
    whose = f", {' and '.join(roles)}" if roles else ""
    lines = [f"diverges at event {at + 1}{whose}; expected (-) and actual (+):"]
    lines += [f"    {event.line()}" for event in expected[max(0, at - CONTEXT) : at]]
    lines.append(f"  - {ours[0].line() if ours else 'the end'}")
    lines.append(f"  + {theirs[0].line() if theirs else 'the end'}")
    return "\n".join(lines)


# ---- What has changed since ----------------------------------------------------------------------


def changed_since(recording: Recording) -> list[str]:
    """What is not as it was when *recording* was made, as far as it tells; a few lines."""
    return in_few_lines([*_changed_files(recording), *_changed_machine(recording)])


def _changed_files(recording: Recording) -> Iterator[str]:
    plan = plan_of(recording)
    path = program_path(plan)
    if program_digest(plan) != recording.program:
        named = recording.function.file if recording.function else recording.command[0]
        yield changed_file(path or named, bool(path))
    then = dict(recording.fingerprint.files if recording.fingerprint else ())
    for file in recording.inputs:
        if file.program or file.content is None:
            then[file.path] = file.sha256
    for name, before in then.items():
        now = digest_of(name)
        # What is not here is taken from the recording, if it is in there.
        if name != path and now != before and (now or not _is_laid_in(recording, name)):
            yield changed_file(name, bool(now))


def _is_laid_in(recording: Recording, path: str) -> bool:
    return any(file.path == path and file.content is not None for file in recording.inputs)


def _changed_machine(recording: Recording) -> Iterator[str]:
    versions = recording.versions
    for name, before, now in (
        ("Linux", versions.kernel, platform.release()),
        ("Python", versions.python, platform.python_version()),
        ("faultharness", versions.faultharness, __version__),
    ):
        if before != now:
            yield f"{name} {before} -> {now}"
    if recording.fingerprint is not None:
        yield from changed_machine(recording.fingerprint, machine_now())
