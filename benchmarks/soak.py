"""The full sizes, run and written down: `python -m benchmarks.soak --write FILE`.

Runs both suites with HARNESS_EFFORT=full and all benchmarks, or those parts that are named, and
writes what was run and found: how many tests, the counts that tests recorded (`record_property`),
the figures, and for each part its commit and machine. What FILE has of other parts is kept. Exit
status 1 when a test failed; the file is written all the same, after each part.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from .__main__ import BENCHMARKS
from .facts import ROOT, commit, machine, now


def main() -> int:
    """Run everything; 0 when nothing failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument(
        "--write", metavar="FILE", help="where the JSON goes (default: standard output)"
    )
    parser.add_argument(
        "parts",
        metavar="PART",
        nargs="*",
        default=["tests", "scenarios", *BENCHMARKS],
        help=f"a folder, a file, or a benchmark: {', '.join(BENCHMARKS)}",
    )
    options = parser.parse_args()
    paths = {part for part in options.parts if part not in BENCHMARKS}
    if missing := sorted(part for part in paths if not (ROOT / part).exists()):
        parser.error(f"not in {ROOT}: {', '.join(missing)}")
    report: dict[str, Any] = {"suites": {}, "benchmarks": {}}
    if options.write and Path(options.write).exists():
        report = json.loads(Path(options.write).read_text())
    failed = 0
    for part in options.parts:
        if part in BENCHMARKS:
            report["benchmarks"][part] = figures(part)
        else:
            report["suites"][part] = suite(part)
            failed += report["suites"][part]["failed"]
        if options.write:
            Path(options.write).write_text(_text(report))
    if not options.write:
        print(_text(report), end="")
    return int(failed > 0)


def _text(report: Any) -> str:
    return json.dumps(report, indent=2) + "\n"


def suite(part: str) -> dict[str, Any]:
    """Run one part at full size: its counts, its seconds, and what its tests recorded. When it was
    *interrupted*, the tests that ran then are among those that passed."""
    facts = {"began": now(), "commit": commit(), "machine": machine()}
    with tempfile.TemporaryDirectory() as directory:
        xml = Path(directory, "junit.xml")
        environment = {**os.environ, "HARNESS_EFFORT": "full"}
        command = [sys.executable, "-m", "pytest", "-q", part, f"--junitxml={xml}"]
        done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
        tree = ET.parse(xml).getroot()
    cases = list(tree.iter("testcase"))
    outcomes = [next((kind.tag for kind in case if kind.tag in _WORST), "passed") for case in cases]
    return facts | {
        "passed": outcomes.count("passed"),
        "failed": outcomes.count("failure") + outcomes.count("error"),
        "skipped": outcomes.count("skipped"),
        "interrupted": done.returncode == pytest.ExitCode.INTERRUPTED,
        "seconds": round(sum(float(one.get("time", 0)) for one in tree.iter("testsuite")), 1),
        "recorded": [
            {
                "test": f"{case.get('classname')}.{case.get('name')}",
                one.get("name"): one.get("value"),
            }
            for case in cases
            for one in case.iter("property")
        ],
    }


_WORST = ("failure", "error", "skipped")


def figures(name: str) -> Any:
    """What `python -m benchmarks NAME --json` prints."""
    command = [sys.executable, "-m", "benchmarks", name, "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    try:
        return json.loads(done.stdout)
    except ValueError:
        return {"error": done.stderr.strip()[-500:]}


if __name__ == "__main__":
    raise SystemExit(main())
