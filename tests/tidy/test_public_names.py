"""What ``import harness`` gives, what it costs, and that it is said in words."""

import ast
import subprocess
import sys

import pytest

import harness
from tests.tidy import tree

# Documented once, in docs/reference/values.md, since they mean the same for every value.
SAME_EVERYWHERE = {"describe", "to_json", "from_json"}

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DEFINITIONS = (*FUNCTIONS, ast.ClassDef)


def imports_for_type_checkers() -> dict[str, str]:
    """Public name -> module below harness/, from the ``X as X`` lines of harness/__init__.py."""
    found = {}
    for path in tree.sources("harness"):
        if tree.module_name(path) == "harness":
            for node in ast.walk(tree.parsed(path)):
                if isinstance(node, ast.ImportFrom) and node.module and "harness" in node.module:
                    for alias in node.names:
                        assert alias.asname == alias.name, f"write {alias.name} as {alias.name}"
                        found[alias.name] = node.module.removeprefix("harness.")
    return found


def test_the_names_at_run_time_are_those_that_type_checkers_see() -> None:
    assert imports_for_type_checkers() == harness._HOME


@pytest.mark.parametrize("name", sorted(harness._HOME))
def test_a_public_name_resolves_and_is_listed(name: str) -> None:
    assert getattr(harness, name) is not None
    assert name in dir(harness)


def test_an_unknown_name_is_an_attribute_error_as_in_any_module() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Shedule'"):
        harness.Shedule  # noqa: B018  (the look-up is what is tested)


def test_importing_the_package_imports_nothing_else() -> None:
    program = (
        "import sys; before = set(sys.modules); import harness; "
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tree.ROOT
    )
    assert done.stdout.split() == ["harness"], done.stdout + done.stderr


def is_public(name: str) -> bool:
    return not name.startswith("_")


def is_documented(node: ast.stmt) -> bool:
    return isinstance(node, DEFINITIONS) and bool(ast.get_docstring(node))


def undocumented(module: ast.Module) -> list[tuple[int, str]]:
    """(line, name) of each public class, function and method of a module without a docstring."""
    found = [] if ast.get_docstring(module) else [(1, "the module")]
    public = [
        node for node in module.body if isinstance(node, DEFINITIONS) and is_public(node.name)
    ]
    found += [(node.lineno, node.name) for node in public if not ast.get_docstring(node)]
    # An overriding method does what the overridden one says.
    classes = [node for node in module.body if isinstance(node, ast.ClassDef)]
    said = {method.name for node in classes for method in node.body if is_documented(method)}
    for node in public:
        if isinstance(node, ast.ClassDef):
            found += [
                (method.lineno, f"{node.name}.{method.name}")
                for method in node.body
                if isinstance(method, FUNCTIONS) and is_public(method.name)
                if not is_documented(method)
                if method.name not in SAME_EVERYWHERE and not (node.bases and method.name in said)
            ]
    return found


def test_everything_public_says_what_it_is_for() -> None:
    wrong = []
    for path in tree.sources("harness", "reference"):
        public = all(map(is_public, tree.module_name(path).split(".")))
        silent = undocumented(tree.parsed(path))
        # A private module owes its reader only what the module itself is for.
        wrong += [
            f"{path}:{line}: {name} has no docstring"
            for line, name in silent
            if public or name == "the module"
        ]
    assert not wrong, "\n".join(wrong)
