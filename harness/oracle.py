"""What a trial's outcome says about the subject: findings, judged afterwards. Pure.

Without a golden outcome (that of the fault-free run) a trial is judged by itself: it must end, and
exit 0; where there are clients they must, for the service is told to end, once it has been ready.
With one, it must be
honest: either the result is the golden one, or the failure is to be seen; and only a fault that has
fired excuses a failure, so when none has, the order of events alone must not matter. What a trial
leaves is only held against it when the golden run does not leave it.
"""

from __future__ import annotations

from .calls import signal_name
from .verdict import FileChange, Finding, Outcome, Verdict

_ENDS = {
    "deadline": "does not end before the deadline",
    "stuck": "is stuck: nobody can go on",
    "steps": "does not end before the step limit",
}
#: Signals by which a program says that it has gone wrong itself, whatever was injected.
_OWN_FAULT = frozenset({"SEGV", "BUS", "ILL", "FPE", "ABRT", "SYS", "TRAP"})


def judge(root: str, outcome: Outcome, golden: Outcome | None = None) -> Verdict:
    """The verdict on *outcome*; *root* is the role of the subject's first task."""
    found = _ends(root, outcome)
    if not found:
        found = _by_itself(root, outcome) if golden is None else _against(root, outcome, golden)
    if found:
        return Verdict(status="FAIL", findings=tuple(found))
    return Verdict(status="PASS", findings=())


def is_unready(outcome: Outcome) -> bool:
    """Whether the service ended before it was ready, so that its clients never ran."""
    return outcome.end == "exited" and bool(outcome.report)


def status_in_words(status: int) -> str:
    """`exits 1` or `dies of SIGSEGV`, from a wait status."""
    signal = status & 0x7F
    return f"dies of SIG{signal_name(signal)}" if signal else f"exits {status >> 8}"


def _ends(root: str, outcome: Outcome) -> list[Finding]:
    if outcome.end not in _ENDS:
        return []
    return [Finding(oracle="ends", role=root, what=_ENDS[outcome.end], detail=outcome.report)]


def _statuses(root: str, outcome: Outcome) -> dict[str, int]:
    """The wait status of each command that has ended, by its role."""
    own = {} if outcome.status is None else {root: outcome.status}
    return own | {client.role: client.status for client in outcome.clients}


def _never_ready(root: str, outcome: Outcome) -> Finding:
    what = f"{status_in_words(outcome.status or 0)} before it is ready"
    return Finding(oracle="ready", role=root, what=what, detail=outcome.stderr.head)


def _by_itself(root: str, outcome: Outcome) -> list[Finding]:
    if is_unready(outcome):
        return [_never_ready(root, outcome)]
    return [
        Finding(
            oracle="status", role=role, what=status_in_words(status), detail=outcome.stderr.head
        )
        for role, status in _statuses(root, outcome).items()
        if status and (role != root or not outcome.clients or _is_own_fault(status))
    ]


def _is_own_fault(status: int) -> bool:
    signal = status & 0x7F
    return bool(signal) and signal_name(signal) in _OWN_FAULT


def _against(root: str, outcome: Outcome, golden: Outcome) -> list[Finding]:
    ends, ends_of_golden = _statuses(root, outcome), _statuses(root, golden)
    found = [
        Finding(oracle="honest-result", role=role, what=status_in_words(status))
        for role, status in ends.items()
        if status != ends_of_golden.get(role) and _is_own_fault(status)
    ]
    is_seen_to_fail = ends != ends_of_golden or outcome.stderr != golden.stderr
    if is_unready(outcome) and not is_unready(golden):
        # That the clients did not run is our doing; the service itself must be seen to fail.
        is_seen_to_fail = bool(outcome.status) or outcome.stderr != golden.stderr
        if not is_seen_to_fail or not any(outcome.fired):
            return [*found, _never_ready(root, outcome)]
    if not is_seen_to_fail or not any(outcome.fired):
        found += _differences(root, outcome, golden)
    for role in sorted(set(outcome.leftovers) - set(golden.leftovers)):
        found.append(Finding(oracle="leaves-nothing", role=role, what="is left running"))
    return found


def _differences(root: str, outcome: Outcome, golden: Outcome) -> list[Finding]:
    """The first thing that is not as in the golden run, though nothing excuses it."""
    oracle = "honest-result" if any(outcome.fired) else "order-does-not-matter"
    ends, ends_of_golden = _statuses(root, outcome), _statuses(root, golden)
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
            what = f"{how} with another {path}"
            return [Finding(oracle=oracle, role=root, what=what, detail=detail)]
    return []


def _by_path(files: tuple[FileChange, ...]) -> dict[str, FileChange]:
    return {change.path: change for change in files}
