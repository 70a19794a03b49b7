"""Small programs with classic bugs, each with its mended twin: what it is called with, and how it
is searched as by the command line. Nothing points at the bug.

In C the twin is what `-DMENDED` makes of the source, in Python what `MENDED = True` does.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness._engine import store
from harness._engine.explore import explore
from harness._engine.replay import Replay, replay
from harness._engine.sweep import sweep
from harness.arguments import parser
from harness.planning import plan_to_repeat
from harness.subject import TrialPlan
from tests.quality.caught import Caught, stop_at_the_first

PROGRAMS = Path(__file__).with_name("programs")
#: Of a search that goes to its end, where orders are tried.
ORDERS_MAX = 300
#: What a program may read, in the directory that it runs in.
_INPUT = "".join(f"line {number}\n" for number in range(20))
_SERVICE = ("--ready", "socket", "--client", "./ask socket")


@dataclass(frozen=True, kw_only=True, slots=True)
class Small:
    """A small program: its *number* on the page, its *file* in programs/, the command that
    searches it, its *arguments*, and the search's *options*."""

    number: str
    file: str
    by: Literal["sweep", "explore"] = "sweep"
    arguments: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    @property
    def service(self) -> str:
        """What it is, for the table of all planted bugs."""
        language = "C" if self.file.endswith(".c") else "Python"
        return f"a small service in {language}" if self.options else f"small, in {language}"

    @property
    def what(self) -> str:
        """Its description: the comment at the head of its source."""
        source = (PROGRAMS / self.file).read_text(encoding="utf-8")
        found = re.match(r'/\* (.*?) \*/|"""(.*?)"""', source, re.DOTALL)
        assert found is not None, f"{self.file} does not say what its bug is"
        return " ".join((found[1] or found[2]).split())

    @property
    def command(self) -> tuple[str, ...]:
        if self.file.endswith(".c"):
            return (f"./{Path(self.file).stem}", *self.arguments)
        # The interpreter itself, which must not keep what it compiled: that is no matter of ours.
        return (os.path.realpath(sys.executable), "-S", "-E", "-B", self.file, *self.arguments)

    @property
    def line(self) -> list[str]:
        """The arguments of `harness`."""
        return [self.by, *self.options, "--", *self.command]

    def build(self, folder: Path, *, mended: bool = False) -> None:
        """Lay it, or its twin, out in *folder*."""
        (folder / "input").write_text(_INPUT, encoding="ascii")
        if self.options:
            _compile("ask.c", folder)
        if self.file.endswith(".c"):
            _compile(self.file, folder, *["-DMENDED"] * mended)
            return
        source = (PROGRAMS / self.file).read_text(encoding="utf-8")
        before, switch, after = source.partition("MENDED = False\n")
        assert switch, f"{self.file} has no twin"
        twin = f"{before}MENDED = {mended}\n{after}"
        (folder / self.file).write_text(twin, encoding="utf-8")

    def plan(self, folder: Path) -> TrialPlan:
        """The trial of it in *folder*, as the command line makes it."""
        acts = dict.fromkeys(_COMMANDS, lambda options: 0)
        with contextlib.chdir(folder):
            return plan_to_repeat(
                parser(acts).parse_args([self.line[0], *_NO_INPUT, *self.line[1:]])
            )


_COMMANDS = ("run", "sweep", "explore", "replay", "shrink", "show", "doctor")
_NO_INPUT = ("--stdin", "/dev/null")

SMALL = (
    Small(number="s1", file="ignored_close.c"),
    Small(number="s2", file="interrupted_wait.c"),
    Small(number="s3", file="short_read.py", arguments=("input",)),
    Small(number="s4", file="lost_sigchld.c", by="explore"),
    Small(number="s5", file="double_close.c", by="explore"),
    Small(number="s6", file="ignored_fork.c"),
    Small(number="s7", file="early_rename.c", arguments=("socket",), options=_SERVICE),
    Small(number="s8", file="lock_race.c", by="explore"),
    Small(number="s9", file="stat_then_open.c", by="explore"),
    Small(number="s10", file="dead_child.c"),
    Small(number="s11", file="partial_write.py"),
    Small(number="s12", file="dead_pid_file.c", arguments=("socket",), options=_SERVICE),
)


def compiler() -> str | None:
    """A C compiler, if there is one."""
    return shutil.which("gcc") or shutil.which("cc")


def _compile(source: str, folder: Path, *flags: str) -> None:
    cc = compiler()
    assert cc is not None
    program = folder / Path(source).stem
    subprocess.run(
        [cc, "-O1", "-Wall", "-Werror", "-pthread", *flags, "-o", program, PROGRAMS / source],
        check=True,
        timeout=60,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Catch(Caught):
    """What came of searching one small program."""

    bug: Small


def hunt_small(bug: Small, folder: Path, jobs: int = 1, *, shrinks: bool = True) -> Catch | None:
    """Search until there is a finding; None when there is none. What was found is stored in
    *folder*, where the program is; an order is shrunk, unless not."""
    bug.build(folder)
    plan, where, began = bug.plan(folder), str(folder / "store"), time.monotonic()
    if bug.by == "sweep":
        swept = sweep(plan, exitfirst=True, jobs=jobs, store=where)
        if not swept.findings:
            return None
        one = swept.findings[0]
        finding, by, trials, ident = one.finding, f"`{one.fault}`", swept.trials, one.ident
    else:
        on_progress = None if shrinks else stop_at_the_first
        tried = explore(
            plan, trials_max=ORDERS_MAX, jobs=jobs, store=where, on_progress=on_progress
        )
        if not tried.findings:
            return None
        first = min(tried.findings, key=lambda found: found.first)
        finding, trials, ident = first.finding, first.first, first.ident
        count = len(first.result.schedule.switches)
        by = f"another order: {count} switch{'es' * (count != 1)}"
    assert ident is not None
    return Catch(
        bug=bug,
        trials=trials,
        seconds=time.monotonic() - began,
        finding=finding,
        by=by,
        recording=store.load(folder / "store" / ident / "recording.json"),
    )


def findings_of_twin(bug: Small, folder: Path, jobs: int = 1) -> list[str]:
    """What the same search, to its end, finds in the mended program."""
    bug.build(folder, mended=True)
    plan = bug.plan(folder)
    if bug.by == "sweep":
        swept = sweep(plan, jobs=jobs, store=None)
        unclear = [one.reason for one in swept.inconclusive]
        return [*(found.finding.describe() for found in swept.findings), *unclear]
    tried = explore(plan, trials_max=ORDERS_MAX, jobs=jobs, store=None)
    unclear = [reason for reason, _ in tried.inconclusive]
    return [*(found.finding.describe() for found in tried.findings), *unclear]


def mend_small(caught: Catch, folder: Path) -> Replay:
    """The recording, replayed with the mended program in place of the other."""
    caught.bug.build(folder, mended=True)
    (after,) = replay(caught.recording)
    return after
