"""`harness sweep`: asks the engine for a sweep, and says how far it is and what it found."""

from __future__ import annotations

import argparse
import json
import os
import sys

from ._engine.sweep import sweep
from ._engine.sweep_result import SweepResult
from .console import Teller, left_of, print_lines, say
from .planning import oracle_named, plan_to_repeat
from .points import KINDS
from .report.sweep import block, may_differ, progress, summary, to_json, unclear, weakened
from .subject import TrialPlan

_FOUND, _INCONCLUSIVE = 1, 3


def act(options: argparse.Namespace) -> int:
    """Sweep, print, and give the exit status. Raises KeyboardInterrupt once it has said what was
    found until then."""
    oracles = [oracle_named(text) for text in options.oracle]
    plan = plan_to_repeat(options)
    teller = Teller(progress, on_terminal=sys.stderr.isatty(), quiet=options.quiet)
    try:
        result = sweep(
            plan,
            kinds=options.faults or KINDS,
            roles=options.roles,
            calls=options.calls,
            jobs=options.jobs or len(os.sched_getaffinity(0)),
            lasting=options.lasting,
            pairs=options.pairs,
            prune=options.prune,
            exitfirst=options.exitfirst,
            budget_s=left_of(options.budget),
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
    said = [*unclear(result), *weakened(result), *may_differ(result.golden)]
    print_lines([*lines, *said, summary(result)])
