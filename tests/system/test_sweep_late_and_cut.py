"""Sweeps of the faults that take time or cut a connection, over a small service: each kind is tried
where it makes sense, and the numbers add up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import Subject, listening
from harness._engine.sweep import sweep
from tests.system.programs import workloads
from tests.system.support import harness, python, shell

SERVICE = Subject.process(
    workloads.echo, kwargs={"path": workloads.SOCKET}, ready=listening(workloads.SOCKET)
)
_HALF = "{ echo one; echo two; } | { read a; read b; echo $a $b; }"


@pytest.mark.parametrize("kind", ["eof", "reset", "delay", "pause", "hold(until=client/0:close)"])
def test_the_numbers_of_a_kind_add_up(kind: str) -> None:
    plan = SERVICE.plan(workloads.ask, workloads.ask)
    result = sweep(plan, kinds=[kind], roles="service**", phases=["work"], store=None)
    (tally,) = result.kinds
    assert tally.calls == tally.tried + tally.not_applicable + tally.left_out
    assert (result.calls, result.trials, result.points) == (
        tally.calls,
        tally.trials,
        result.covered,
    )
    assert result.fired + result.did_not_fire == result.trials > 0
    assert result.inconclusive == ()
    if kind in ("eof", "reset"):
        assert 0 < tally.tried < tally.calls
        assert result.fired == result.trials
    else:
        assert tally.tried == tally.calls


@pytest.mark.parametrize("kind", ["delay(1h)", "pause(1h)"])
def test_an_hour_at_any_call_of_a_service_without_limits_is_no_finding(kind: str) -> None:
    plan = SERVICE.plan(workloads.ask, workloads.ask)
    result = sweep(plan, kinds=[kind], roles="service**", store=None)
    assert [f"{one.fault}: {one.finding.describe()}" for one in result.findings] == []
    assert result.fired == result.trials


def test_a_command_that_takes_an_end_for_all_is_found(tmp_path: Path) -> None:
    """Half of its input is lost, and it says that all is well."""
    done = harness(
        "sweep", "--faults", "eof", "--format", "json", "--", *shell(_HALF), cwd=tmp_path
    )
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert {one["oracle"] for one in found["findings"]} == {"honest-result"}
    (kind,) = found["kinds"]
    assert kind["calls"] == kind["tried"] + kind["not_applicable"] + kind["left_out"]
    assert kind["trials"] == found["trials"] == found["fired"] + found["did_not_fire"]


def test_what_was_found_is_recorded_and_found_again(tmp_path: Path) -> None:
    done = harness("sweep", "--faults", "eof", "--", *shell(_HALF), cwd=tmp_path)
    repeat = done.stdout.partition("repeat: harness ")[2].split("\n")[0].split()
    again = harness(*repeat, cwd=tmp_path)
    assert (again.returncode, "REPRODUCED" in again.stdout) == (1, True), again.stderr


def test_a_pipeline_is_as_ever_however_late_its_parts_are() -> None:
    code = "printf 'b\\na\\n' | sort | cat"
    kinds = "delay(1h),pause(1h)"
    done = harness("sweep", "--faults", kinds, "--calls", "io", "-q", "--", *shell(code))
    assert done.returncode == 0, done.stdout


def test_a_kind_that_cannot_be_anywhere_is_no_sweep() -> None:
    done = harness("sweep", "--faults", "reset", "--", *python("print()"))
    assert done.returncode == 2
    assert "there is nothing that reset could do" in done.stderr
