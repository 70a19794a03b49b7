"""Strategies, taught by simulated programs in place of trials: what they try and claim."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations, pairwise
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness._engine.coverage import Coverage, grams
from harness._engine.strategies import (
    NAMES,
    Lesson,
    Proposal,
    Strategy,
    Tree,
    delays,
    preemptions,
    strategy_named,
)
from harness._supervisor.decisions import Decision, Decisions, Footprint, conflict
from harness._supervisor.policies import ByPartialOrder, ByPriority, Uniform, policy_named
from harness._supervisor.scheduler import QUANTUM, Policy, Scheduler
from harness.errors import UsageError
from harness.fault import ErrnoFault
from harness.schedule import FaultAt, Schedule, Trigger
from harness.trace import Event, Trace
from tests.pure.test_scheduler import Simulated, run

EVERYTHING = Footprint(everything=True)
Sizes = Sequence[int]


def trial(sizes: Sizes, proposal: Proposal, pause: int = 0) -> tuple[Lesson, tuple[str, ...]]:
    """A program of tasks that make so many calls each: what it shows, and in which order."""
    policy = policy_named(
        proposal.policy,
        proposal.seed,
        depth=proposal.depth,
        length=proposal.length,
        touches=lambda task: EVERYTHING,
    )
    decisions = Decisions()
    scheduler = Scheduler(proposal.schedule.switches, policy, decisions)
    order = run([(size, pause) for size in sizes], scheduler)
    schedule = replace(proposal.schedule, switches=tuple(scheduler.decided))
    lesson = Lesson(
        schedule=schedule,
        decisions=decisions.all(),
        news=1,
        as_told=not scheduler.not_applied(),
    )
    return lesson, tuple(order)


def explored(sizes: Sizes, strategy: Strategy, pause: int = 0) -> list[tuple[str, ...]]:
    """The order of each trial, until there is none left."""
    orders = []
    while (proposal := strategy.propose()) is not None:
        lesson, order = trial(sizes, proposal, pause)
        strategy.learn(proposal, lesson)
        orders.append(order)
    return orders


# ---- Each order ----------------------------------------------------------------------------------


def orders_of(one: int, other: int) -> list[list[int]]:
    """Every order of two tasks' calls, by brute force: who goes at each step."""
    found = []
    for places in combinations(range(one + other), one):
        found.append([0 if step in places else 1 for step in range(one + other)])
    return found


def preemptions_in(order: Sequence[int]) -> int:
    """How often a task loses its turn that has calls left; the first turn is the first task's."""
    count, before = 0, order[0]
    for step, who in enumerate(order):
        count += who != before and before in order[step:]
        before = who
    return count


@pytest.mark.parametrize(("one", "other"), [(1, 1), (2, 3), (4, 4), (5, 2)])
def test_without_a_bound_each_order_is_tried_once(one: int, other: int) -> None:
    tree = Tree(Schedule(), 99, preemptions, "preemption")
    orders = explored((one, other), tree)
    assert len(orders) == len(set(orders)) == comb(one + other, one) == len(orders_of(one, other))
    assert tree.claim() == f"all {len(orders)} interleavings"
    assert tree.is_whole()


@pytest.mark.parametrize("bound", [0, 1, 2, 3])
def test_within_a_bound_there_are_as_many_as_brute_force_counts(bound: int) -> None:
    tree = Tree(Schedule(), bound, preemptions, "preemption")
    orders = explored((4, 3), tree)
    wanted = [one for one in orders_of(4, 3) if preemptions_in(one) <= bound]
    assert len(orders) == len(set(orders)) == len(wanted)
    assert tree.claim() == f"all {len(wanted)} interleavings with at most {bound} preemption" + (
        "s" * (bound != 1)
    )
    assert not tree.is_whole()


