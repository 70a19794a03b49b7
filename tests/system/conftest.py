"""Fixtures for whole trials: one runner and one compiler's output for the session."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness._engine.runner import Runner
from tests.system.recorded import Case
from tests.system.support import Watched

CProgram = Callable[..., str]


@pytest.fixture(scope="session")
def watched_runner() -> Iterator[Watched]:
    watched = Watched()
    yield watched
    watched.close()


@pytest.fixture
def runner(watched_runner: Watched) -> Iterator[Runner]:
    """The session's runner; a test that takes too long with it fails, and the next gets another."""
    with watched_runner.guarded() as runner:
        yield runner


@pytest.fixture(scope="session")
def c_program(tmp_path_factory: pytest.TempPathFactory) -> CProgram:
    """`c_program(source, *flags)`: the path of the compiled program, compiled once a session."""
    directory = tmp_path_factory.mktemp("programs")

    def compiled(source: str, *flags: str) -> str:
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler is None:
            pytest.skip("no C compiler here; fix: apt-get install gcc libc6-dev")
        name = hashlib.sha256("\0".join((source, *flags)).encode()).hexdigest()[:16]
        program = directory / name
        if not program.exists():
            done = subprocess.run(
                [compiler, "-O1", "-Wall", "-Werror", "-x", "c", "-", "-o", program, *flags],
                input=source,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 0, done.stderr
        return str(program)

    return compiled


@pytest.fixture(scope="module")
def case_of_the_module(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(tmp_path_factory.mktemp("recorded") / "case")


@pytest.fixture
def case(case_of_the_module: Case) -> Case:
    """As it was made, whatever the test before did."""
    case_of_the_module.lay_out()
    case_of_the_module.file.write_text(case_of_the_module.text)
    shutil.rmtree(case_of_the_module.file.parent / ".harness", ignore_errors=True)
    return case_of_the_module


@pytest.fixture
def plain(case_of_the_module: Case) -> dict[str, Any]:
    """A good recording, to be changed."""
    made: dict[str, Any] = json.loads(case_of_the_module.text)
    return made
