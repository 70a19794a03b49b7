"""What is held against a service whose clients tell what they saw, beside its golden run. Pure.

Its result is what its clients were given, not what it wrote to its standard output and error: these
are everybody's, and may say of a fault whatever they like.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

from .errors import printable
from .excuses import Excused, is_within
from .history import Operation
from .schedule import FRESH, RESTARTED
from .verdict import FileChange, Finding, Outcome, status_in_words, what_differs

_NAME_MAX = 60
_WORDS = {"ok": "succeeds", "fail": "fails", "info": "is cut off", "wrong": "is answered wrongly"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """What the oracles are given: *root* is the role of the service, *excused* what may fail."""

    root: str
    outcome: Outcome
    golden: Outcome
    excused: Excused

    @property
    def oracle(self) -> str:
        """Which of the two oracles a result that is not the golden one is against."""
        return "honest-result" if self.excused.said else "order-does-not-matter"

    @property
    def has_recovery(self) -> bool:
        """Whether a fresh client is served at the end."""
        return FRESH in statuses(self.root, self.golden)

    @property
    def was_restarted(self) -> bool:
        """Whether the service had died by the end of the clients' work."""
        return RESTARTED in statuses(self.root, self.outcome)

    @property
    def never_served(self) -> bool:
        """Whether no client of the plan ran: the service was not ready while the faults were on."""
        ran = {client.role for client in self.outcome.clients}
        ran |= {operation.role for operation in self.outcome.history}
        return bool(self.clients) and not any(
            is_within(role, client) for role in ran for client in self.clients
        )

    @property
    def never_ready(self) -> bool:
        """Whether that is so since it had ended, and was not only held."""
        is_gone = self.was_restarted or self.outcome.report != self.golden.report
        return self.never_served and is_gone

    @property
    def clients(self) -> list[str]:
        """The roles of the plan's own clients."""
        return clients_of(self.golden)

    def seen(self) -> list[Seen]:
        """What the plan's own clients saw."""
        return [] if self.never_served else [_seen(client, self) for client in self.clients]


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What one client saw that is not as in the golden run.

    *failed* are the places in the history of what failed visibly; *end* is how the client ended,
    where that is otherwise; *silent* is what is otherwise although nothing says so."""

    client: str
    failed: tuple[int, ...] = ()
    end: str = ""
    silent: str = ""

    @property
    def is_golden(self) -> bool:
        """Whether it is all as in the golden run."""
        return not (self.failed or self.end or self.silent)


def is_served(golden: Outcome) -> bool:
    """Whether the clients of *golden* say what they saw, or a fresh one is served at the end."""
    return bool(golden.history) or FRESH in statuses("", golden)


def clients_of(golden: Outcome) -> list[str]:
    """The roles of the plan's own clients: not the one that is served at the end."""
    return [client.role for client in golden.clients if client.role not in (FRESH, RESTARTED)]


def statuses(root: str, outcome: Outcome) -> dict[str, int]:
    """The wait status of each command that has ended, by its role; *root* is that of the first."""
    own = {} if outcome.status is None else {root: outcome.status}
    return own | {client.role: client.status for client in outcome.clients}


# ---- The oracles ---------------------------------------------------------------------------------


def reports_the_truth(history: tuple[Operation, ...]) -> Iterator[Finding]:
    """No client is told what must not be: no fault excuses that."""
    for one in history:
        if one.result == "wrong":
            yield Finding(
                oracle="reports-the-truth", role=one.role, what=_in_words(one), detail=one.detail
            )


def recovers(case: Case) -> Iterator[Finding]:
    """The service outlives what is not to kill it, and when the faults are off serves as ever."""
    yield from _survives(case)
    if not case.has_recovery or case.excused.late:
        return
    ends, wanted = statuses(case.root, case.outcome), statuses(case.root, case.golden)
    last = RESTARTED if case.was_restarted else case.root
    if FRESH not in ends:
        how = status_in_words(ends[last]) if last in ends else "does not end"
        what = f"{how} before a fresh client is served"
        yield Finding(oracle="recovers", role=last, what=what, detail=case.outcome.stderr.head)
        return
    if difference := _difference(FRESH, case):
        what, detail = difference
        yield Finding(oracle="recovers", role=FRESH, what=what, detail=detail)
    if last == RESTARTED and ends[last] != wanted.get(case.root):
        yield _another_end(case, "recovers", RESTARTED)


def _survives(case: Case) -> Iterator[Finding]:
    status, stderr, excused = case.outcome.status, case.outcome.stderr, case.excused
    if status is None or excused.ended:
        return
    how = status_in_words(status)
    if case.never_ready:
        is_said = stderr.size > 0 and stderr != case.golden.stderr
        if not (excused.refused and status and is_said):
            silently = ", and says nothing" if excused.refused and status else ""
            what = f"{how} before it is ready{silently}"
            yield Finding(oracle="ready", role=case.root, what=what, detail=stderr.head)
    elif case.was_restarted:
        what = f"{how} while it should serve"
        yield Finding(oracle="recovers", role=case.root, what=what, detail=stderr.head)


