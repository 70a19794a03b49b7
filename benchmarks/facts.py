"""What a figure depends on: when, which commit, which machine."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
#: Which files differ from the commit; the one that figures are written to does not count.
_CHANGES = (
    *("status", "--porcelain", "--untracked-files=no"),
    *("--", ".", ":!docs/reference/soak.json"),
)


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def commit() -> str:
    """The commit that is checked out, with `+changes` when the checkout differs from it."""
    revision = _git("rev-parse", "HEAD")
    return revision + ("+changes" if _git(*_CHANGES) else "")


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
