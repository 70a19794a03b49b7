"""Oracles of users' own, and oracles that break: never a PASS that nobody has looked at."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from harness.oracle import Oracle, judge, judged_by
from harness.schedule import Schedule
from harness.verdict import Finding, Outcome, Verdict
from tests.pure.served import GOLDEN, schedule

LOST = Finding(oracle="keeps", role="service", what="loses a record", detail="the third")


def verdict(*oracles: Oracle, outcome: Outcome = GOLDEN) -> Verdict:
    return judged_by(oracles, "service", outcome, GOLDEN)


def finds_nothing(outcome: Outcome, golden: Outcome | None) -> Iterable[Finding | str]:
    return []


def keeps(outcome: Outcome, golden: Outcome | None) -> Iterator[Finding | str]:
    yield LOST
    yield "loses\x07 another\nand this is\nfor the reader"


def raises(outcome: Outcome, golden: Outcome | None) -> Iterable[str]:
    raise KeyError("store")


def asserts_late(outcome: Outcome, golden: Outcome | None) -> Iterator[str]:
    yield "first"
    assert outcome.status == 1


def test_without_a_finding_it_passes() -> None:
    assert verdict() == verdict(finds_nothing) == Verdict(status="PASS")


def test_what_an_oracle_gives_is_found_as_it_is_or_as_its_first_line_says() -> None:
    said = verdict(finds_nothing, keeps)
    assert said.status == "FAIL"
    second = Finding(
        oracle="keeps", role="", what=r"loses\x07 another", detail="and this is\nfor the reader"
    )
    assert said.findings == (LOST, second)


def test_an_oracle_is_given_the_golden_outcome_too() -> None:
    given: list[Outcome | None] = []

    def looks(outcome: Outcome, golden: Outcome | None) -> list[str]:
        given.extend([outcome, golden])
        return []

    other = replace(GOLDEN, stderr=GOLDEN.stdout)
    judged_by([looks], "service", other, GOLDEN)
    judged_by([looks], "service", other)
    assert given == [other, GOLDEN, other, None]


def test_an_oracle_that_raises_is_inconclusive_with_what_and_where() -> None:
    said = verdict(finds_nothing, raises)
    assert said.status == "INCONCLUSIVE"
    assert said.reason.startswith("the oracle raises raised KeyError: 'store' (")
    assert "test_oracle_users.py:" in said.reason


def test_what_the_others_find_stands_when_one_raises() -> None:
    for oracles in [keeps, raises], [raises, keeps]:
        said = verdict(*oracles)
        assert said.status == "FAIL"
        assert LOST in said.findings
        assert "KeyError" in said.reason


def test_what_an_oracle_gave_before_it_raised_is_not_half_a_verdict() -> None:
    said = verdict(asserts_late)
    assert (said.status, said.findings) == ("INCONCLUSIVE", ())


@pytest.mark.parametrize("answer", [None, "a finding", 3, [None], [""], [3], "", [b"bytes"], {"a"}])
def test_an_answer_that_is_none_is_never_a_pass(answer: Any) -> None:
    def odd(outcome: Outcome, golden: Outcome | None) -> Any:
        return answer

    assert verdict(odd).status == ("FAIL" if answer == {"a"} else "INCONCLUSIVE")


def test_an_oracle_needs_no_name() -> None:
    class Judge:
        def __call__(self, outcome: Outcome, golden: Outcome | None) -> list[str]:
            return ["no"]

    (only,) = verdict(Judge()).findings
    assert only.oracle == "Judge"


def test_what_is_not_whole_is_not_shown_to_a_users_oracle() -> None:
    stuck = replace(GOLDEN, end="stuck", status=None)
    said = verdict(raises, outcome=stuck)
    assert [finding.oracle for finding in said.findings] == ["ends"]
    assert said.reason == ""


def test_an_oracle_of_ours_that_raises_is_inconclusive_too() -> None:
    """Of which schedule the outcome is, is for the caller to say right."""
    faulted = replace(GOLDEN, fired=(1,), seen=(1,))
    said = judge("service", faulted, GOLDEN, Schedule())
    assert said.status == "INCONCLUSIVE"
    assert "the oracle recovers raised ValueError: the outcome counts 1 faults" in said.reason
    assert judge("service", faulted, GOLDEN, schedule("read=EIO")).status == "PASS"


def test_an_interrupt_is_no_oracle_that_breaks() -> None:
    def stopped(outcome: Outcome, golden: Outcome | None) -> list[str]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verdict(stopped)
