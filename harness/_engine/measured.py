"""What coverage.py has measured in a trial, from the trial's view to a directory of the host."""

from __future__ import annotations

import contextlib
import os
import uuid
import zlib
from collections.abc import Iterable

from .._kernel import view
from .._supervisor.measuring import DIRECTORY
from ..errors import UsageError


def directory_for(path: str) -> str:
    """The directory *path*, made if it is not there, absolute. Raises `UsageError`."""
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path}: no directory for coverage: {error.strerror}") from None
    return os.path.abspath(path)


def take_measured(layers: int, nodes: view.Nodes) -> tuple[bytes, ...]:
    """What was measured, of each process; taken out of *nodes*, which are below *layers*."""
    measured = []
    for path in [path for path in nodes if path.startswith(f"{DIRECTORY}/")]:
        node, below = nodes.pop(path)
        if node.kind == "file":
            fd = os.open(below, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=layers)
            with open(fd, "rb") as file:
                measured.append(file.read())
    return tuple(measured)


def keep(measured: Iterable[bytes], directory: str) -> None:
    """Write data files of coverage.py into *directory*, of which none has the name of another. Not
    in the runner, which finds no packages."""
    # Imported here: few trials are measured.
    from coverage import CoverageData

    os.makedirs(directory, exist_ok=True)
    for data in measured:
        kept = CoverageData(os.path.join(directory, f".coverage.{uuid.uuid4().hex}"))
        with contextlib.suppress(zlib.error):  # cut short: its process was killed as it wrote
            kept.loads(data or b"z")
        kept.close()
