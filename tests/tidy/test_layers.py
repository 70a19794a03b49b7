"""Who may import whom. The layers are the table below; the rest reads the actual imports."""

import ast
from pathlib import Path

import pytest

from tests.tidy import tree

# The modules of harness/, row by row, in order within the row: each imports only from what stands
# before it.
# A package whose __init__ imports something of ours stands here by its own name.
ROWS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    (
        "strict",
        "calls",
        "duration",
        "trigger",
        "fault",
        "schedule",
        "invariant",
        "trace",
        "history",
        "linearizability",
        "weakness",
        "variation",
        "verdict",
        "histories",
        "workload",
        "fingerprint",
        "recording",
    ),
    (
        "_kernel.uapi",
        "_kernel.libc",
        "_kernel.hypercall",
        "_kernel.bpf",
        "_kernel.seccomp",
        "_kernel.process",
        "_kernel.memory",
        "_kernel.ptrace",
        "_kernel.auxv",
        "_kernel.vdso",
        "_kernel.drawing",
        "_kernel.message",
        "_kernel.mount",
        "_kernel.namespaces",
        "_kernel.devices",
        "_kernel.view",
    ),
    ("client",),
    (
        "_supervisor.core",
        "_supervisor.postponed",
        "_supervisor.scheduler",
        "_supervisor.decisions",
        "_supervisor.policies",
        "_supervisor.decode",
        "_supervisor.outputs",
        "_supervisor.virtual_time",
        "_supervisor.randomness",
        "_supervisor.tasks",
        "_supervisor.waits",
        "_supervisor.socket_waits",
        "_supervisor.futexes",
        "_supervisor.timers",
        "_supervisor.naming",
        "_supervisor.processor_time",
        "_supervisor.execs",
        "_supervisor.caller",
        "_supervisor.entropy",
        "_supervisor.emulate",
        "_supervisor.connections",
        "_supervisor.weaknesses",
        "_supervisor.asserting",
        "_supervisor.measuring",
        "_supervisor.functions",
        "_supervisor.init",
        "_supervisor.filters",
        "_supervisor.template",
        "_supervisor.launch",
        "_supervisor.state",
        "_supervisor.spinning",
        "_supervisor.intake",
        "_supervisor.postponing",
        "_supervisor.answers",
        "_supervisor.burst",
        "_supervisor.quiescence",
        "_supervisor.footprint",
        "_supervisor.stuck",
        "_supervisor.phases",
        "_supervisor.watching",
        "_supervisor.loop",
    ),
    (
        "subject",
        "failures",
        "descriptors",
        "handlers",
        "points",
        "excuses",
        "served",
        "usual",
        "learning",
        "oracle",
    ),
    (
        "_engine.measured",
        "_engine.changes",
        "_engine.trial",
        "_engine.runner",
        "_engine.fingerprints",
        "_engine.record",
        "_engine.replay",
        "_engine.store",
        "_engine.pool",
        "_engine.variants",
        "_engine.golden",
        "_engine.shrink_passes",
        "_engine.shrink",
        "_engine.coverage",
        "_engine.strategies",
        "_engine.explore",
        "_engine.recovery",
        "_engine.prune",
        "_engine.sweep_cases",
        "_engine.sweep_result",
        "_engine.sweep_tally",
        "_engine.sweep_trials",
        "_engine.sweep",
    ),
    (
        "probe",
        "doctor",
        "report.text",
        "report.replay",
        "report.sweep",
        "report.shrink",
        "report.explore",
        "report.unfired",
        "arguments",
        "console",
        "planning",
        "sweeping",
        "shrinking",
        "exploring",
        "cli",
        "__main__",
        "_pytest.tally",
        "_pytest.sections",
        "_pytest.abilities",
        "_pytest.session",
        "_pytest.fixtures",
        "_pytest.exploring",
        "_pytest.plugin",
        "strategies",
        "stateful",
    ),
)

ORDER = {f"harness.{name}": place for place, name in enumerate(sum(ROWS, ()))}
FACADE = "harness"


