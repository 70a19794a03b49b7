"""`harness sweep`: asks the engine for a sweep, and says how far it is and what it found."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable

from ._engine.sweep import Progress, SweepResult, sweep
from .console import print_lines, say, tell
from .planning import oracle_named, plan_to_repeat
from .points import KINDS
from .report.sweep import block, progress, summary, to_json, unclear
from .subject import TrialPlan

_FOUND, _INCONCLUSIVE = 1, 3
_EVERY_S, _EVERY_ON_TERMINAL_S = 5.0, 0.1
_TO_LINE_START, _CLEAR = "\r", "\x1b[K"


def act(options: argparse.Namespace) -> int:
    """Sweep, print, and give the exit status. Raises KeyboardInterrupt once it has said what was
    found until then."""
    oracles = [oracle_named(text) for text in options.oracle]
    plan = plan_to_repeat(options)
    teller = _Teller(on_terminal=sys.stderr.isatty(), quiet=options.quiet)
    try:
        result = sweep(
            plan,
            kinds=options.faults or KINDS,
            roles=options.roles,
            calls=options.calls,
            jobs=options.jobs or len(os.sched_getaffinity(0)),
            budget_s=options.budget,
            oracles=oracles,
            on_progress=teller,
        )
    finally:
        teller.clear()
    _print(result, plan, options)
    if result.interrupted is not None:
        raise result.interrupted
    if result.findings:
        return _FOUND
    return _INCONCLUSIVE if result.inconclusive else 0


def _print(result: SweepResult, plan: TrialPlan, options: argparse.Namespace) -> None:
    if lost := [found.not_recorded for found in result.findings if found.not_recorded]:
        say(f"{len(lost)} of {len(result.findings)} findings are not recorded: {lost[0]}")
    if options.format == "json":
        print_lines([json.dumps(to_json(result, plan))])
        return
    lines = [line for found in result.findings for line in block(found, plan, options.oracle)]
    print_lines([*lines, *unclear(result), summary(result)])


class _Teller:
    """Says how far the sweep is: on a terminal on one line that changes, else now and then."""

    def __init__(
        self, *, on_terminal: bool, quiet: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._on_terminal = on_terminal and not quiet
        self._quiet = quiet
        self._every_s = _EVERY_ON_TERMINAL_S if on_terminal else _EVERY_S
        self._clock = clock
        self._last_s = clock()

    def __call__(self, now: Progress) -> None:
        time_s = self._clock()
        if self._quiet or time_s - self._last_s < self._every_s:
            return
        self._last_s = time_s
        if self._on_terminal:
            self._write(_TO_LINE_START + progress(now) + _CLEAR)
        else:
            tell(progress(now))

    def clear(self) -> None:
        """Nothing of the line stays."""
        if self._on_terminal:
            self._write(_TO_LINE_START + _CLEAR)

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except OSError:
            pass  # nobody looks any more
