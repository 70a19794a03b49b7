"""`python -m tests.quality --write docs/reference/quality.md`: hunt the planted bugs, and write
down what that took. Without --write, the page goes to standard output."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tests.quality.planted import PLANTED, Bug, Hunt, again, hunt, mend

HEAD = """\
# Quality of the search

How the tester is tested: bugs that real services of this kind had are planted in variants of the
reference services (`tests/quality/bugs/`, never reachable from the real code), and a sweep must
find each by itself. Nothing points at the bug: the clients are the same ordinary ones for all (one
runs a command, one says hello), and every call of every role, in every phase, gets every kind of
fault that is tried unless others are asked for. Bugs that are there without any fault are looked
for with one ordinary client of the scenarios after the other, and those that no fault shows in
other orders of events, with two first callers at once. Asked for are: short transfers (12), to hold
callers (14), to kill them (15), to kill anybody (18). The search ends at its first finding; an
order is shrunk.

| # | service | the bug | found after | found as | by | faults | reproduced | when mended |
|---|---|---|---|---|---|---|---|---|
"""
TAIL = """
*found after*: trials, and seconds on {cpus} processors that others use too. *by*: the fault of the
recording, which is the trial with the fewest events that shows the finding. *reproduced*: of
replays of the recording. *when mended*: what replay says when the bug is out of the same file.

Written by `python -m tests.quality --write docs/reference/quality.md`; `pytest tests/quality`
holds that each is found, is reproduced every time, and is FIXED when mended. That each promise of
the [oracles](oracles.md) is kept is held there too, with a bug for each in a service of a few
lines.
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.quality", description=__doc__)
    parser.add_argument("--write", metavar="FILE", type=Path)
    arguments = parser.parse_args()
    cpus = len(os.sched_getaffinity(0))
    page = HEAD + "".join(_row(bug, cpus) for bug in PLANTED) + TAIL.format(cpus=cpus)
    if arguments.write is None:
        sys.stdout.write(page)
    else:
        arguments.write.write_text(page, encoding="utf-8")
    return 0


def _row(bug: Bug, jobs: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        caught = hunt(bug, Path(folder), jobs)
        cells = _cells(caught) if caught is not None else ["not found", "", "", "", "", ""]
    return f"| {' | '.join([str(bug.number), bug.service, bug.what.rstrip('.'), *cells])} |\n"


def _cells(caught: Hunt) -> list[str]:
    replays = again(caught)
    reproduced = sum(one.word == "REPRODUCED" for one in replays)
    return [
        f"{caught.trials} trial{'s' * (caught.trials != 1)}, {caught.seconds:.1f} s",
        caught.finding.describe(),
        caught.by,
        str(caught.faults),
        f"{reproduced} of {len(replays)}",
        mend(caught).word,
    ]


if __name__ == "__main__":
    sys.exit(main())
