"""What has been run of a sweep so far, how it was judged, and what that comes to."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass

from ..errors import HarnessError
from ..fault import ShortFault
from ..oracle import Oracle, judged_by
from ..subject import TrialPlan
from ..verdict import Outcome, Verdict
from .pool import Answer, Pool
from .record import record
from .shrink import Aim, Shrunk, identity_of, shrink
from .shrink_passes import harshness
from .store import save
from .sweep_cases import Case
from .sweep_result import Found, KindTally, Unclear
from .trial import TrialResult

_SHRINK_TRIALS_MAX = 500  # for each finding


@dataclass(frozen=True, kw_only=True, slots=True)
class _Failed:
    number: int
    case: Case
    verdict: Verdict
    result: TrialResult

    @property
    def size(self) -> tuple[int, ...]:
        """The smallest of those that fail alike is shown: that with fewer faults, about a program's
        own files, of gentler kinds, with the shorter trace; of equal ones, the first."""
        faults = self.case.faults
        return (
            len(faults),
            self.case.library,
            sum(harshness(at.fault) for at in faults),
            len(self.result.trace.events),
            self.number,
        )


class _Group:
    """The trials that fail alike. Of all but the smallest only their numbers are kept: there may be
    thousands."""

    def __init__(self, first: _Failed) -> None:
        self.smallest = first
        self.cases = [first.number]

    def add(self, other: _Failed) -> None:
        self.smallest = min(self.smallest, other, key=lambda failed: failed.size)
        self.cases.append(other.number)


class Tally:
    """The cases of a sweep by their numbers, and what came of those that have ended.

    *plan* is the trial without faults, *golden* what came of it; *oracles* are the user's own."""

    def __init__(self, plan: TrialPlan, golden: Outcome, oracles: Sequence[Oracle]) -> None:
        self.cases: list[Case] = []
        self.ended: set[int] = set()
        self.pruned: set[int] = set()
        self.fired = 0
        self.new_calls = 0
        self._plan, self._golden, self._oracles = plan, golden, oracles
        self._paths = {change.path for change in golden.files}
        self._failed: dict[tuple[str, str, str], _Group] = {}
        self._shrunk: dict[tuple[str, str, str], Shrunk] = {}
        self._unclear: dict[int, str] = {}
        self._judged: dict[int, Hashable] = {}
        # By the numbers of points: how many cases are left to try; there only after a fault; not
        # tried in each way.
        self._open = Counter[int]()
        self._new: set[int] = set()
        self._pruned: set[int] = set()

    def add(self, cases: Sequence[Case]) -> range:
        """The numbers of more cases that are to be run."""
        first = len(self.cases)
        self.cases += cases
        self._open.update(case.point for case in cases)
        self._new.update(case.point for case in cases if case.after is not None)
        return range(first, len(self.cases))

    def take(self, case: int, answer: Answer) -> bool:
        """Judge one trial, and say whether its fault was met in it and it tells something."""
        self.ended.add(case)
        self._open[self.cases[case].point] -= 1
        self._judged[case] = case  # unlike any other, unless it is known what it is like
        if isinstance(answer, HarnessError):
            self._unclear[case] = str(answer)
            return False
        outcome = answer.outcome
        fired = bool(outcome.fired[-1])
        self.fired += fired
        root = self._plan.roots[0]
        verdict = judged_by(self._oracles, root, outcome, self._golden, answer.schedule)
        if reason := self._says_nothing(case, fired, verdict, outcome):
            self._unclear[case] = reason
            return False
        self._judged[case] = fired, verdict.status
        if verdict.status == "FAIL":
            oracle, role, what = verdict.findings[0].identity()
            key = oracle, role, without_chance(what, self._paths)
            self._judged[case] = key
            failed = _Failed(number=case, case=self.cases[case], verdict=verdict, result=answer)
            if key in self._failed:
                self._failed[key].add(failed)
            else:
                self._failed[key] = _Group(failed)
        return fired

    def prune(self, cases: Collection[int]) -> None:
        """These need not be run."""
        fresh = [self.cases[case].point for case in {*cases} - self.pruned]
        self.pruned.update(cases)
        self._open.subtract(fresh)
        self._pruned.update(fresh)

    def judged(self, case: int) -> Hashable:
        """How a case that has ended was judged: equal for two that were judged alike."""
        return self._judged[case]

    def has_passed(self, case: int) -> bool:
        return self._judged[case] == (True, "PASS")

    def _says_nothing(self, case: int, fired: bool, verdict: Verdict, outcome: Outcome) -> str:
        """Why a trial says nothing; empty when it says something."""
        if verdict.status == "INCONCLUSIVE":
            return verdict.reason
        if verdict.status == "PASS":
            return ""
        if not fired:
            what = verdict.findings[0].describe()
            return f"it did not fire, and yet {what}: it does not run the same"
        at = self.cases[case].at
        if outcome.end == "steps" and at.at.last is None and isinstance(at.fault, ShortFault):
            return "so many small transfers are more steps than it may make: see --steps"
        return ""

    # ---- Shrinking pairs -------------------------------------------------------------------------

    def shrink_pairs(self, pool: Pool, *, until: float | None, clock: Callable[[], float]) -> None:
        """Simplify each finding that was met with two faults only, as far as there is time until
        *until* by *clock*: either may do alone, or a gentler one of those that were tried there."""
        tried = {(case.at.at.call, case.at.fault) for case in self.cases}
        for key, group in self._failed.items():
            first = group.smallest
            if first.case.after is None:
                continue
            shrunk = shrink(
                Aim(
                    plan=self._plan,
                    identity=identity_of(first.verdict.findings[0]),
                    golden=self._golden,
                    oracles=self._oracles,
                ),
                first.result.schedule,
                pool,
                may_be=lambda at: (at.at.call, at.fault) in tried,
                until=until,
                trials_max=_SHRINK_TRIALS_MAX,
                clock=clock,
            )
            if shrunk is None:
                continue
            self._shrunk[key] = shrunk
            if shrunk.interrupted is not None:
                raise shrunk.interrupted

    @property
    def shrinking_trials(self) -> int:
        return sum(shrunk.trials for shrunk in self._shrunk.values())

    # ---- What came of it -------------------------------------------------------------------------

    @property
    def points(self) -> int:
        return len(self._open) - len(self._new)

    @property
    def covered(self) -> int:
        return len(self._closed() - self._new - self._pruned)

    @property
    def pruned_points(self) -> int:
        return len(self._closed() & self._pruned)

    @property
    def new_points(self) -> int:
        return len(self._new)

    @property
    def new_covered(self) -> int:
        return len(self._closed() & self._new)

    def _closed(self) -> set[int]:
        """The points of which nothing is left to try."""
        return {point for point, count in self._open.items() if not count}

    @property
    def findings(self) -> int:
        return len(self._failed)

    def unclear(self) -> tuple[Unclear, ...]:
        return tuple(
            Unclear(fault=self.cases[case].at, reason=reason)
            for case, reason in sorted(self._unclear.items())
        )

    def of_kind(self, kind: str, calls: int) -> KindTally:
        """What became of *kind* at so many *calls*."""
        mine = [number for number, case in enumerate(self.cases) if case.kind == kind]
        there = {self.cases[number].point for number in mine}
        left = {
            self.cases[number].point
            for number in mine
            if number not in self.ended and number not in self.pruned
        }
        pruned = {self.cases[number].point for number in mine if number in self.pruned} - left
        return KindTally(
            kind=kind,
            calls=calls,
            tried=len(there - left - pruned),
            not_applicable=calls - len(there),
            left_out=len(left),
            trials=sum(number in self.ended for number in mine),
            pruned=len(pruned),
        )

    def found(self, store: str | None) -> tuple[Found, ...]:
        """One for each different finding, the smallest first; recorded in *store*."""
        groups = sorted(self._failed.items(), key=lambda item: item[1].smallest.size)
        return tuple(self._found(group, self._shrunk.get(key), store) for key, group in groups)

    def _found(self, group: _Group, shrunk: Shrunk | None, store: str | None) -> Found:
        first = group.smallest
        after, at, result, verdict = first.case.after, first.case.at, first.result, first.verdict
        if shrunk is not None:
            *before, at = shrunk.schedule.faults
            after = before[-1] if before else None
            result, verdict = shrunk.result, shrunk.verdict
        ident, why = self._recorded(result, verdict, store)
        others = sorted(number for number in group.cases if number != first.number)
        return Found(
            finding=verdict.findings[0],
            verdict=verdict,
            fault=at,
            after=after,
            shrunk=shrunk,
            result=result,
            others=tuple(self.cases[number].at for number in others),
            ident=ident,
            not_recorded=why,
        )

    def _recorded(
        self, result: TrialResult, verdict: Verdict, store: str | None
    ) -> tuple[str | None, str]:
        """The id of the recording, or why there is none."""
        if store is None:
            return None, "nobody asked for recordings"
        try:
            recording = record(self._plan, result, verdict, self._golden)
            return save(recording, store), ""
        except OSError as error:
            return None, f"{store}: {error.strerror}"
        except HarnessError as error:
            return None, str(error)


# ---- Names that are drawn ------------------------------------------------------------------------

#: What mkstemp(3), mktemp(1) and Python's tempfile put at the end of a name, before its suffix.
_DRAWN = re.compile(r"[A-Za-z0-9_]{6,}(?=\.[a-z]+$|$)")


def without_chance(what: str, known: Collection[str]) -> str:
    """*what* was found, with a `*` for each part of a path that is drawn at random: two trials that
    draw differently find the same. The paths *known* of the golden run are left alone."""
    words = what.split(" ")
    return " ".join(
        "/".join(map(_pattern, word.split("/"))) if "/" in word and word not in known else word
        for word in words
    )


def _pattern(part: str) -> str:
    found = _DRAWN.search(part)
    if not found or not _looks_drawn(found[0][-6:]):
        return part
    return f"{part[: found.start()]}*{part[found.end() :]}"


def _looks_drawn(tail: str) -> bool:
    """Whether it is no word, nor several written together, with a number after them."""
    return not re.fullmatch(r"(?:[a-z_]*(?:[A-Z][a-z_]+)*|[A-Z_]*)[0-9]*", tail)