def honest_result(case: Case) -> Iterator[Finding]:
    """A client is given what it is in the golden run, or sees that it is not; and no more of them
    fail than the faults excuse."""
    for role, status in statuses(case.root, case.outcome).items():
        if case.excused.is_own_fault(status):
            yield _another_end(case, "honest-result", role)
    if case.was_restarted and not case.excused.ended:
        return  # it is held against the service that it ended; what the clients saw follows
    seen = case.seen()
    yield from _beyond_what_is_excused(case, seen)
    yield from _stops_otherwise(case)
    if all(one.is_golden for one in seen) and not case.was_restarted and not case.never_served:
        # Nobody has seen anything fail, so what the service keeps must be what it keeps ever.
        if case.outcome.stderr == case.golden.stderr:
            yield from _written(case)
        yield from _kept(case)


def _beyond_what_is_excused(case: Case, seen: list[Seen]) -> Iterator[Finding]:
    history, excused = case.outcome.history, case.excused
    failures: list[tuple[int, str, str]] = []
    for one in seen:
        if one.client in excused.clients:
            continue
        failures += [(at, history[at].role, _in_words(history[at])) for at in one.failed]
        if one.end and not one.failed:
            failures.append((len(history), one.client, one.end))
        if one.silent:
            detail = "nothing that the client saw says so"
            yield Finding(oracle="honest-result", role=one.client, what=one.silent, detail=detail)
    if excused.operations is None:
        return
    # The first to fail is the one that was hit: whoever fails later does so because of it.
    told = set[str]()
    for at, role, what in sorted(failures)[excused.operations :]:
        if role not in told:
            told.add(role)
            detail = history[at].detail if at < len(history) else case.outcome.stderr.head
            yield Finding(oracle="honest-result", role=role, what=what, detail=detail)


def _stops_otherwise(case: Case) -> Iterator[Finding]:
    mine, its = case.outcome.status, case.golden.status
    if mine is None or mine == its or case.excused.ended or case.never_ready:
        return
    is_said = mine != 0 or case.outcome.stderr != case.golden.stderr
    if not (case.excused.stopped and is_said) and not case.excused.is_own_fault(mine):
        yield _another_end(case, "honest-result", case.root)


def order_does_not_matter(case: Case) -> Iterator[Finding]:
    """Where no fault fired, all is as in the golden run, client by client."""
    ends, wanted = statuses(case.root, case.outcome), statuses(case.root, case.golden)
    if case.was_restarted or case.never_ready:
        return  # it is held against the service that it ended
    for role in wanted | ends:
        if role == case.root:
            if ends.get(role) != wanted.get(role):
                yield _another_end(case, case.oracle, role)
        elif role != FRESH and (difference := _difference(role, case)):
            what, detail = difference
            yield Finding(oracle=case.oracle, role=role, what=what, detail=detail)
    yield from _written(case)
    yield from _kept(case)


def leaves_nothing(case: Case) -> Iterator[Finding]:
    """No process and no name is left that the golden run does not leave."""
    usual = set(case.golden.leftovers)
    for role in case.outcome.leftovers:
        as_ever = role.replace(RESTARTED, case.root, 1) if is_within(role, RESTARTED) else role
        is_own = any(is_within(role, client) for client in case.excused.clients)
        if as_ever not in usual and not is_own:
            yield Finding(oracle="leaves-nothing", role=role, what="is left running")
    wanted = {change.path for change in case.golden.files}
    more = [change for change in case.outcome.files if change.path not in wanted]
    if not _may_stay(case, more):
        yield from _left(case, more)


def _may_stay(case: Case, more: list[FileChange]) -> bool:
    died = case.excused.ended and case.outcome.status != case.golden.status
    if died and not case.was_restarted:
        return True  # until it is started again, which it was not
    if not case.excused.name_stays or case.outcome.stderr == case.golden.stderr:
        return False
    deepest = max((change.path for change in more), key=len, default="")
    return all(f"{deepest}/".startswith(f"{change.path}/") for change in more)


def _left(case: Case, more: list[FileChange]) -> Iterator[Finding]:
    told = set[str]()
    paths = {change.path for change in more}
    for change in more:
        folder = posixpath.dirname(change.path)
        if folder in paths:
            continue  # it is left with what it lies in
        # Not its name, which may be drawn at random, and so another in each run.
        deleted = change.kind == "deleted"
        what = f"deletes {change.path}" if deleted else f"leaves a {change.kind} in {folder}"
        if what not in told:
            told.add(what)
            detail = ", ".join(sorted(paths))
            yield Finding(
                oracle="leaves-nothing", role=case.root, what=printable(what), detail=detail
            )


