"""One inner pytest: a folder with the cases, and the ways to run them in processes of their own."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.doctor import check
from tests.system.support import PATIENCE_S, clean_environment

PROGRAMS = Path(__file__).parent / "programs"


class Inner:
    """A project of its own, in *root*, in which pytest and harness are run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in "greeter", "starts_a_thread":
            shutil.copy(PROGRAMS / f"{name}.py", root)
        for name in "cases", "properties":
            shutil.copy(PROGRAMS / f"{name}.py", root / f"test_{name}.py")

    def pytest(self, *words: str, cwd: str = ".", **env: str) -> pytest.RunResult:
        """Run pytest with *words*: `::test_name` is one of the cases."""
        told = [f"test_cases.py{word}" if word.startswith("::") else word for word in words]
        return self._run("pytest", "-p", "no:cacheprovider", *told, cwd=cwd, env=env)

    def harness(self, *words: str, cwd: str = ".") -> pytest.RunResult:
        """Run the command line."""
        return self._run("harness", *words, cwd=cwd, env={})

    def _run(self, module: str, *words: str, cwd: str, env: dict[str, str]) -> pytest.RunResult:
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", module, *words],
            cwd=self.root / cwd,
            env=clean_environment() | env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        print(done.stdout, done.stderr)  # for who looks at a test that failed
        out, err = done.stdout.splitlines(), done.stderr.splitlines()
        return pytest.RunResult(done.returncode, out, err, time.monotonic() - began)


def replay_lines(result: pytest.RunResult) -> list[str]:
    """The ids, or paths, in the lines that repeat what was found."""
    # pytest's summary has them again: in full where the variable CI is set, else shortened.
    reports, _, _ = result.stdout.str().partition("= short test summary info =")
    return re.findall(r"^  repeat: harness replay (.*)$", reports, re.MULTILINE)


@pytest.fixture(scope="session")
def able() -> None:
    """Skips where there can be no trial."""
    lacking = [one for one in check() if one.required and not one.works]
    if lacking:
        pytest.skip(f"this machine cannot run trials: {lacking[0].describe()}")


@pytest.fixture
def inner(able: None, tmp_path: Path) -> Inner:
    return Inner(tmp_path)
