"""`python -m benchmarks NAME [--json]`: exit status 0 when it could run, whatever it measured."""

from __future__ import annotations

import argparse
import json
import sys

from harness.errors import HarnessError

from . import forking, kernel_plane, prefork, table, trials
from .facts import commit, machine

BENCHMARKS = {
    "forking": forking.measure,
    "kernel_plane": kernel_plane.measure,
    "prefork": prefork.measure,
    "trials": trials.measure,
}


def main() -> int:
    """Measure and print; 1 when the machine cannot hold a trial."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=BENCHMARKS)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="default: 7")
    parser.add_argument(
        "--laps",
        type=int,
        default=200,
        metavar="N",
        help="of 50 trapped calls, a round; default: 200",
    )
    options = parser.parse_args()
    if options.rounds < 1 or options.laps < 1:
        parser.error("--rounds and --laps are at least 1")
    try:
        figures = BENCHMARKS[options.name](rounds=options.rounds, laps=options.laps)
    except HarnessError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    if options.json:
        facts = {"commit": commit(), "machine": machine()}
        print(json.dumps({**facts, "figures": [figure.to_json() for figure in figures]}, indent=2))
    else:
        print(table(figures))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