# ---- Side by side --------------------------------------------------------------------------------


def _seen(client: str, case: Case) -> Seen:
    history = case.outcome.history
    left = Counter(_key(one) for one in case.golden.history if is_within(one.role, client))
    failed, more, is_wrong = [], [], False
    for at, one in enumerate(history):
        if not is_within(one.role, client):
            continue
        if left[_key(one)] > 0:
            left[_key(one)] -= 1
        elif one.result == "wrong":
            is_wrong = True
        elif one.result == "ok":
            more.append(one)
        else:
            failed.append(at)
    ends, wanted = statuses(case.root, case.outcome), statuses(case.root, case.golden)
    end = ""
    if ends.get(client) != wanted[client]:
        end = status_in_words(ends[client]) if client in ends else "does not run"
        if client in ends and case.excused.is_own_fault(ends[client]):
            is_wrong, end = True, ""
    silent = ""
    if not (failed or is_wrong or end):
        missing = [f"{_name(name)} is not begun" for (_, name, _), n in left.items() if n > 0]
        silent = next((_in_words(one) for one in more), next(iter(missing), ""))
    return Seen(
        client=client,
        failed=tuple(at for at in failed if not _has_inner(history, at, failed)),
        end=end,
        silent=silent,
    )


def _key(one: Operation) -> tuple[str, str, str]:
    return one.role, one.name, one.result


def _has_inner(history: tuple[Operation, ...], at: int, others: list[int]) -> bool:
    """Whether the operation failed because one within it did."""
    outer = history[at]
    return any(
        history[other].role == outer.role and history[other].name.startswith(f"{outer.name}/")
        for other in others
        if other > at
    )


def _difference(role: str, case: Case) -> tuple[str, str] | None:
    """The first thing that *role* saw that is not as in the golden run, and the details."""
    mine, its = (
        _by_role([one for one in history if is_within(one.role, role)])
        for history in (case.outcome.history, case.golden.history)
    )
    for task in sorted(mine.keys() | its.keys()):
        for got, expected in zip_longest(mine.get(task, []), its.get(task, [])):
            if got is None:
                return f"{_name(expected.name)} is not begun", f"expected {expected.describe()}"
            if expected is None or _key(got) != _key(expected):
                wish = expected.describe() if expected else "nothing more"
                return _in_words(got), f"expected {wish}, got {got.describe()}"
    ends, wanted = statuses(case.root, case.outcome), statuses(case.root, case.golden)
    if ends.get(role) == wanted.get(role):
        return None
    what = status_in_words(ends[role]) if role in ends else "does not run"
    return what, case.outcome.stderr.head


def _by_role(history: list[Operation]) -> dict[str, list[Operation]]:
    found: dict[str, list[Operation]] = {}
    for one in history:
        found.setdefault(one.role, []).append(one)
    return found


def _kept(case: Case) -> Iterator[Finding]:
    """The first of the golden run's names that is otherwise now."""
    got, usual = (
        {change.path: change for change in outcome.files} for outcome in (case.outcome, case.golden)
    )
    for wanted in usual.values():
        mine = got.get(wanted.path)
        # A log may tell of the fault. Whether it is there is another matter.
        is_log = bool(case.excused.said) and wanted.path.endswith(".log")
        if mine != wanted and not (is_log and mine is not None):
            detail = f"expected {wanted.describe()}, got {mine.describe() if mine else 'none'}"
            what = printable(f"keeps {what_differs(mine, wanted)}")
            yield Finding(oracle=case.oracle, role=case.root, what=what, detail=detail)
            return


def _written(case: Case) -> Iterator[Finding]:
    """Where the clients do not say what they saw: what all wrote that is otherwise now."""
    how = status_in_words(case.outcome.status or 0)
    for words, mine, its in (
        ("another output", case.outcome.stdout, case.golden.stdout),
        ("other diagnostics", case.outcome.stderr, case.golden.stderr),
    ):
        if mine != its and not case.golden.history:
            detail = f"expected {its.head!r}, got {mine.head!r}"
            what = f"{how} with {words}"
            yield Finding(oracle=case.oracle, role=case.root, what=what, detail=detail)


def _another_end(case: Case, oracle: str, role: str) -> Finding:
    ends, wanted = statuses(case.root, case.outcome), statuses(case.root, case.golden)
    usual = wanted.get(case.root if role == RESTARTED else role)
    detail = f"the golden run {status_in_words(usual)}" if usual is not None else ""
    what = status_in_words(ends[role]) if role in ends else "does not end"
    return Finding(oracle=oracle, role=role, what=what, detail=detail)


def _in_words(one: Operation) -> str:
    """`hello fails`: what came of it, in the words of every trial."""
    return f"{_name(one.name)} {_WORDS[one.result]}"


def _name(name: str) -> str:
    shown = printable(name)
    return shown if len(shown) <= _NAME_MAX else f"{shown[:_NAME_MAX]}..."
