"""`python -m tests.quality --write docs/reference/quality.md`: hunt the planted bugs, hold the
search against chance, and write down what that took.

Without --write, the page goes to standard output. The page is written after each bug, and keeps the
rows of bugs that are not asked for: so it can be made in parts, as by `--only 3,s4`.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from harness._engine.replay import replay
from tests.quality.chance import TRIALS_MAX, compare
from tests.quality.planted import PLANTED, REPLAYS, Bug, Hunt, hunt, mend
from tests.quality.small import ORDERS_MAX, SMALL, Catch, Small, hunt_small, mend_small

HEAD = """\
# Quality of the search

How the tester is tested: bugs that real services of this kind had are planted in variants of the
reference services (`tests/quality/bugs/`, never reachable from the real code), and a sweep must
find each by itself. Nothing points at the bug: the clients are the same ordinary ones for all (one
runs a command, one says hello), and every call of every role, in every phase, gets every kind of
fault that is tried unless others are asked for. Bugs that are there without any fault are looked
for with one ordinary client of the scenarios after the other, and those that no fault shows in
other orders of events, with two first callers at once. Asked for are: that no client waits longer
than half a second (11), short transfers (12), to hold callers (14), to kill them (15), to kill
anybody (18). The search ends at its first finding; an order is shrunk.

The small programs (s1 to s12, `tests/quality/programs/`) are searched by `harness sweep -- CMD` or
`harness explore -- CMD` as anybody would, the two services among them with `--ready` and one
`--client`. In the mended twin of each the same search, to its end, finds nothing. Renaming without
fsync(2) is not among them: what a crash of the machine would lose is not seen when only the process
is killed, for the kernel keeps what was written; s7 has what is seen, a rename before the write.

## Found

| # | what | the bug | found after | found as | by | faults + switches | reproduced | when mended |
|---|---|---|---|---|---|---|---|---|
"""
MIDDLE = f"""
*found after*: trials, and seconds on processors that others use too; for an order it is the number
of the first trial that shows it, and the seconds have the rest of its trials and shrinking. *by*:
the fault of the recording, which is the gentlest that shows the finding, with the fewest events.
*reproduced*: of replays of the recording. *when mended*: what replay says when the bug is out of
the same file.

## Against chance

How many trials it takes to the first finding: the median over some seeds, with our search and with
one by chance, of the same workload and the same kinds of faults. A search ends after {TRIALS_MAX}
trials.

- By chance, each trial is drawn for itself: one of the points at which something can go wrong, and
  one of the faults there; or, where the bug is one of order, any task that can go, at each step.
- Ours is a sweep, whose order is fixed; cases that it holds for equally likely are shuffled by the
  seed, or the number would be luck. Of orders it is `harness explore` with that seed.
- What a fault leads to is the same in each trial, so the searches by faults are counted on the
  results of one exhaustive sweep. Orders are run.

No search can need less than one trial, so where chance needs two there is nothing to win. Bugs that
are there without any fault are not in the table. The order in which a sweep tries things was chosen
among some ten on eight to twelve of these same bugs, so these figures flatter it: only bugs that it
has not been chosen on could tell how good it is.

| # | what | ours | by chance | ratio | seeds |
|---|---|---|---|---|---|
"""
TAIL = f"""
Written by `python -m tests.quality --write docs/reference/quality.md`, in parts by `--only` and
`--seeds`; `pytest tests/quality` holds that each is found, is reproduced every time, and is FIXED
when mended, with at most {ORDERS_MAX} orders for a small program. That each promise of the
[oracles](oracles.md) is kept is held there too, with a bug for each in a service of a few lines.
"""

#: All of them, by their numbers on the page.
BUGS: Mapping[str, Bug | Small] = {str(bug.number): bug for bug in (*PLANTED, *SMALL)}


class Page:
    """The rows of both tables, by number."""

    def __init__(self, text: str = "") -> None:
        found, _, compared = text.partition("## Against chance")
        self.found = _rows(found)
        self.compared = _rows(compared)

    def text(self) -> str:
        found, compared = (
            "".join(rows[number] for number in BUGS if number in rows)
            for rows in (self.found, self.compared)
        )
        return HEAD + found + MIDDLE + compared + self._summary() + TAIL

    def _summary(self) -> str:
        ratios = [float(row.split(" | ")[-2]) for row in self.compared.values()]
        if not ratios:
            return ""
        few = sum(ratio <= 1 / 3 for ratio in ratios)
        return (
            f"\nThe goal is a third of what chance needs: {few} of {len(ratios)} are there. "
            f"The median of the ratios is {statistics.median(ratios):.2f}.\n"
        )


def _rows(table: str) -> dict[str, str]:
    return {row[1]: row[0] for row in re.finditer(r"^\| (s?\d+) \|.*\n", table, re.MULTILINE)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.quality", description=__doc__)
    parser.add_argument("--write", metavar="FILE", type=Path)
    parser.add_argument("--only", metavar="N,...", help="the bugs of these numbers, as 3,s4")
    parser.add_argument("--seeds", metavar="N", type=int, default=30, help="0: not against chance")
    parser.add_argument("--table", choices=("found", "chance"), help="write this one only")
    arguments = parser.parse_args()
    numbers = arguments.only.split(",") if arguments.only else [*BUGS]
    if unknown := [number for number in numbers if number not in BUGS]:
        parser.error(f"no bug has the number {unknown[0]!r}; known: {', '.join(BUGS)}")
    file: Path | None = arguments.write
    page = Page(file.read_text(encoding="utf-8") if file and file.exists() else "")
    jobs = len(os.sched_getaffinity(0))
    for number in numbers:
        if arguments.table != "chance":
            page.found[number] = _row(number, _found(BUGS[number], jobs))
        cells = None
        if arguments.table != "found" and arguments.seeds:
            cells = _compared(BUGS[number], arguments.seeds, jobs)
        if cells:
            page.compared[number] = _row(number, cells)
        if file:
            file.write_text(page.text(), encoding="utf-8")
    if file is None:
        sys.stdout.write(page.text())
    return 0


def _row(number: str, cells: list[str]) -> str:
    return f"| {' | '.join([number, *cells])} |\n"


def _found(bug: Bug | Small, jobs: int) -> list[str]:
    start = [bug.service, bug.what.rstrip(".")]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        caught = (
            hunt_small(bug, folder, jobs) if isinstance(bug, Small) else hunt(bug, folder, jobs)
        )
        return [*start, *(_cells(caught, folder) if caught else ["not found", *[""] * 5])]


def _cells(caught: Hunt | Catch, folder: Path) -> list[str]:
    words = [one.word for one in replay(caught.recording, REPLAYS)]
    after = mend(caught) if isinstance(caught, Hunt) else mend_small(caught, folder)
    schedule = caught.recording.schedule
    return [
        f"{caught.trials} trial{'s' * (caught.trials != 1)}, {caught.seconds:.1f} s",
        caught.finding.describe().replace(f"{folder}/", ""),
        caught.by,
        f"{len(schedule.faults)} + {len(schedule.switches)}",
        f"{words.count('REPRODUCED')} of {len(words)}",
        after.word,
    ]


def _compared(bug: Bug | Small, seeds: int, jobs: int) -> list[str] | None:
    with tempfile.TemporaryDirectory() as folder:
        compared = compare(bug, Path(folder), seeds, jobs)
    if compared is None:
        return None
    return [bug.service, *compared.cells(), str(seeds)]


if __name__ == "__main__":
    sys.exit(main())
