"""`harness shrink`: asks the engine for the smallest cause of a recorded finding, and says it."""

from __future__ import annotations

import argparse
import os
import sys
import time

from ._engine import store
from ._engine.pool import Pool
from ._engine.record import plan_of, record
from ._engine.shrink import Aim, Shrunk, identity_of, shrink
from .console import Teller, print_lines
from .errors import HarnessError, UsageError
from .planning import oracle_named
from .recording import Recording
from .report.shrink import block, progress
from .report.sweep import repeat
from .report.text import announcement

_FOUND, _INCONCLUSIVE = 1, 3


def act(options: argparse.Namespace) -> int:
    """Shrink, print, and give the exit status. Raises KeyboardInterrupt once it has said what is
    the simplest until then."""
    until = None if options.budget is None else time.monotonic() + options.budget
    path, recording = _recording(options.name)
    oracles = [oracle_named(text) for text in options.oracle]
    aim = Aim(
        plan=plan_of(recording),
        identity=identity_of(recording.verdict.findings[0]),
        golden=recording.golden,
        oracles=oracles,
    )
    print_lines(announcement(path, recording))
    teller = Teller(progress, on_terminal=sys.stderr.isatty(), quiet=options.quiet)
    try:
        with Pool(options.jobs or len(os.sched_getaffinity(0))) as pool:
            shrunk = shrink(
                aim,
                recording.schedule,
                pool,
                # What the golden run had too is not what makes the difference to it.
                limits=recording.golden is None,
                until=until,
                on_progress=teller,
            )
            teller.clear()
            if shrunk is None:
                return _gone(aim, pool, recording, until)
    finally:
        teller.clear()
    _print(shrunk, aim, recording, options.oracle)
    if shrunk.interrupted is not None:
        raise shrunk.interrupted
    return _FOUND


def _recording(name: str) -> tuple[str, Recording]:
    paths = store.find(name)
    if len(paths) > 1:
        raise UsageError(f"{name} has {len(paths)} recordings: name one of them")
    recording = store.load(paths[0])
    if not recording.verdict.findings:
        raise UsageError(f"{paths[0]}: it has no finding: there is nothing to shrink")
    if recording.schedule.mode == "free":
        raise UsageError(f"{paths[0]}: free mode cannot repeat a trial, so nothing can be left out")
    return str(paths[0]), recording


def _gone(aim: Aim, pool: Pool, recording: Recording, until: float | None) -> int:
    """The recorded schedule does not have the finding: say what it has instead."""
    was = recording.verdict.findings[0].describe()
    ((_, answer),) = pool.run([(0, aim.trial_of(recording.schedule))], until)
    if until is not None and time.monotonic() >= until:
        print_lines([f"INCONCLUSIVE: {was}: the time was over before it was seen again"])
        return _INCONCLUSIVE
    if isinstance(answer, HarnessError):
        print_lines([f"INCONCLUSIVE: it cannot run: {answer}"])
        return _INCONCLUSIVE
    verdict = aim.verdict_on(answer)
    if verdict.status == "PASS":
        print_lines([f"FIXED: {was}: not any more"])
        return 0
    if verdict.status == "INCONCLUSIVE" or aim.is_met_by(verdict):
        why = verdict.reason or "it is there in one run and not in another"
        print_lines([f"INCONCLUSIVE: {was}: {why}"])
        return _INCONCLUSIVE
    print_lines([f"CHANGED: {verdict.findings[0].describe()}; recorded was: {was}"])
    return _FOUND


def _print(shrunk: Shrunk, aim: Aim, recording: Recording, oracles: list[str]) -> None:
    try:
        smaller = record(aim.plan, shrunk.result, shrunk.verdict, recording.golden)
        last = repeat(store.save(smaller), oracles)
    except OSError as error:
        last = f"not recorded: {store.DIRECTORY}: {error.strerror}"
    except HarnessError as error:
        last = f"not recorded: {error}"
    print_lines(block(shrunk, recording.schedule, last))
