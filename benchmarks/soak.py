"""The full sizes, run once and written down: `python -m benchmarks.soak --write FILE`.

Runs both suites, or those of their parts that are named, with HARNESS_EFFORT=full, and the
benchmarks, and writes what was run and found: how many tests, the counts that tests recorded
(`record_property`), the figures, the commit and the machine. Exit status 1 when a test failed; the
file is written all the same.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


def main() -> int:
    """Run everything; 0 when nothing failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument(
        "--write", metavar="FILE", help="where the JSON goes (default: standard output)"
    )
    parser.add_argument(
        "parts", metavar="PART", nargs="*", default=["tests", "scenarios"], help="a folder or file"
    )
    options = parser.parse_args()
    if missing := [part for part in options.parts if not (ROOT / part).exists()]:
        parser.error(f"not in {ROOT}: {', '.join(missing)}")
    began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    report = {
        "began": began,
        "commit": commit(),
        "machine": machine(),
        "suites": {name: suite(name) for name in options.parts},
        "benchmarks": {name: figures(name) for name in ("kernel_plane", "trials")},
    }
    text = json.dumps(report, indent=2) + "\n"
    if options.write:
        Path(options.write).write_text(text)
    else:
        print(text, end="")
    return int(any(one["failed"] for one in report["suites"].values()))


def suite(part: str) -> dict[str, Any]:
    """Run one part at full size: its counts, its seconds, and what its tests recorded. When it was
    *interrupted*, the tests that ran then are among those that passed."""
    with tempfile.TemporaryDirectory() as directory:
        xml = Path(directory, "junit.xml")
        environment = {**os.environ, "HARNESS_EFFORT": "full"}
        command = [sys.executable, "-m", "pytest", "-q", part, f"--junitxml={xml}"]
        done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
        tree = ET.parse(xml).getroot()
    cases = list(tree.iter("testcase"))
    outcomes = [next((kind.tag for kind in case if kind.tag in _WORST), "passed") for case in cases]
    return {
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


def commit() -> str:
    """The commit that is checked out, with `+changes` when the checkout differs from it."""
    revision = _git("rev-parse", "HEAD")
    return revision + ("+changes" if _git("status", "--porcelain", "--untracked-files=no") else "")


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    named = [
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    model = named[0].partition(":")[2].strip() if named else platform.machine()
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "user": "root" if os.geteuid() == 0 else "unprivileged",
    }


if __name__ == "__main__":
    raise SystemExit(main())
