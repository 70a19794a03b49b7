"""What a trial's outcome says about the subject: findings, judged afterwards. Pure.

Without a golden outcome (that of the fault-free run) a trial is judged by itself: it must end, and
exit 0; where there are clients they must, for the service is told to end, once it has been ready.
With one, it must be
honest: either the result is the golden one, or the failure is to be seen; and only a fault that has
fired excuses a failure, so when none has, the order of events alone must not matter. What a trial
leaves is only held against it when the golden run does not leave it. A service whose clients tell
what they saw is asked for more (served.py), and is excused less (excuses.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from traceback import extract_tb

from .errors import printable
from .excuses import Excused, excused, signals_sent
from .schedule import RESTARTED, Schedule
from .served import (
    Case,
    clients_of,
    honest_result,
    is_served,
    leaves_nothing,
    order_does_not_matter,
    recovers,
    reports_the_truth,
    statuses,
)
from .strict import type_name
from .usual import as_usual
from .verdict import FileChange, Finding, Outcome, Verdict, what_differs
from .verdict import status_in_words as status_in_words

#: A user's own: given the outcome and that of the golden run, if there is one, what is wrong. A
#: string is a finding in a line, and any more lines are for the reader.
Oracle = Callable[[Outcome, Outcome | None], Iterable[Finding | str]]

_ENDS = {
    "deadline": "does not end before the deadline",
    "stuck": "is stuck: nobody can go on",
    "steps": "does not end before the step limit",
}
_NO_FAULT = Schedule()


def judge(
    root: str, outcome: Outcome, golden: Outcome | None = None, schedule: Schedule = _NO_FAULT
) -> Verdict:
    """The verdict on *outcome*; *root* is the role of the subject's first task. *schedule* is what
    *outcome* is the outcome of: it says what is excused where clients tell what they saw."""
    return judged_by((), root, outcome, golden, schedule)


def judged_by(
    oracles: Sequence[Oracle],
    root: str,
    outcome: Outcome,
    golden: Outcome | None = None,
    schedule: Schedule = _NO_FAULT,
) -> Verdict:
    """As judge(), with what *oracles* find besides, unless the trial did not end: then there is
    nothing whole to be judged. An oracle that raises makes the verdict INCONCLUSIVE; what the
    others find stands, so that with a finding it is FAIL. What may differ from *golden* is not held
    against it, but *oracles* are shown all of it."""
    found: list[Finding] = []
    broken: list[str] = []
    usual = outcome if golden is None else as_usual(outcome, golden)
    own = _own(root, usual, golden, schedule)
    theirs = [(_name_of(oracle), _ask(oracle, outcome, golden)) for oracle in oracles]
    for name, ask in own if outcome.end in _ENDS else [*own, *theirs]:
        try:
            found += ask()
        except Exception as error:  # whatever it is: it must not pass for a verdict
            broken.append(_reason(name, error))
    reason = "; ".join(broken)
    if found:
        return Verdict(status="FAIL", findings=tuple(found), reason=reason)
    if broken:
        return Verdict(status="INCONCLUSIVE", reason=reason)
    return Verdict(status="PASS")


def is_unready(outcome: Outcome) -> bool:
    """Whether the service ended before it was ready, so that its clients never ran."""
    return outcome.end == "exited" and bool(outcome.report)


# ---- Whom to ask ---------------------------------------------------------------------------------

_Asked = list[tuple[str, Callable[[], Iterable[Finding]]]]


def _own(root: str, outcome: Outcome, golden: Outcome | None, schedule: Schedule) -> _Asked:
    """The oracles that everybody gets, the cause before what follows from it."""

    def case() -> Case:
        assert golden is not None
        why = excused(
            root, clients_of(golden), schedule, outcome.fired, one_process=golden.one_process
        )
        return Case(root=root, outcome=outcome, golden=golden, excused=why)

    served = golden is not None and is_served(golden)
    invariants: _Asked = [("invariant", lambda: _broken(outcome))]
    if outcome.end in _ENDS:
        return [("ends", lambda: _ends(root, outcome, case() if served else None)), *invariants]
    asked = [*invariants, ("reports-the-truth", lambda: reports_the_truth(outcome.history))]
    if golden is None:
        asked.append(("status", lambda: _by_itself(root, outcome, schedule)))
    elif not served:
        signals = signals_sent(schedule, outcome.fired)
        asked.append(("honest-result", lambda: _against(root, outcome, golden, signals)))
    else:
        asked.append(("recovers", lambda: recovers(case())))
        if any(outcome.fired) or schedule.limits:
            asked.append(("honest-result", lambda: honest_result(case())))
        else:
            asked.append(("order-does-not-matter", lambda: order_does_not_matter(case())))
        asked.append(("leaves-nothing", lambda: leaves_nothing(case())))
    return asked


def _ask(
    oracle: Oracle, outcome: Outcome, golden: Outcome | None
) -> Callable[[], Iterable[Finding]]:
    def findings() -> Iterator[Finding]:
        said = oracle(outcome, golden)
        if isinstance(said, str) or said is None:
            raise TypeError("it must give its findings in a list, or yield them")
        for one in said:
            if isinstance(one, Finding):
                yield one
                continue
            if not isinstance(one, str):
                raise TypeError(f"{type_name(one)} is no finding")
            what, _, detail = one.strip().partition("\n")
            yield Finding(
                oracle=_name_of(oracle), role="", what=printable(what), detail=detail.strip()
            )

    return lambda: [*findings()]


def _name_of(oracle: Oracle) -> str:
    return printable(getattr(oracle, "__name__", type(oracle).__name__))


def _reason(name: str, error: Exception) -> str:
    where = extract_tb(error.__traceback__)[-1]
    said = f"{type(error).__name__}: {error}".rstrip(": ")
    return printable(f"the oracle {name} raised {said} ({where.filename}:{where.lineno})")


# ---- What is asked of any command ----------------------------------------------------------------


def _ends(root: str, outcome: Outcome, case: Case | None) -> list[Finding]:
    if case is not None and case.excused.stuck and outcome.end != "steps":
        return []
    return [Finding(oracle="ends", role=root, what=_ENDS[outcome.end], detail=outcome.report)]


def _broken(outcome: Outcome) -> list[Finding]:
    return [
        Finding(
            oracle="invariant",
            role=one.role,
            what=f"breaks {one.invariant}",
            detail=f"{one.found}, after event {one.event}",
        )
        for one in outcome.broken
    ]


def _never_ready(root: str, status: int, outcome: Outcome) -> Finding:
    what = f"{status_in_words(status)} before it is ready"
    return Finding(oracle="ready", role=root, what=what, detail=outcome.stderr.head)


def _by_itself(root: str, outcome: Outcome, schedule: Schedule) -> list[Finding]:
    ends = statuses(root, outcome)
    if RESTARTED in ends and not excused(root, (), schedule, outcome.fired).ended:
        what = f"{status_in_words(outcome.status or 0)} while it should serve"
        return [Finding(oracle="recovers", role=root, what=what, detail=outcome.stderr.head)]
    if is_unready(outcome):
        last = RESTARTED if RESTARTED in ends else root
        return [_never_ready(last, ends.get(last, 0), outcome)]
    return [
        Finding(
            oracle="status", role=role, what=status_in_words(status), detail=outcome.stderr.head
        )
        for role, status in ends.items()
        if status
        and (role not in (root, RESTARTED) or not outcome.clients or Excused().is_own_fault(status))
    ]


def _against(
    root: str, outcome: Outcome, golden: Outcome, signals: frozenset[str]
) -> list[Finding]:
    ends, ends_of_golden = statuses(root, outcome), statuses(root, golden)
    sent = Excused(signals=signals)
    found = [
        Finding(oracle="honest-result", role=role, what=status_in_words(status))
        for role, status in ends.items()
        if status != ends_of_golden.get(role) and sent.is_own_fault(status)
    ]
    is_seen_to_fail = ends != ends_of_golden or outcome.stderr != golden.stderr
    if is_unready(outcome) and not is_unready(golden):
        # That the clients did not run is our doing; the service itself must be seen to fail.
        is_seen_to_fail = bool(outcome.status) or outcome.stderr != golden.stderr
        if not is_seen_to_fail or not any(outcome.fired):
            return [*found, _never_ready(root, outcome.status or 0, outcome)]
    if not is_seen_to_fail or not any(outcome.fired):
        found += _differences(root, outcome, golden)
    for role in sorted(set(outcome.leftovers) - set(golden.leftovers)):
        found.append(Finding(oracle="leaves-nothing", role=role, what="is left running"))
    return found


def _differences(root: str, outcome: Outcome, golden: Outcome) -> list[Finding]:
    """The first thing that is not as in the golden run, though nothing excuses it."""
    oracle = "honest-result" if any(outcome.fired) else "order-does-not-matter"
    ends, ends_of_golden = statuses(root, outcome), statuses(root, golden)
    for role, status in ends_of_golden.items():
        if ends.get(role) != status:
            what = status_in_words(ends[role]) if role in ends else "does not end"
            detail = f"the golden run {status_in_words(status)}"
            return [Finding(oracle=oracle, role=role, what=what, detail=detail)]
    how = status_in_words(outcome.status or 0)
    for what, mine, its in (
        ("another output", outcome.stdout, golden.stdout),
        ("other diagnostics", outcome.stderr, golden.stderr),
    ):
        if mine != its:
            detail = f"expected {its.head!r}, got {mine.head!r}"
            return [Finding(oracle=oracle, role=root, what=f"{how} with {what}", detail=detail)]
    got, wanted = _by_path(outcome.files), _by_path(golden.files)
    for path in sorted(got.keys() | wanted.keys()):
        if got.get(path) != wanted.get(path):
            expected = wanted[path].describe() if path in wanted else "none"
            detail = f"expected {expected}, got {got[path].describe() if path in got else 'none'}"
            what = f"{how} with {what_differs(got.get(path), wanted.get(path))}"
            return [Finding(oracle=oracle, role=root, what=what, detail=detail)]
    return []


def _by_path(files: tuple[FileChange, ...]) -> dict[str, FileChange]:
    return {change.path: change for change in files}