def harness_modules() -> dict[str, Path]:
    return {tree.module_name(path): path for path in tree.sources("harness")}


def imported_modules_of_ours(path: Path) -> set[tuple[int, str]]:
    """(line, module) for each module of harness/ that the file imports from."""
    known = harness_modules()
    found = set()
    for one in tree.imports(path):
        if one.top == "harness":
            # `from harness._kernel import bpf` imports from bpf, not from the package.
            found.add((one.line, str(one) if str(one) in known else one.module))
    return found


def is_bare_package(name: str) -> bool:
    """A package that only says what it is for."""
    path = harness_modules().get(name)
    return path is not None and path.name == "__init__.py" and name not in ORDER


def test_every_module_of_the_harness_has_its_place_in_the_table() -> None:
    placeless = [
        f"{path}: has no row in {__name__}.ROWS"
        for name, path in harness_modules().items()
        if name not in ORDER and path.name != "__init__.py"
    ]
    assert not placeless, "\n".join(placeless)


def test_every_module_in_the_table_exists() -> None:
    missing = sorted(ORDER.keys() - harness_modules().keys())
    assert not missing, f"in {__name__}.ROWS but not in harness/: {', '.join(missing)}"


def test_a_module_imports_only_from_what_stands_before_it() -> None:
    wrong = []
    for name, path in harness_modules().items():
        if name not in ORDER:
            continue
        for line, target in sorted(imported_modules_of_ours(path)):
            if target == FACADE or is_bare_package(target):
                continue
            if ORDER.get(target, len(ORDER)) >= ORDER[name]:
                wrong.append(f"{path}:{line}: {name} must not import {target}: it stands later")
    assert not wrong, "\n".join(wrong)


def test_inside_the_harness_nothing_comes_through_the_public_names() -> None:
    wrong = [
        f"{path}:{one.line}: import {one.name} from its own module"
        for path in tree.sources("harness")
        for one in tree.imports(path)
        if one.module == FACADE and one.name != "__version__" and str(one) not in harness_modules()
    ]
    assert not wrong, "\n".join(wrong)


def test_a_package_without_a_row_imports_nothing_of_ours() -> None:
    wrong = [
        f"{path}:{line}: imports {target}: give {name} a row, or move the code into a module"
        for name, path in harness_modules().items()
        if is_bare_package(name) and name != FACADE
        for line, target in imported_modules_of_ours(path)
    ]
    assert not wrong, "\n".join(wrong)


def test_the_harness_never_imports_what_it_is_proved_on() -> None:
    assert_no_import("harness", {"reference", "scenarios", "tests", "benchmarks", "conftest"})


def test_the_reference_services_import_nothing_of_ours() -> None:
    assert_no_import("reference", {"harness", "scenarios", "tests", "benchmarks", "conftest"})


def assert_no_import(folder: str, forbidden: set[str]) -> None:
    wrong = [
        f"{path}:{one.line}: imports {one}"
        for path in tree.sources(folder)
        for one in tree.imports(path)
        if one.top in forbidden
    ]
    assert not wrong, "\n".join(wrong)


def test_ctypes_is_used_only_in_the_kernel_plane() -> None:
    wrong = [
        f"{path}:{one.line}: imports {one}; add a wrapper to harness/_kernel/"
        for path in tree.sources("harness", "reference", "scenarios")
        if path.parts[:2] != ("harness", "_kernel")
        for one in tree.imports(path)
        if one.top in {"ctypes", "_ctypes", "cffi"}
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("import harness.cli", "harness.cli"),
        ("from harness import cli", "harness.cli"),
        ("from ..cli import main", "harness.cli.main"),
        ("from .. import cli", "harness.cli"),
        ("from . import libc", "harness._kernel.libc"),
        ("def f():\n    from .libc import raw", "harness._kernel.libc.raw"),
        ("if TYPE_CHECKING:\n    import ctypes", "ctypes"),
    ],
)
def test_no_way_to_write_an_import_escapes_the_rules(text: str, means: str) -> None:
    (found,) = tree.imports_in(ast.parse(text), ["harness", "_kernel"])
    assert str(found) == means
