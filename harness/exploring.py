"""`harness explore`: asks the engine for an exploration, and says how far it is and what it
found."""

from __future__ import annotations

import argparse
import json
import os
import sys

from ._engine.explore import ExploreResult, explore
from ._engine.strategies import BOUND
from .console import Teller, left_of, print_lines, say
from .planning import oracle_named, plan_to_repeat
from .report.explore import block, progress, summary, to_json, unclear
from .report.sweep import may_differ
from .schedule import parse_fault_at
from .subject import TrialPlan

_FOUND, _INCONCLUSIVE = 1, 3


def act(options: argparse.Namespace) -> int:
    """Explore, print, and give the exit status. Raises KeyboardInterrupt once it has said what was
    found until then."""
    oracles = [oracle_named(text) for text in options.oracle]
    plan = plan_to_repeat(options)
    teller = Teller(progress, on_terminal=sys.stderr.isatty(), quiet=options.quiet)
    try:
        result = explore(
            plan,
            strategy=options.strategy,
            bound=BOUND if options.bound is None else options.bound,
            kinds=options.faults,
            faults=[parse_fault_at(text, plan.roots[0]) for text in options.fault],
            seed=options.seed,
            trials_max=options.trials,
            budget_s=left_of(options.budget),
            jobs=options.jobs or len(os.sched_getaffinity(0)),
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
    return _INCONCLUSIVE if result.inconclusive or result.unfired else 0


def _print(result: ExploreResult, plan: TrialPlan, options: argparse.Namespace) -> None:
    if lost := [found.not_recorded for found in result.findings if found.not_recorded]:
        say(f"{len(lost)} of {len(result.findings)} findings are not recorded: {lost[0]}")
    if options.format == "json":
        print_lines([json.dumps(to_json(result, plan))])
        return
    lines = [line for found in result.findings for line in block(found, options.oracle)]
    print_lines([*lines, *unclear(result), *may_differ(result.golden), summary(result)])
