"""What a user composes: subjects, and functions as references that another process can follow."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given

from harness.errors import UsageError
from harness.recording import ClientCommand, ClientFunction
from harness.schedule import FRESH, RESTARTED
from harness.subject import Subject, listening, workload_of
from harness.workload import Workload
from tests.pure import strategies
from tests.pure.reading import refusal


def at_the_top(client: object, size: int = 1, name: str = "") -> None:
    """A function that any process finds."""


async def never_awaited() -> None:
    """A coroutine runs in a loop, which a process does not have by itself."""


class Holder:
    @staticmethod
    def inside(client: object) -> None:
        """In a class at the top."""

    def bound(self, client: object) -> None:
        """With an object that no other process has."""


def closure() -> Callable[[], None]:
    captured = []

    def inner() -> None:
        captured.append(1)

    return inner


@pytest.mark.parametrize("function", [at_the_top, Holder.inside])
def test_a_function_is_known_by_its_module_its_file_and_its_name(function: Any) -> None:
    reference = workload_of(function, {})
    assert reference == Workload(
        module=__name__, file=os.path.abspath(__file__), qualname=function.__qualname__
    )


def test_a_partial_with_keywords_brings_its_arguments() -> None:
    inner = functools.partial(at_the_top, size=2)
    reference = workload_of(functools.partial(inner, name="x"), {"size": 3})
    assert reference.kwargs == {"size": 3, "name": "x"}
    assert str(reference) == f"{__name__}:at_the_top(size=3, name='x')"


def test_a_name_is_found_without_being_imported() -> None:
    reference = workload_of("antigravity:fly", {})  # whose import opens a browser
    assert os.path.basename(reference.file) == "antigravity.py"
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (closure(), "is a closure, which no other process can find: move it to the top of the"),
        (lambda client: None, "is a lambda"),
        (Holder().bound, "is a bound method"),
        (functools.partial(at_the_top, 1), "has positional arguments"),
        (never_awaited, "is a coroutine"),
        (print, "is no function"),
        (3, "is no function"),
    ],
)
def test_what_no_other_process_finds_is_refused_with_its_place(function: object, said: str) -> None:
    line = refusal(lambda: workload_of(function, {}))
    assert said in line
    if callable(function) and function is not print:
        assert line.startswith(f"{__file__}:")


@pytest.mark.parametrize("name", ["", "no_colon", "not.there:f", "os:", ":f", "sys:exit"])
def test_a_name_that_means_no_function_is_refused(name: str) -> None:
    assert "module:function" in refusal(lambda: workload_of(name, {}))


@pytest.mark.parametrize("value", [(1, 2), {1: 2}, {1}, b"bytes", float("nan"), object()])
def test_an_argument_that_json_does_not_have_is_refused_by_its_name(value: object) -> None:
    line = refusal(lambda: workload_of(at_the_top, {"size": value}))
    assert "argument size of at_the_top" in line


@given(strategies.workloads)
def test_a_reference_is_the_same_after_a_way_through_json(reference: Workload) -> None:
    assert Workload.from_json(reference.to_json()) == reference


@pytest.mark.parametrize("address", ["{dir}/socket", "@abstract", ":8080"])
def test_where_it_listens(address: str) -> None:
    assert listening(address) == address


@pytest.mark.parametrize("address", ["", ":", ":0", ":65536", ":x"])
def test_where_nobody_can_listen(address: str) -> None:
    assert "PORT" in refusal(lambda: listening(address))


def test_clients_have_roles_by_their_place_or_their_name() -> None:
    plan = Subject.command(["service"]).plan(at_the_top, ["ls", "-l"], slow=at_the_top)
    assert plan.roots == ("service", "client/0", "client/1", "client/slow", FRESH, RESTARTED)
    assert [type(client) for client in plan.clients] == [
        ClientFunction,
        ClientCommand,
        ClientFunction,
    ]


def test_without_clients_nobody_is_asked_to_recover() -> None:
    plan = Subject.command(["ls"]).plan()
    assert (plan.roots, plan.recovers, plan.python_path) == (("main",), False, ())


def test_a_command_in_one_string_is_refused() -> None:
    with pytest.raises(UsageError, match="as a list"):
        Subject.command("ls -l")
