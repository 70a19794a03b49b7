"""What a trial has changed: what the writable layers of its view hold, without what is there
unchanged.

An overlay copies a file into its layer as soon as it is opened for writing, and a directory when
something is made in it, whether or not that comes to anything. So a layer holds more than what has
changed, and what it holds is compared with what lies below it.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from io import BufferedReader

from .._kernel import view
from ..recording import InputFile
from ..strict import sha256_of
from ..subject import TrialPlan
from ..verdict import FileChange

#: How much of an output or of a file is kept for who wants all of it, in bytes.
WHOLE_MAX = 256 << 10
_ALL_MAX = 4 << 20  # of all files of a trial together
_READ_MAX = 64 << 20  # of a file that a trial wrote; a sparse one may have any size


def view_of(plan: TrialPlan) -> view.ViewPlan:
    """What the trials of *plan* see, but for its inputs."""
    return view.ViewPlan(plan.cwd, plan.home, plan.bind, plan.write)


def changes(
    plan: TrialPlan, layers: int, before: view.Nodes, after: view.Nodes
) -> tuple[FileChange, ...]:
    """The names that are not as they were. *layers* is the directory of the layers, *before* and
    *after* are what they held."""
    found = []
    inputs = {file.path: file for file in plan.inputs if file.data is not None}
    for path, (node, below) in sorted(after.items()):
        if path in before and before[path][0] == node:
            continue
        digest = _digest(layers, below, node)
        size = node.size if digest or node.kind == "file" else 0
        change = FileChange(path=path, kind=node.kind, mode=node.mode, size=size, sha256=digest)
        if path in before or not _is_a_copy(plan, inputs.get(path), change, node.stamp):
            found.append(change)
    for path in sorted(before.keys() - after.keys()):
        found.append(FileChange(path=path, kind="deleted", mode=0, size=0, sha256=""))
    return tuple(found)


def _is_a_copy(plan: TrialPlan, laid_out: InputFile | None, change: FileChange, stamp: int) -> bool:
    """Whether this is what lies below, a file that was *laid_out* or one of the host's, and no
    more than its times may be others. One too large to be read is, when not even they are."""
    if change.kind not in ("file", "dir", "symlink"):
        return False
    if laid_out is not None:
        return (change.kind, change.mode, change.sha256) == (
            "file",
            laid_out.mode,
            laid_out.sha256,
        )
    try:
        status = os.lstat(change.path)
        if view.kind_of(status) != change.kind or stat.S_IMODE(status.st_mode) != change.mode:
            return False
        if view.is_hidden(view_of(plan), change.path):
            return False
        if change.kind == "dir":
            return True
        if status.st_size != change.size:
            return False
        if not change.sha256:
            return status.st_mtime_ns == stamp
        return _digest_of_host(change) == change.sha256
    except OSError:
        return False


def _digest_of_host(change: FileChange) -> str:
    if change.kind == "symlink":
        return sha256_of(os.fsencode(os.readlink(change.path)))
    with open(change.path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(layers: int, below: str, node: view.Node) -> str:
    """SHA-256 of a file's contents or a link's target; empty when it has neither, when it is too
    large to read, or not ours to."""
    if node.kind == "symlink":
        return sha256_of(_target(layers, below))
    if node.kind != "file" or node.size > _READ_MAX:
        return ""
    file = _open(layers, below)
    if file is None:
        return ""
    with file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _target(layers: int, below: str) -> bytes:
    return os.fsencode(os.readlink(below, dir_fd=layers))


def _open(layers: int, below: str) -> BufferedReader | None:
    """The file, or None when it is not ours to read."""
    try:
        return open(os.open(below, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=layers), "rb")
    except PermissionError:
        return None


def contents(
    layers: int, after: view.Nodes, changed: Iterable[FileChange]
) -> Iterator[tuple[str, bytes]]:
    """All of what each of the *changed* files has in it, and where each link goes; of those that
    are not too large, and ours to read."""
    left = _ALL_MAX
    for change in changed:
        if change.path not in after or not change.sha256 or change.size > min(WHOLE_MAX, left):
            continue
        _, below = after[change.path]
        if change.kind == "symlink":
            yield change.path, _target(layers, below)
        elif (file := _open(layers, below)) is not None:
            with file:
                data = file.read()
            left -= len(data)
            yield change.path, data
