"""Running a recording again, and saying what became of its finding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from ..errors import HarnessError, RunnerError
from ..oracle import Oracle, judged_by
from ..recording import Recording
from ..trace import Trace, first_difference
from ..verdict import Outcome, Verdict
from .record import plan_of, program_digest, read_input
from .runner import Runner
from .trial import TrialResult

Word = Literal["REPRODUCED", "FIXED", "CHANGED", "INCONCLUSIVE"]
CONTEXT = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Replay:
    """What one replay said: *word*, why, and where the trace went another way (None: nowhere)."""

    word: Word
    reason: str
    verdict: Verdict | None = None
    result: TrialResult | None = None
    divergence: str = ""

    @property
    def exit_status(self) -> int:
        """0 nothing found, or fixed; 1 the finding or another one; 3 it cannot be said."""
        if self.word == "REPRODUCED":
            return 1 if self.verdict is not None and self.verdict.status == "FAIL" else 0
        return {"FIXED": 0, "CHANGED": 1, "INCONCLUSIVE": 3}[self.word]


def replay(
    recording: Recording, times: int = 1, oracles: Sequence[Oracle] = ()
) -> Iterator[Replay]:
    """Run *recording* again, *times* times in one runner, and judge each run, by *oracles* too."""
    plan = plan_of(recording)
    with Runner() as runner:
        for _ in range(times):
            try:
                result = runner.run(plan)
            except RunnerError:
                raise
            except HarnessError as error:
                yield Replay(word="INCONCLUSIVE", reason=f"it cannot run: {error}")
                continue
            yield compare(recording, plan.roots[0], result, oracles)


def compare(
    recording: Recording, root: str, result: TrialResult, oracles: Sequence[Oracle] = ()
) -> Replay:
    """Judge *result* and hold it against the recording."""
    verdict = judged_by(oracles, root, result.outcome, recording.golden, result.schedule)
    then = {finding.identity() for finding in recording.verdict.findings}
    now = {finding.identity() for finding in verdict.findings}
    word: Word
    if now == then:
        word = "REPRODUCED"
        reason = verdict.findings[0].describe() if now else "no finding, as recorded"
    elif not now:
        word = "FIXED"
        reason = f"{recording.verdict.findings[0].describe()}: not any more"
        unfired = [
            str(at)
            for at, n in zip(recording.schedule.faults, result.outcome.fired, strict=True)
            if not n
        ]
        if unfired:
            reason += f" (the call of {', '.join(unfired)} is gone)"
    else:
        word = "CHANGED"
        before = recording.verdict.findings[0].describe() if then else "no finding"
        reason = f"{verdict.findings[0].describe()}; recorded was: {before}"
    return Replay(
        word=word,
        reason=reason,
        verdict=verdict,
        result=result,
        divergence=describe_divergence(recording, result.trace)
        or _describe_difference(recording.expected, result.outcome),
    )


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
    """The first event that is not the recorded one, with what led to it; empty when there is none,
    and in free mode, where the order of events is the machine's affair."""
    if recording.schedule.mode == "free":
        return ""
    at = first_difference(recording.trace, actual)
    if at is None:
        return ""
    expected, got = recording.trace.counted(), actual.counted()
    lines = [f"diverges at event {at + 1}"]
    lines += [f"    {event.line()}" for event in expected[max(0, at - CONTEXT) : at]]
    lines.append(f"  - {expected[at].line() if at < len(expected) else 'the end'}")
    lines.append(f"  + {got[at].line() if at < len(got) else 'the end'}")
    changed = _what_changed(recording)
    if changed:
        lines.append(f"  changed since the recording: {changed}")
    return "\n".join(lines)


def _what_changed(recording: Recording) -> str:
    import os
    import platform

    changed = []
    program = recording.function.file if recording.function else recording.command[0]
    first = os.path.join(recording.cwd, program)
    if program_digest(plan_of(recording)) != recording.program:
        changed.append(f"the program {program}")
    for file in recording.inputs:
        now = read_input(file.path)
        if file.program and now is not None and os.path.normpath(first) != file.path:
            if now.sha256 != file.sha256:
                changed.append(f"the program {file.path}")
        elif not file.program and file.content is None and now != file:
            changed.append(f"{file.path}, too large to be in the recording")
    if platform.release() != recording.versions.kernel:
        changed.append(f"the kernel, {recording.versions.kernel} then, {platform.release()} now")
    return "; ".join(changed)