@given(st.lists(st.integers(1, 3), min_size=1, max_size=3), st.integers(0, 2), st.sampled_from(
    [preemptions, delays]
))  # fmt: skip
def test_no_order_is_tried_twice_and_the_cheapest_come_first(
    sizes: list[int], pause: int, cost: Callable[[Decision, int], int]
) -> None:
    tree = Tree(Schedule(), 3, cost, "unit")
    costs, orders = [], []
    while (proposal := tree.propose()) is not None:
        lesson, order = trial(sizes, proposal, pause)
        tree.learn(proposal, lesson)
        orders.append(order)
        costs.append(
            sum(
                cost(one, one.others.index(one.chosen))
                for one in lesson.decisions
                if one.chosen != one.role
            )
        )
    assert len(set(orders)) == len(orders)
    assert costs == sorted(costs)
    assert max(costs) <= 3


def step(decisions: Decisions, chosen: str, *parked: tuple[str, int]) -> None:
    """*chosen* of the *parked* goes; the first of them would by default."""
    tasks = [Simulated(name, 1, total=total) for name, total in parked]
    went = next(task for task in tasks if task.name == chosen)
    decisions.step(tasks[0], went, tasks, tasks[0].name)


def test_it_may_matter_who_goes_first_where_a_call_conflicts_with_one_of_the_others() -> None:
    """The child of main/1 changes the file at which main/0 looks second; main/2 only looks too."""
    touched = {
        ("main/0", 1): Footprint(frozenset({"other"})),
        ("main/0", 2): Footprint(looked=frozenset({"file"})),
        ("main/1/0", 1): Footprint(frozenset({"file"})),
        ("main/2", 1): Footprint(looked=frozenset({"file"})),
    }
    decisions = Decisions(lambda task: touched.get((task.name, task.total), Footprint()))
    for total in 1, 2:
        step(decisions, "main/0", ("main/0", total), ("main/1", 1), ("main/2", 1))
    step(decisions, "main/1/0", ("main/1/0", 1))
    step(decisions, "main/2", ("main/2", 1))
    first, second = decisions.all()
    assert first.conflicts == ()
    assert second.conflicts == ("main/1",)


def test_where_calls_conflict_is_tried_first_and_nothing_is_left_out() -> None:
    def conflicting(at: int) -> tuple[list[tuple[int, ...]], Tree]:
        tree = Tree(Schedule(), 1, preemptions, "preemption")
        tried = []
        while (proposal := tree.propose()) is not None:
            lesson, _ = trial((9, 3), proposal)
            marked = tuple(
                one._replace(conflicts=one.others if one.total == at else ())
                for one in lesson.decisions
            )
            tree.learn(proposal, replace(lesson, decisions=marked))
            tried.append(tuple(one.at.first for one in proposal.schedule.switches))
        return tried, tree

    (one, tree), (other, _) = conflicting(7), conflicting(99)
    preempted = [switches for switches in one if switches and switches != (1,)]
    assert preempted[0] == (7,)
    assert sorted(one) == sorted(other)
    assert tree.claim().endswith(" with at most 1 preemption")


def test_a_delay_passes_over_one_task_of_the_order_of_birth() -> None:
    orders = explored((1, 1, 1), Tree(Schedule(), 1, delays, "delay"))
    assert [order[0] for order in orders] == ["main/0@1", "main/1@1", "main/0@1"]
    assert orders[1] == ("main/1@1", "main/0@1", "main/2@1")
    assert orders[2] == ("main/0@1", "main/2@1", "main/1@1")


@pytest.mark.parametrize("is_run", [True, False])
def test_a_trial_that_goes_elsewhere_takes_the_claim_away(is_run: bool) -> None:
    tree = Tree(Schedule(), 1, preemptions, "preemption")
    while (proposal := tree.propose()) is not None:
        lesson, _ = trial((2, 2), proposal)
        elsewhere = replace(lesson, as_told=False) if is_run else None
        tree.learn(proposal, elsewhere if proposal.schedule.switches else lesson)
    assert tree.claim() == ""
    assert not tree.is_whole()


