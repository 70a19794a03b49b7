"""Whether the program has changed since it was started."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import ModuleType


def files_of(modules: Mapping[str, ModuleType | None]) -> list[str]:
    """The files of *modules*, each once. Those that are built in or frozen have none."""
    found: dict[str, None] = {}
    for module in list(modules.values()):
        path = getattr(module, "__file__", None)
        if isinstance(path, str) and path:
            found[os.path.abspath(path)] = None
    return list(found)


def newer(paths: Iterable[str], than_ns: int) -> str | None:
    """The first of *paths* that was modified after *than_ns*; None when none was.

    One that is missing is as old as can be: it may come and go. OSError when one cannot be looked
    at for another reason.
    """
    for path in paths:
        try:
            modified_ns = os.stat(path).st_mtime_ns
        except (FileNotFoundError, NotADirectoryError):  # the latter: a module in an archive
            continue
        if modified_ns > than_ns:
            return path
    return None
