"""--debug: a trial in the foreground, and a debugger in it, at a terminal."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from harness import Subject, listening
from harness._engine.record import record
from harness._engine.runner import Runner
from harness._engine.store import write
from harness.oracle import judge
from tests.system.programs import debugged
from tests.system.support import clean_environment, harness

pexpect = pytest.importorskip("pexpect")


def at_a_terminal(folder: Path, *words: str) -> Any:
    return pexpect.spawn(
        sys.executable,
        ["-m", "harness", *words],
        cwd=str(folder),
        env=clean_environment() | {"PYTHON_HISTORY": "/dev/null"},
        timeout=60,
        encoding="utf-8",
        dimensions=(24, 200),
    )


def ended(child: Any) -> int:
    child.expect(pexpect.EOF)
    child.close()
    return int(child.exitstatus)


def test_pdb_in_a_command(tmp_path: Path) -> None:
    code = "import time; began = time.time(); time.sleep(3600); breakpoint(); raise SystemExit(5)"
    child = at_a_terminal(tmp_path, "run", "--debug", "--", "python3", "-I", "-c", code)
    child.expect(r"\(Pdb\) ")
    child.sendline("p round(time.time() - began)")  # its time is the trial's own all the same
    child.expect("3600")
    child.sendline("c")
    assert ended(child) == 5
    assert "main exits 5" in child.before


def test_pdb_in_a_service_that_is_replayed(tmp_path: Path, runner: Runner) -> None:
    service = Subject.process(
        partial(debugged.serve, path="{dir}/s"), ready=listening(debugged.SOCKET)
    )
    plan = service.plan(partial(debugged.ask, name="bad"), recovers=False)
    result = runner.run(plan)
    verdict = judge(plan.roots[0], result.outcome)
    assert verdict.status == "FAIL"
    write(record(plan, result, verdict), str(tmp_path / "r.json"))

    child = at_a_terminal(tmp_path, "replay", "--debug", "r.json")
    child.expect(r"\(Pdb\) ")
    child.sendline("p name")
    child.expect("b'bad'")
    child.sendline("n")
    child.expect("ValueError: no such name")
    child.sendline("c")
    assert ended(child) == 1
    assert "REPRODUCED: " in child.before
    assert "diverges" not in child.before


def test_what_cannot_be_typed_too_is_refused(tmp_path: Path) -> None:
    for words in (["--record", "r.json"], ["--stdin", "/dev/null"]):
        done = harness("run", "--debug", *words, "--", "true", cwd=tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (125, 1)
        assert "what it reads is typed" in done.stderr
    assert not (tmp_path / "r.json").exists()