def test_before_it_has_learned_of_all_it_claims_less() -> None:
    tree = Tree(Schedule(), 1, preemptions, "preemption")
    first = tree.propose()
    assert first is not None
    assert tree.propose() is None, "what comes next hangs on the first"
    assert tree.claim() == ""
    tree.learn(first, trial((3, 3), first)[0])
    second = tree.propose()
    assert second is not None
    assert tree.claim() == "", "who is first is free, so there is another of the same cost"
    tree.learn(second, trial((3, 3), second)[0])
    assert tree.propose() is not None
    assert tree.claim() == "all 2 interleavings with at most 0 preemptions"


# ---- What is drawn -------------------------------------------------------------------------------


def proposals(name: str, seed: int, count: int = 40) -> list[Proposal]:
    strategy = strategy_named(name, Schedule(), seed=seed, length=9)
    found = []
    while len(found) < count and (proposal := strategy.propose()) is not None:
        strategy.learn(proposal, trial((3, 4, 2), proposal)[0])
        found.append(proposal)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_what_is_proposed_is_a_function_of_the_seed(name: str) -> None:
    assert proposals(name, 5) == proposals(name, 5)
    if name not in ("bounded", "delay"):
        assert proposals(name, 5) != proposals(name, 6)


def test_mixed_ends_when_there_is_no_other_order() -> None:
    strategy = strategy_named("mixed", Schedule(), seed=0, length=1)
    assert 0 < len(explored((1, 2), strategy)) < 50
    assert strategy.claim() == "all 3 interleavings"


def test_mixed_takes_the_tree_for_a_moment_then_chance_and_then_both_in_turn() -> None:
    strategy = strategy_named("mixed", Schedule(), seed=0, length=8)
    policies = []
    for _ in range(94):
        proposal = strategy.propose()
        assert proposal is not None
        policies.append(proposal.policy)
        strategy.learn(proposal, trial((3, 3, 3), proposal)[0])
    drawn = ["random", "pos", "pct", "random", "pos"]
    assert (policies[1:10:2], policies[:10:2]) == (["default"] * 5, drawn)
    assert policies[10:70] == [*drawn, "default"] * 10
    assert (policies[71::2], policies[70::2]) == (["default"] * 12, [*drawn, "default"] * 2)


def fault(nth: int) -> FaultAt:
    at = Trigger(role="main", call="write", first=nth, last=nth)
    return FaultAt(at=at, fault=ErrnoFault(errno="EIO"))


def test_up_to_two_faults_are_drawn_beside_those_that_are_given() -> None:
    base = Schedule(faults=(fault(1),))
    drawn = [fault(n) for n in range(2, 20)]
    for name in ("random", "pct", "pos", "mixed"):
        strategy = strategy_named(name, base, seed=1, length=4, faults=drawn)
        counts = set()
        for _ in range(60):
            proposal = strategy.propose()
            assert proposal is not None
            assert proposal.schedule.faults[0] == fault(1)
            counts.add(len(proposal.schedule.faults))
            lesson, _ = trial((3, 3), proposal)
            strategy.learn(proposal, lesson)
        assert counts == {1, 2, 3}
        assert strategy.claim() == "", "faults that are drawn are not all of them"


@pytest.mark.parametrize("name", ["bounded", "delay"])
def test_who_tries_each_order_draws_no_faults(name: str) -> None:
    with pytest.raises(UsageError, match="draws nothing"):
        strategy_named(name, Schedule(), seed=0, length=1, faults=[fault(1)])


# ---- Policies ------------------------------------------------------------------------------------

some_things = st.frozensets(st.sampled_from("abc"))
footprints = st.builds(Footprint, changed=some_things, looked=some_things, everything=st.booleans())


