"""A failure that is on record, for the tests of what becomes of it."""

from __future__ import annotations

from pathlib import Path

from tests.system.support import Completed, harness

#: It reports a full disk by exit status 5.
CARELESS = """#!/bin/sh
cat data > copy || exit 5
cmp data copy && echo copied
"""
MENDED = CARELESS.replace("|| exit 5", "|| cat data > copy")
BROKEN_OTHERWISE = CARELESS.replace("exit 5", "exit 6")
FAULT = "main/0:write=ENOSPC"


class Case:
    """A folder with a program, its data, and a recording of its failure."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = folder / "copy.sh"
        self.data = folder / "data"
        self.file = folder.parent / "recorded.json"
        self.lay_out()
        run = ("run", "--fault", FAULT, "--record", str(self.file), "--", "./copy.sh")
        made = harness(*run, cwd=folder)
        assert made.returncode == 5, made
        self.text = self.file.read_text()

    def lay_out(self) -> None:
        """The folder as it was when the recording was made."""
        self.folder.mkdir(exist_ok=True)
        self.write(CARELESS)
        self.data.write_text("precious\n")
        self.data.chmod(0o644)

    def write(self, text: str) -> None:
        """Another program in its place."""
        self.program.write_text(text)
        self.program.chmod(0o755)

    def replay(self, *options: str, cwd: Path | None = None) -> Completed:
        return harness("replay", *options, str(self.file), cwd=cwd or self.folder)


def said(done: Completed) -> list[str]:
    """What `replay` says after it has announced what it runs."""
    return [line for line in done.stdout.splitlines()[1:] if not line.startswith(" ")]


def changed(done: Completed) -> list[str]:
    """What `replay` names as changed."""
    before = "  changed since the recording: "
    lines = done.stdout.splitlines()
    return [line.removeprefix(before) for line in lines if line.startswith(before)]
