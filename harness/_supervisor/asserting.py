"""Asserts that show their values, in the modules where pytest's own would: its rewriter compiles
them, when there is a pytest.

Which modules these are goes by the name of the file, not by what pytest did in some process: so a
replay, where there is none, says the same."""

from __future__ import annotations

import ast
import contextlib
import fnmatch
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType

from ..workload import Workload

#: Source: python_files in pytest's reference, and its conftest.py.
_REWRITTEN = ("test_*.py", "*_test.py", "conftest.py")


@contextlib.contextmanager
def asserts_speak(workload: Workload) -> Iterator[None]:
    """Within the block the module of *workload* is imported so that its asserts show values."""
    finder = _Finder(workload.module)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Finder:
    """Finds one module, where it is found anyway."""

    def __init__(self, module: str) -> None:
        self._module = module

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path) if name == self._module else None
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = loader_of(name, spec.loader.path)
        return spec


def loader_of(module: str, file: str) -> SourceFileLoader | None:
    """What loads *module* from *file*, its asserts rewritten where pytest would rewrite them; None
    when that is no source."""
    name = os.path.basename(file)
    if not name.endswith(".py"):
        return None
    is_rewritten = any(fnmatch.fnmatch(name, pattern) for pattern in _REWRITTEN)
    return (_Rewriting if is_rewritten else SourceFileLoader)(module, file)


class _Rewriting(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType | None:
        try:
            from _pytest.assertion.rewrite import rewrite_asserts
        except ImportError:
            return super().get_code(fullname)
        source = self.get_data(self.path)
        tree = ast.parse(source, filename=self.path)
        rewrite_asserts(tree, source, self.path)
        code: CodeType = compile(tree, self.path, "exec", dont_inherit=True)
        return code