@given(footprints, footprints)
def test_a_conflict_is_mutual_and_takes_somebody_who_changes_something(
    one: Footprint, other: Footprint
) -> None:
    assert conflict(one, other) == conflict(other, one)
    if one.changed & (other.changed | other.looked):
        assert conflict(one, other)
    elif not (other.changed & one.looked or one.everything or other.everything):
        assert not conflict(one, other)


def policies(seed: int) -> list[Policy]:
    rng = random.Random(seed)
    return [
        Uniform(rng),
        ByPriority(rng, 3, 10),
        ByPartialOrder(rng, lambda task: EVERYTHING),
        ByPartialOrder(rng, lambda task: Footprint(frozenset({task.name}))),
    ]


some_tasks = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 3)), min_size=1, max_size=5)


@given(some_tasks, st.integers(0, 2**32))
def test_what_any_policy_chose_is_repeated_by_its_switches_alone(
    tasks: list[tuple[int, int]], seed: int
) -> None:
    for policy in policies(seed):
        drawn = Scheduler((), policy)
        order = run(tasks, drawn)
        again = Scheduler(drawn.decided)
        assert run(tasks, again) == order
        assert again.not_applied() == []


def changes(order: Sequence[str]) -> int:
    roles = [step.partition("@")[0] for step in order]
    return sum(one != other for one, other in pairwise(roles))


def test_priorities_change_at_one_step_less_than_the_depth() -> None:
    """Two tasks that never block: one change makes at most two turns more."""
    seen = set()
    for seed in range(50):
        order = run([(10, 0), (10, 0)], Scheduler((), ByPriority(random.Random(seed), 2, 20)))
        seen.add(changes(order))
    assert seen == {1, 2}


def test_whoever_polls_loses_its_turn_in_the_end() -> None:
    for seed in range(5):
        policy = ByPriority(random.Random(seed), 1, 1)
        order = run([(9 * QUANTUM, 0), (1, 0)], Scheduler((), policy))
        assert order.index("main/1@1") <= 2 * QUANTUM + 1


def test_calls_that_do_not_conflict_keep_the_priorities_that_they_drew() -> None:
    """The task that waits with the highest priority of all goes next, however many steps others
    make, for none of them conflicts with it; so a short task is not late only for being short."""
    tasks = [Simulated("main/0", 1), Simulated("main/1", 1)]
    policy = ByPartialOrder(random.Random(3), lambda task: Footprint(frozenset({task.name})))
    first = policy.choose(tasks)
    policy.went(first, tasks)
    (other,) = [task for task in tasks if task is not first]
    drawn = policy._drawn[other.name]
    first.total += 1
    policy.choose(tasks)
    assert policy._drawn[other.name] == drawn


def test_calls_that_conflict_with_the_one_that_went_draw_again() -> None:
    tasks = [Simulated("main/0", 1), Simulated("main/1", 1)]
    policy = ByPartialOrder(random.Random(3), lambda task: EVERYTHING)
    policy.went(policy.choose(tasks), tasks)
    assert policy._drawn == {}


# ---- Coverage ------------------------------------------------------------------------------------


def event(role: str, call: str, nth: int = 1, action: str = "-") -> Event:
    return Event(role=role, call=call, nth=nth, action=action)


def test_what_is_new_is_a_run_of_events_or_a_handover() -> None:
    coverage = Coverage()
    read, write = event("main", "read"), event("main", "write")
    child = event("main/0", "write")
    assert coverage.add(grams(Trace(events=(read, write, read)))) == 1
    assert coverage.add(grams(Trace(events=(read, write, read)))) == 0
    assert coverage.add(grams(Trace(events=(read, write, child)))) == 2, "a run, a handover"
    assert coverage.add(grams(Trace(events=(write, child)))) == 0
    failed = event("main", "write", action="fail:EIO")
    assert coverage.add(grams(Trace(events=(read, failed, read)))) == 1
    assert len(coverage) == 4
