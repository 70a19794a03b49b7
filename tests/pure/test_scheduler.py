"""The scheduler chooses among names: driven here by simulated tasks, with no process."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from harness._supervisor.policies import Uniform
from harness._supervisor.scheduler import QUANTUM, TURN_MAX, Scheduler
from harness.schedule import Switch, Trigger


@dataclass
class Simulated:
    """A task that makes *left* more calls, and blocks for *pause* steps after each. *kinds* of them
    are different ones."""

    name: str
    left: int
    pause: int = 0
    total: int = 1
    asleep: int = 0
    call_name: str = "write"
    kinds: int = 1

    @property
    def doing(self) -> int:
        return self.total % self.kinds

    @property
    def nth(self) -> int:
        return self.total


def run(
    tasks: Sequence[tuple[int, int]], scheduler: Scheduler, kinds: Sequence[int] = ()
) -> list[str]:
    """Run (calls, pause) tasks to their ends; who went at each step. The calls of the first have so
    many *kinds*, and so on."""
    alive = [Simulated(f"main/{i}", left, pause) for i, (left, pause) in enumerate(tasks)]
    for task, count in zip(alive, kinds, strict=False):
        task.kinds = count
    order = []
    while alive:
        parked = [task for task in alive if not task.asleep]
        if parked:
            chosen = scheduler.choose(parked)
            order.append(f"{chosen.name}@{chosen.total}")
            chosen.total += 1
            chosen.left -= 1
            chosen.asleep = chosen.pause + 1
        for task in alive:
            task.asleep = max(0, task.asleep - 1)
        alive = [task for task in alive if task.left]
    return order


some_tasks = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 3)), min_size=1, max_size=5)
seeds = st.integers(0, 2**32)


@given(some_tasks, seeds)
def test_what_a_random_policy_drew_is_repeated_by_its_switches_alone(
    tasks: list[tuple[int, int]], seed: int
) -> None:
    drawn = Scheduler((), Uniform(random.Random(seed)))
    order = run(tasks, drawn)
    again = Scheduler(drawn.decided)
    assert run(tasks, again) == order
    assert again.not_applied() == []


@given(some_tasks, seeds, st.data())
def test_any_of_the_switches_can_be_left_out(
    tasks: list[tuple[int, int]], seed: int, data: st.DataObject
) -> None:
    drawn = Scheduler((), Uniform(random.Random(seed)))
    everyone = sorted(run(tasks, drawn))
    kept = [switch for switch in drawn.decided if data.draw(st.booleans())]
    assert sorted(run(tasks, Scheduler(kept))) == everyone


def test_the_task_that_ran_goes_on_until_it_blocks() -> None:
    assert run([(3, 0), (2, 0)], Scheduler(())) == [
        "main/0@1", "main/0@2", "main/0@3", "main/1@1", "main/1@2",
    ]  # fmt: skip


def test_a_task_that_does_the_same_again_and_again_lets_the_others_go() -> None:
    for kinds in (1, 2, 7):
        order = run([(9 * QUANTUM, 0), (1, 0)], Scheduler(()), [kinds])
        assert order.index("main/1@1") == 2 * QUANTUM + kinds


def test_a_task_that_still_does_something_new_goes_on_and_not_for_ever() -> None:
    for calls, others_go_after in ((TURN_MAX - 1, TURN_MAX - 1), (2 * TURN_MAX, TURN_MAX)):
        order = run([(calls, 0), (1, 0)], Scheduler(()), [3 * TURN_MAX])
        assert order.index("main/1@1") == others_go_after


def test_a_task_that_is_alone_has_no_quantum_to_use_up() -> None:
    tasks = [Simulated("main", 9)]
    scheduler = Scheduler(())
    for _ in range(3 * QUANTUM):
        scheduler.choose(tasks)
    assert scheduler.choose([*tasks, Simulated("main/0", 1)]).name == "main"


def switch(role: str, nth: int, run: str, call: str = "*") -> Switch:
    return Switch(at=Trigger(role=role, call=call, first=nth, last=nth), run=run)


def test_a_switch_makes_another_task_go_at_its_event() -> None:
    order = run([(3, 0), (1, 0)], Scheduler([switch("main/0", 2, "main/1")]))
    assert order == ["main/0@1", "main/1@1", "main/0@2", "main/0@3"]


def test_a_switch_may_name_the_call_instead_of_the_event() -> None:
    order = run([(3, 0), (1, 0)], Scheduler([switch("main/0", 3, "main/1", "write")]))
    assert order == ["main/0@1", "main/0@2", "main/1@1", "main/0@3"]


def test_a_switch_to_a_task_that_cannot_run_is_reported_and_changes_nothing() -> None:
    scheduler = Scheduler([switch("main/0", 2, "main/7"), switch("main/0", 99, "main/1")])
    assert run([(3, 0), (1, 0)], scheduler) == run([(3, 0), (1, 0)], Scheduler(()))
    assert scheduler.not_applied() == [0, 1]
