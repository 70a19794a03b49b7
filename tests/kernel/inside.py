"""A process in a view, as the tests of views talk with it; what the host looked like before."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from harness._kernel import view
from harness._kernel.view import ViewPlan
from tests.kernel.servant import Servant, Teller

# Directories that are there, that nobody writes during the tests, and of which nothing is fresh.
SYSTEM = "/usr"
SYSTEM_DIR = "/usr/share"
NO_HOME = "/nonexistent"

Snapshot = dict[str, tuple[int, int, int, int, bytes]]


class Inside(NamedTuple):
    """A process in a view, and the layers behind it."""

    inmate: Teller
    layers: int
    before: view.Nodes

    def sh(self, script: str) -> str:
        """The output of a shell script, in the view's working directory."""
        quoted = repr(["sh", "-ec", script])
        status, output = self.inmate.ask(
            "[done := subprocess.run("
            f"{quoted}, stdout=-1, stderr=-2, text=True, errors='surrogateescape'"
            "), (done.returncode, done.stdout)][1]"
        )
        assert status == 0, output
        return str(output)

    def changes(self) -> dict[str, str]:
        """Path -> kind, of all that differs from the beginning."""
        after = view.nodes(self.layers)
        found = {
            path: str(node.kind)
            for path, (node, _) in after.items()
            if path not in self.before or self.before[path][0] != node
        }
        return found | dict.fromkeys(self.before.keys() - after.keys(), "deleted")


Enter = Callable[..., Inside]


def snapshot(top: Path) -> Snapshot:
    """All that a trial could change: names, owners, modes, times, contents."""
    found: Snapshot = {}
    for path in (top, *top.rglob("*")):
        status = path.lstat()
        content = b""
        if stat.S_ISLNK(status.st_mode):
            content = os.fsencode(os.readlink(path))
        elif stat.S_ISREG(status.st_mode):
            content = path.read_bytes()
        found[str(path)] = (
            status.st_mode,
            status.st_uid,
            status.st_gid,
            status.st_mtime_ns,
            content,
        )
    return found


def below(inside: Inside, top: object) -> dict[str, str]:
    """The changes, by their paths from *top*."""
    return {os.path.relpath(path, str(top)): kind for path, kind in inside.changes().items()}


def grow(top: Path) -> Path:
    """A directory of the host's with one of each, below /tmp."""
    (top / "dir" / "sub").mkdir(parents=True)
    (top / "file").write_text("old")
    (top / "dir" / "sub" / "deep").write_text("deep")
    (top / "program").write_text("#!/bin/sh\necho ran\n")
    (top / "program").chmod(0o750)
    (top / "link").symlink_to("file")
    return top


@contextmanager
def entering(tree: Path) -> Iterator[Enter]:
    """Build a view in a fresh namespace: `enter(cwd, home, bind=(), write=())`.

    Afterwards the host's tree must be as it was when the view was built.
    """
    before: Snapshot = {}
    with ExitStack() as stack:

        def enter(cwd: object, home: object = NO_HOME, **more: tuple[str, ...]) -> Inside:
            before.update(snapshot(tree))
            plan = ViewPlan(str(cwd), str(home), **more)
            servant = stack.enter_context(Servant())
            try:
                inmate = stack.enter_context(servant.inmate())
            except OSError as error:
                pytest.skip(f"no user namespaces: {error}; fix: harness doctor says how")
            inmate.do(f"layers = view.build(view.ViewPlan(*{tuple(plan)!r}))")
            layers = inmate.take_fd("layers")
            stack.callback(os.close, layers)
            return Inside(inmate, layers, view.nodes(layers))

        yield enter
    if before:
        assert snapshot(tree) == before, "the host has changed"
