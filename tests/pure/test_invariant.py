"""Invariants as values: as text, as JSON, and what is said of one that cannot be."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import RecordingError, UsageError
from harness.invariant import Broken, Invariant, parse_invariant
from harness.oracle import judge
from harness.subject import Subject
from harness.verdict import Outcome
from tests.pure import strategies as some
from tests.pure.reading import assert_reads_or_says_where, refusal, through_json
from tests.pure.served import GOLDEN


@given(some.invariants)
def test_an_invariant_is_read_as_it_was_written(invariant: Invariant) -> None:
    assert parse_invariant(str(invariant)) == invariant
    assert parse_invariant(str(invariant).replace(" ", "")) == invariant
    assert through_json(invariant) == invariant
    assert invariant.describe().isprintable()


@given(some.broken)
def test_what_was_broken_is_read_as_it_was_written(broken: Broken) -> None:
    assert through_json(broken) == broken


@given(some.garbage | some.nearly(some.invariants.map(Invariant.to_json)))
def test_what_is_nearly_an_invariant_is_read_or_refused_by_file(obj: object) -> None:
    assert_reads_or_says_where(Invariant.from_json, obj)


@given(st.text(max_size=30) | some.invariants.map(lambda one: str(one)[:-1]))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    said = ""
    try:
        read = parse_invariant(text)
    except UsageError as error:
        said = str(error)
    if said:
        assert said.startswith("invariant ")
        assert said.isprintable()
    else:
        assert parse_invariant(str(read)) == read


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "invariant '' is not of the form descriptors(ROLE) <= N, zombies(ROLE) <= N or "),
        ("descriptors(main) < 8", "is not of the form descriptors(ROLE) <= N"),
        ("descriptors <= 8", "is not of the form descriptors(ROLE) <= N"),
        ("descriptor(main) <= 8", "unknown kind 'descriptor'; did you mean 'descriptors'?"),
        ("descriptors() <= 8", "role '' is not of the form service, service/* or client/**"),
        ("descriptors(a b) <= 8", "role 'a b' is not of the form service, service/*"),
        ("descriptors(main) <= -1", "'-1' is not a whole number"),
        ("descriptors(main) <= 5s", "'5s' is not a whole number"),
        ("zombies(main) <= 2000000000", "at_most must be a whole number from 0 to 1000000000"),
        ("waits(main) <= 5", "'5' is not a time: 500ms, 2s, 1.5h"),
        ("waits(main) <= 0s", "'0s' is not a whole time from 1ns"),
    ],
)
def test_a_wrong_invariant_says_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        parse_invariant(text)


def test_a_wrong_one_in_a_file_is_refused_by_its_place() -> None:
    obj = {"kind": "waits", "role": "main", "at_most": 5}
    line = refusal(lambda: Invariant.from_json(obj, "file.json: invariants[0]"), RecordingError)
    assert line == "file.json: invariants[0].at_most: expected a string, not a whole number"


def test_a_plan_takes_texts_and_values() -> None:
    one = parse_invariant("zombies(service) <= 2")
    subject = Subject.command(["true"])
    assert subject.plan(invariants=str(one)).invariants == (one,)
    assert subject.plan(invariants=[one, "waits(main) <= 2s"]).invariants == (
        one,
        parse_invariant("waits(main) <= 2s"),
    )


def test_what_was_broken_is_a_finding_whose_identity_has_no_chance_in_it() -> None:
    def judged(found: str, event: int, end: str = "exited") -> list[tuple[str, ...]]:
        broken = Broken(
            invariant=parse_invariant("descriptors(service) <= 8"),
            role="service",
            event=event,
            found=found,
        )
        outcome = Outcome(
            end=end,  # type: ignore[arg-type]
            status=0,
            stdout=GOLDEN.stdout,
            stderr=GOLDEN.stderr,
            broken=(broken,),
        )
        return [one.identity() for one in judge("service", outcome).findings]

    breaks = ("invariant", "service", "breaks descriptors(service) <= 8")
    assert judged("9 descriptors", 7) == judged("10 descriptors", 70) == [breaks]
    assert judged("9 descriptors", 7, "stuck")[1:] == [breaks]
