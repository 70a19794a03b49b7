"""Which trial of those that find the same a sweep shows, and that each of its faults matters."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from harness._engine.pool import Pool
from harness._engine.sweep_cases import Case
from harness._engine.sweep_result import Found
from harness._engine.sweep_tally import Tally
from harness._engine.trial import TrialResult
from harness.report.sweep import block
from harness.schedule import Schedule, parse_fault_at
from harness.subject import TrialPlan
from tests.system.subjects import STUBBORN
from tests.system.support import plan, python

#: It makes one call more, before it says its word.
_SAYS = f"import os; os.access('x', 0)\n{STUBBORN}"


_GIVES_UP = """\
import os
try:
    if os.write(1, b'said') < 4:
        for _ in range(9):
            os.access('x', 0)
except OSError:
    pass
os._exit(0)
"""


def run(pool: Pool, subject: TrialPlan, schedule: Schedule) -> TrialResult:
    ((_, answer),) = pool.run([(0, replace(subject, schedule=schedule))])
    assert isinstance(answer, TrialResult)
    return answer


def judged(
    pool: Pool, subject: TrialPlan, cases: Sequence[Case]
) -> tuple[Tally, list[TrialResult]]:
    """What came of each of *cases*."""
    tally = Tally(subject, run(pool, subject, Schedule()).outcome, ())
    tally.add(cases)
    answers = [run(pool, subject, Schedule(faults=case.faults)) for case in cases]
    for number, answer in enumerate(answers):
        tally.take(number, answer)
    return tally, answers


def found(pool: Pool, after: str, at: str) -> list[Found]:
    """What is found by this pair of faults, shrunk."""
    pair = Case(point=0, kind="errno", at=parse_fault_at(at), after=parse_fault_at(after))
    tally, _ = judged(pool, plan(*python(_SAYS)), [pair])
    tally.shrink_pairs(pool, until=None, clock=time.monotonic)
    return [*tally.found(None)]


def test_a_fault_that_does_not_matter_is_left_out_and_named() -> None:
    with Pool(1) as pool:
        (one,) = found(pool, "access=ENOMEM", "write=short(2)")
    assert (str(one.fault), one.after) == ("main:write=short(2)", None)
    assert [str(at) for at in one.dropped] == ["main:access=ENOMEM"]
    lines = block(one, plan(*python(_SAYS)))
    assert lines[1].startswith("  main: write#1 moves at most 2 bytes")
    assert "  does not matter: main:access=ENOMEM" in lines


def test_where_both_matter_both_are_left_though_what_was_not_asked_for_would_do_alone() -> None:
    with Pool(1) as pool:
        (one,) = found(pool, "write=ENOSPC", "write#2=ENOSPC")
    assert [str(at) for at in one.faults] == ["main:write=ENOSPC", "main:write#2=ENOSPC"]
    assert one.dropped == ()
    assert one.shrunk is not None
    assert one.shrunk.complete


def test_of_what_finds_the_same_the_gentlest_is_shown_and_not_the_one_with_the_fewest_events() -> (
    None
):
    """It gives up when it has failed once, and makes more calls when a transfer is short."""
    subject = plan(*python(_GIVES_UP))
    cases = [
        Case(point=n, kind="errno", at=parse_fault_at(at))
        for n, at in enumerate(("write=ENOSPC", "write=short(1)"))
    ]
    with Pool(1) as pool:
        tally, answers = judged(pool, subject, cases)
    (one,) = tally.found(None)
    assert str(one.fault) == "main:write=short(1)"
    failed, short = answers
    assert len(failed.trace.events) < len(short.trace.events)
