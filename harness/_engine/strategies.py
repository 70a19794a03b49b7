"""Strategies of exploration: which trial is tried next. Pure.

A strategy proposes trials, and learns what those that have ended showed, in the order in which it
proposed them. All chance is drawn from a seed, so what it proposes is a function of that seed and
of what it has learned.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, cycle, islice
from typing import Protocol

from .._supervisor.decisions import Decision
from ..errors import UsageError, unknown
from ..schedule import FaultAt, Schedule, Switch, Trigger
from ..subject import Policy

NAMES = ("mixed", "random", "pct", "pos", "bounded", "delay")
#: Those that try each order there is, the ordinary one first.
CLAIMS = ("bounded", "delay")
BOUND = 2
_SEEDS = 2**63
#: Of the faults that are drawn for a trial: how many there are, one entry for each equal chance.
_FAULT_COUNTS = (0, 1, 1, 2)
_KEPT_MAX = 500  # schedules that showed something new
_POLICIES: tuple[Policy, ...] = ("random", "pos", "pct")
#: How many trials of `mixed` go half to the tree, which takes the few orders without a preemption
#: first: people meet those first, too.
_AT_ONCE = 10
#: How many rounds it then leaves mostly to chance: what is in many orders is found by then, and
#: what is not is rather met by going through all of them. Source: in 49 programs with a bug PCT
#: found most, and a random scheduler more than any systematic one (Thomson, Donaldson, Betts,
#: Concurrency Testing Using Controlled Schedulers, ACM TOPC 2016); but which of them is quick
#: differs from bug to bug, so each has its turns.
_ROUNDS = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """A trial to be run: *schedule*, in which *policy* draws who goes next from *seed*. With
    *conflicts* it shall show where it may matter who is first."""

    schedule: Schedule
    policy: Policy = "default"
    seed: int = 0
    depth: int = 2
    length: int = 1
    conflicts: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Lesson:
    """What a trial showed: its *schedule* with all switches, where there was a choice, and how much
    it did that none before it had done. *as_told*: each of its switches applied, and it was held
    still."""

    schedule: Schedule
    decisions: tuple[Decision, ...] = ()
    news: int = 0
    as_told: bool = True


class Strategy(Protocol):
    """What an exploration asks."""

    def propose(self) -> Proposal | None:
        """The next trial; None when there is none before more has been learned, or at all."""

    def learn(self, proposal: Proposal, lesson: Lesson | None) -> None:
        """What the trial of *proposal* showed; None: it said nothing."""

    def claim(self) -> str:
        """What all that has been tried proves, or nothing."""


def strategy_named(
    name: str,
    base: Schedule,
    *,
    seed: int,
    length: int,
    bound: int = BOUND,
    faults: Sequence[FaultAt] = (),
) -> Strategy:
    """The strategy *name*. Every trial has what *base* has, and up to two of *faults*, when there
    are any; *length* is at how many steps of the golden run there was a choice: where there was
    none, there is one order only. Raises `UsageError` when there is no such strategy, or it cannot
    draw faults."""
    rng = random.Random(seed)
    drawn = _Faults(random.Random(rng.randrange(_SEEDS)), base, faults)
    match name:
        case _ if name in NAMES and not (length or faults or base.faults):
            return Tree(base, 0, preemptions, "preemption")
        case "bounded" | "delay" if faults:
            raise UsageError(
                f"strategy {name} tries each order and draws nothing: give its faults by --fault, "
                "or take another strategy"
            )
        case "bounded":
            return Tree(base, bound, preemptions, "preemption")
        case "delay":
            return Tree(base, bound, delays, "delay")
        case "random":
            return Drawn(rng, drawn, ("random",), length)
        case "pct":
            return Drawn(rng, drawn, ("pct",), length)
        case "pos":
            return Drawn(rng, drawn, ("pos",), length)
        case "mixed":
            mutated = Mutated(random.Random(rng.randrange(_SEEDS)), drawn)
            if faults:
                return InTurn([Drawn(rng, drawn, ("pct", "pos", "random"), length), mutated])
            uniform, pos, pct = (Drawn(rng, drawn, (one,), length) for one in _POLICIES)
            tree: Strategy = Tree(base, bound, preemptions, "preemption")
            between: list[Strategy] = [uniform, pos, pct, uniform, pos, mutated]
            by_turns = [one for drawn_by in between for one in (drawn_by, tree)]
            by_chance = [uniform, pos, pct, uniform, pos, tree] * _ROUNDS
            return InTurn(by_turns, first=by_turns[:_AT_ONCE] + by_chance)
    raise UsageError(unknown("strategy", name, NAMES))


class _Faults:
    """Draws the faults of a trial."""

    def __init__(self, rng: random.Random, base: Schedule, faults: Sequence[FaultAt]) -> None:
        self.base = base
        self._rng = rng
        self._faults = faults

    def schedule(self) -> Schedule:
        """The base with some faults more."""
        if not self._faults:
            return self.base
        count = min(self._rng.choice(_FAULT_COUNTS), len(self._faults))
        more = self._rng.sample(self._faults, count)
        return replace(self.base, faults=(*self.base.faults, *more))


# ---- Drawn ---------------------------------------------------------------------------------------


class Drawn:
    """Trials in which a policy draws who goes next; *policies* in turn.

    `random`: each task is as likely at each step. `pct`: by priorities that change at d - 1 steps,
    d = 2 and 3 in turn (Burckhardt et al., ASPLOS 2010). `pos`: by priorities that are drawn again
    where calls conflict (Yuan et al., CAV 2018). See policies.py."""

    def __init__(
        self, rng: random.Random, faults: _Faults, policies: Sequence[Policy], length: int
    ) -> None:
        self._rng = rng
        self._faults = faults
        self._policies = policies
        self._length = max(1, length)
        self._count = 0

    def propose(self) -> Proposal:
        turn, place = divmod(self._count, len(self._policies))
        self._count += 1
        return Proposal(
            schedule=self._faults.schedule(),
            policy=self._policies[place],
            seed=self._rng.randrange(_SEEDS),
            depth=2 + turn % 2,
            length=self._length,
        )

    def learn(self, proposal: Proposal, lesson: Lesson | None) -> None:
        if lesson is not None:  # another order may have more steps than the golden one
            self._length = max(self._length, len(lesson.decisions))

    def claim(self) -> str:
        return ""


class Mutated:
    """Trials like those that did what none before them did: one switch more, or some fewer, or
    other faults.

    Source of the idea that coverage says which inputs are worth changing: AFL (Zalewski); of order
    as coverage: Krace (Xu, Kashyap, Zhao, Kim, S&P 2020)."""

    def __init__(self, rng: random.Random, faults: _Faults) -> None:
        self._rng = rng
        self._faults = faults
        self._kept: deque[Lesson] = deque(maxlen=_KEPT_MAX)

    def propose(self) -> Proposal | None:
        if not self._kept:
            return None
        rng = self._rng
        one = rng.choice(self._kept)
        schedule = one.schedule
        what = rng.choice(("more", "fewer", "faults"))
        if what == "faults":
            schedule = replace(schedule, faults=self._faults.schedule().faults)
        if what == "fewer":
            kept = tuple(switch for switch in schedule.switches if rng.random() < 0.75)
            schedule = replace(schedule, switches=kept)
        decision = rng.choice([d for d in one.decisions if d.conflicts] or one.decisions)
        more = _switch(decision, rng.choice(decision.conflicts or decision.others))
        return Proposal(schedule=replace(schedule, switches=(*schedule.switches, more)))

    def learn(self, proposal: Proposal, lesson: Lesson | None) -> None:
        if lesson is not None and lesson.news and lesson.decisions:
            self._kept.append(lesson)

    def claim(self) -> str:
        return ""


class First:
    """A strategy after one trial of *schedule* itself, of which it learns nothing."""

    def __init__(self, schedule: Schedule, then: Strategy) -> None:
        self._to_propose = [Proposal(schedule=schedule)]
        self._is_learned = False
        self._then = then

    def propose(self) -> Proposal | None:
        return self._to_propose.pop() if self._to_propose else self._then.propose()

    def learn(self, proposal: Proposal, lesson: Lesson | None) -> None:
        if self._is_learned:
            self._then.learn(proposal, lesson)
        self._is_learned = True

    def claim(self) -> str:
        return self._then.claim()


class InTurn:
    """Several strategies in *turns*, again and again, after those that are *first*; one that has
    nothing to propose misses its turn. Of each trial all of them learn, but a tree only of its
    own."""

    def __init__(self, turns: Sequence[Strategy], first: Sequence[Strategy] = ()) -> None:
        self._strategies = list(dict.fromkeys([*first, *turns]))
        self._turns = chain(first, cycle(turns))
        self._count = len(first) + len(turns)
        self._by: deque[Strategy] = deque()

    def propose(self) -> Proposal | None:
        trees = [one for one in self._strategies if isinstance(one, Tree)]
        if any(tree.is_whole() or tree.is_at_its_root() for tree in trees):
            return None
        for strategy in islice(self._turns, self._count):
            proposal = strategy.propose()
            if proposal is not None:
                self._by.append(strategy)
                return proposal
        return None

    def learn(self, proposal: Proposal, lesson: Lesson | None) -> None:
        by = self._by.popleft()
        for strategy in self._strategies:
            if strategy is by or not isinstance(strategy, Tree):
                strategy.learn(proposal, lesson)

    def claim(self) -> str:
        return "; ".join(claim for one in self._strategies if (claim := one.claim()))


# ---- Each of them --------------------------------------------------------------------------------

_Queues = tuple[deque[Iterator[Schedule]], deque[Iterator[Schedule]]]
#: What it costs to let the other at this place of a decision's list go.
Cost = Callable[[Decision, int], int]


def preemptions(decision: Decision, place: int) -> int:
    """To take the turn from a task that could go on costs one; who goes when a task blocks is
    free. Source: iterative context bounding (Musuvathi, Qadeer, Iterative Context Bounding for
    Systematic Testing of Multithreaded Programs, PLDI 2007; CHESS)."""
    return int(decision.preempts)


def delays(decision: Decision, place: int) -> int:
    """To pass over a task of the default order costs one. Source: delay-bounded scheduling (Emmi,
    Qadeer, Rakamaric, POPL 2011)."""
    return place + 1


class Tree:
    """Every order of events whose deviations from the default policy cost no more than *bound*, the
    cheapest first; *what* is the name of one unit of cost.

    Each order is one list of switches. The children of a trial are those with one switch more,
    after its last; so each list is met once, and when no trial is left all have been. Of those of
    one cost they come first whose last switch is at a call that conflicts with one of the task that
    goes instead: if the order matters at all, it is there. Source of the latter: backtracking
    points of dynamic partial-order reduction (Flanagan, Godefroid, POPL 2005), which here decide
    what comes first, not what is left out."""

    def __init__(self, base: Schedule, bound: int, cost: Cost, what: str) -> None:
        self._base = base
        self._bound = bound
        self._cost = cost
        self._what = what
        #: For each cost two queues: where calls conflict, and the rest.
        self._queues: list[_Queues] = [(deque(), deque()) for _ in range(bound + 1)]
        self._queues[0][0].append(iter([base]))
        self._level = 0
        self._open: dict[tuple[Switch, ...], int] = {}
        self._tried = [0] * (bound + 1)
        self._complete = -1  # the highest level of which nothing is left
        self._went_elsewhere = 0
        self._is_cut = False

    def propose(self) -> Proposal | None:
        while self._level <= self._bound:
            for queue in self._queues[self._level]:
                while queue:
                    for schedule in queue[0]:
                        self._open[schedule.switches] = self._level
                        return Proposal(schedule=schedule, conflicts=self._level < self._bound)
                    queue.popleft()
            if self._open:
                return None  # there may be more of the same cost
            self._complete = self._level
            self._level += 1
        return None

    def learn(self, proposal: Proposal, lesson: Lesson | None) -> None:
        switches = proposal.schedule.switches
        spent = self._open.pop(switches)
        self._tried[spent] += 1
        if lesson is None or not lesson.as_told:
            self._went_elsewhere += 1
            return
        later = lesson.decisions[_after(switches, lesson.decisions) :]
        for more in range(self._bound - spent + 1):
            for queue, conflicts in zip(self._queues[spent + more], (True, False), strict=True):
                queue.append(self._children(proposal.schedule, later, more, conflicts))
        self._is_cut = self._is_cut or any(
            spent + self._cost(one, place) > self._bound
            for one in later
            for place in range(len(one.others))
        )

    def _children(
        self, schedule: Schedule, later: Sequence[Decision], more: int, conflicts: bool
    ) -> Iterator[Schedule]:
        for index in spread(len(later)):
            decision = later[index]
            for place, other in enumerate(decision.others):
                is_near = other in decision.conflicts
                if self._cost(decision, place) == more and is_near == conflicts:
                    switch = _switch(decision, other)
                    yield replace(schedule, switches=(*schedule.switches, switch))

    def is_at_its_root(self) -> bool:
        """Whether its first trial is under way: all else hangs on that."""
        return bool(self._open) and not any(self._tried)

    def is_whole(self) -> bool:
        """Whether there is no order of events that has not been tried, whatever it costs."""
        return self._complete == self._bound and not (self._is_cut or self._went_elsewhere)

    def claim(self) -> str:
        if self._complete < 0 or self._went_elsewhere:
            return ""
        count = sum(self._tried[: self._complete + 1])
        orders = f"all {count} interleavings" if count > 1 else "the only interleaving"
        if self.is_whole():
            return orders
        some = f"{self._complete} {self._what}{'s' * (self._complete != 1)}"
        return f"{orders} with at most {some}"


def spread(count: int) -> list[int]:
    """The numbers below *count*, each far from those before it: what goes wrong mostly goes wrong
    at several steps in a row, and one of them is soon hit. Source: van der Corput's sequence."""
    width = count.bit_length()
    return sorted(range(count), key=lambda number: format(number, f"0{width}b")[::-1])


def _switch(decision: Decision, run: str) -> Switch:
    at = Trigger(role=decision.role, call="*", first=decision.total, last=decision.total)
    return Switch(at=at, run=run)


def _after(switches: Sequence[Switch], decisions: Sequence[Decision]) -> int:
    """The place of the first decision after the last of *switches*."""
    if not switches:
        return 0
    last = switches[-1].at
    return 1 + max(
        index
        for index, one in enumerate(decisions)
        if (one.role, one.total) == (last.role, last.first)
    )
