"""What the rules look at: this project's own files and what each imports. Judges nothing."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]

# Everything that git ignores and that may lie in a work tree, by folder name.
_NOT_OURS = {"build", "dist", "__pycache__", "node_modules"}


@cache
def files(*suffixes: str) -> tuple[Path, ...]:
    """Our files, relative to the root, in order; all of them when no suffix is given."""
    found: list[Path] = []
    todo = [ROOT]
    while todo:
        for entry in todo.pop().iterdir():
            if entry.is_dir() and not entry.is_symlink():
                hidden = entry.name.startswith(".") and entry.name != ".ci"
                if not hidden and entry.name not in _NOT_OURS and entry.suffix != ".egg-info":
                    todo.append(entry)
            elif not suffixes or entry.suffix in suffixes:
                found.append(entry.relative_to(ROOT))
    return tuple(sorted(found))


def sources(*folders: str) -> tuple[Path, ...]:
    """Our Python files below these folders, relative to the root."""
    return tuple(path for path in files(".py") if path.parts[0] in folders)


def text(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(text(path), filename=str(path))


def module_name(path: Path) -> str:
    """``harness/_kernel/bpf.py`` is ``harness._kernel.bpf``; an ``__init__`` is its package."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


class Import(NamedTuple):
    """One imported thing: ``from a.b import c`` has module ``a.b`` and name ``c``."""

    line: int
    module: str
    name: str | None

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]

    def __str__(self) -> str:
        return self.module if self.name is None else f"{self.module}.{self.name}"


def imports(path: Path) -> Iterator[Import]:
    """Every import of the file: at the top, in a function, or for type checkers only."""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package.pop()
    return imports_in(parsed(path), package)


def imports_in(module: ast.Module, package: list[str]) -> Iterator[Import]:
    """Every import of a module that lies in *package*; relative ones are made absolute."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name, None)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *filter(None, [node.module])])
            for alias in node.names:
                yield Import(node.lineno, source, alias.name)
