"""The scheduler chooses among names: driven here by simulated tasks, with no process."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from harness._supervisor.policies import Uniform
from harness._supervisor.scheduler import QUANTUM, Scheduler
from harness.schedule import Switch, Trigger


@dataclass
class Simulated:
    """A task that makes *left* more calls, and blocks for *pause* steps after each."""

    name: str
    left: int
    pause: int = 0
    total: int = 1
    asleep: int = 0
    call_name: str = "write"

    @property
    def nth(self) -> int:
        return self.total


def run(tasks: Sequence[tuple[int, int]], scheduler: Scheduler) -> list[str]:
    """Run (calls, pause) tasks to their ends; who went at each step."""
    alive = [Simulated(f"main/{i}", left, pause) for i, (left, pause) in enumerate(tasks)]
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


def test_a_task_that_never_blocks_lets_the_others_go_when_its_quantum_is_used_up() -> None:
    order = run([(2 * QUANTUM, 0), (1, 0)], Scheduler(()))
    assert order.index("main/1@1") == QUANTUM


def test_a_task_that_is_alone_has_no_quantum_to_use_up() -> None:
    tasks = [Simulated("main", 9)]
    scheduler = Scheduler(())
    for _ in range(QUANTUM):
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
