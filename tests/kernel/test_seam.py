"""Every use of the kernel can be made to fail, and without being asked nothing is in the way."""

import ast
from typing import Any, NamedTuple

import pytest

from harness._kernel.libc import planned_failures
from tests.kernel.servant import run
from tests.tidy import tree


class Wrapper(NamedTuple):
    """One function marked `@kernel_call`: its module, and its name there."""

    module: str
    path: str

    def __str__(self) -> str:
        return f"{self.module}.{self.path}"

    @property
    def planned_as(self) -> str:
        """How HARNESS_KERNEL_FAIL names it: a class is left out."""
        return f"{self.module}.{self.path.rpartition('.')[2]}"


def wrappers() -> list[Wrapper]:
    """By reading the sources, so that none is forgotten because nobody imports it."""
    found = []
    for path in tree.sources("harness"):
        for top in tree.parsed(path).body:
            inner = [(top.name, node) for node in top.body] if isinstance(top, ast.ClassDef) else []
            for owner, node in [("", top), *inner]:
                if isinstance(node, ast.FunctionDef) and "kernel_call" in map(
                    ast.unparse, node.decorator_list
                ):
                    found.append(Wrapper(path.stem, f"{owner}.{node.name}".lstrip(".")))
    return found


ALL = wrappers()


def test_the_wrappers_are_found() -> None:
    assert len(ALL) > 30
    assert {"seccomp.Listener.receive", "process.clone", "mount.mount"} <= set(map(str, ALL))


def test_all_marks_are_found() -> None:
    """At the top of a module or of a class; a deeper one would be out of this test's sight."""
    marks = sum(tree.text(path).count("    @kernel_call\n") for path in tree.sources("harness"))
    marks += sum(tree.text(path).count("\n@kernel_call\n") for path in tree.sources("harness"))
    assert marks == len(ALL)


def test_no_two_wrappers_are_planned_by_one_name() -> None:
    names = [wrapper.planned_as for wrapper in ALL]
    assert len(set(names)) == len(names)


def test_every_use_of_the_kernel_is_marked() -> None:
    """What makes a system call of its own, by `syscall` or `ioctl`, stands under the mark."""
    marked = {str(wrapper) for wrapper in ALL}
    for path in tree.sources("harness"):
        if path.parent.name != "_kernel" or path.stem == "libc":
            continue
        for node in ast.walk(tree.parsed(path)):
            if isinstance(node, ast.FunctionDef) and calls_the_kernel(node):
                names = {f"{path.stem}.{node.name}", f"{path.stem}.Listener.{node.name}"}
                assert names & marked, f"{path}:{node.lineno}: {node.name} lacks @kernel_call"


def calls_the_kernel(function: ast.FunctionDef) -> bool:
    return any(
        isinstance(node, ast.Call) and ast.unparse(node.func) in ("syscall", "ioctl")
        for node in ast.walk(function)
    )


@pytest.fixture(scope="module")
def planned() -> Any:
    """All of them in one process, each with another error at its second use than at its first."""
    plan = " ".join(f"{w.planned_as}#1=ENOTNAM {w.planned_as}#2=EXFULL" for w in ALL)
    return run("planned", *ALL, env={"HARNESS_KERNEL_FAIL": plan})


@pytest.mark.parametrize("wrapper", ALL, ids=str)
def test_a_wrapper_fails_at_its_nth_use_with_the_planned_error(
    planned: Any, wrapper: Wrapper
) -> None:
    name = wrapper.planned_as
    assert planned[str(wrapper)] == [
        f"ENOTNAM planned at {name}#1",
        f"EXFULL planned at {name}#2",
    ]


def test_the_other_uses_are_carried_out() -> None:
    plan = "process.kill#2=EPERM process.kill#4=ESRCH"
    assert run("uses", env={"HARNESS_KERNEL_FAIL": plan}) == [True, "EPERM", True, "ESRCH", True]


def test_processes_that_it_executes_count_for_themselves() -> None:
    env = {"HARNESS_KERNEL_FAIL": "process.kill#1=EPERM"}
    assert [run("uses", env=env)[:2] for _ in range(2)] == [["EPERM", True]] * 2


@pytest.mark.parametrize("empty", [True, False])
def test_without_the_variable_there_is_no_seam(
    monkeypatch: pytest.MonkeyPatch, empty: bool
) -> None:
    """Not even one that lets everything through: the hot path pays nothing."""
    if empty:
        monkeypatch.setenv("HARNESS_KERNEL_FAIL", "")
    else:
        monkeypatch.delenv("HARNESS_KERNEL_FAIL", raising=False)
    assert run("planned", *ALL) == {str(wrapper): ["no seam"] for wrapper in ALL}


def test_a_wrapper_that_is_not_named_has_no_seam() -> None:
    found = run(
        "planned", *ALL, env={"HARNESS_KERNEL_FAIL": "process.kill=EPERM process.kill#2=EIO"}
    )
    assert [name for name, ends in found.items() if ends != ["no seam"]] == ["process.kill"]


# The variable


def test_the_plan_is_read_as_it_is_written() -> None:
    assert planned_failures("") == {}
    assert planned_failures("a.b=EPERM  c.d#2=EBUSY a.b#3=ENOENT") == {
        "a.b": {1: 1, 3: 2},
        "c.d": {2: 16},
    }


@pytest.mark.parametrize(
    "item",
    [
        "a.b",
        "=EPERM",
        "#1=EPERM",
        "a.b#1=",
        "a.b#1=NOPE",
        "a.b#x=EPERM",
        "a.b#0=EPERM",
        "a.b#-1=EPERM",
        "a.b#=EPERM",
        "a.b=errorcode",
    ],
)
def test_a_plan_that_means_nothing_is_refused(item: str) -> None:
    with pytest.raises(ValueError, match=r"HARNESS_KERNEL_FAIL: '.*' is not WRAPPER#N=ERRNO"):
        planned_failures(f"process.kill#1=EPERM {item}")
