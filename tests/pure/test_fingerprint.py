"""What has changed since a recording was made, in few words."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import RecordingError
from harness.fingerprint import CHANGES_MAX, Fingerprint, changed_machine, in_few_lines
from tests.pure import strategies as some

THEN = Fingerprint(machine="x86_64", processor="Model A", processors=2, as_root=True)


@given(some.fingerprints)
def test_the_same_machine_has_not_changed(one: Fingerprint) -> None:
    assert changed_machine(one, replace(one)) == []


@given(some.fingerprints, some.fingerprints)
def test_another_machine_has(one: Fingerprint, other: Fingerprint) -> None:
    same = replace(one, files=()) == replace(other, files=())
    assert bool(changed_machine(one, other)) is not same


def test_each_change_is_a_line() -> None:
    now = Fingerprint(machine="x86_64", processor="", processors=4, as_root=False)
    assert changed_machine(THEN, now) == [
        "processor: Model A -> unknown",
        "processors: 2 -> 4",
        "run by root then",
    ]
    assert changed_machine(now, THEN)[-1] == "not run by root then"


@given(st.lists(st.text(), max_size=3 * CHANGES_MAX))
def test_more_changes_than_a_few_are_counted(said: list[str]) -> None:
    lines = in_few_lines(said)
    assert len(lines) <= CHANGES_MAX
    if len(said) > CHANGES_MAX:
        assert lines[:-1] == said[: CHANGES_MAX - 1]
        assert lines[-1] == f"and {len(said) - CHANGES_MAX + 1} more"
    else:
        assert lines == said


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ((("bin/sh", "0" * 64),), "files 'bin/sh' is not of the form /an/absolute/path"),
        ((("/bin/sh", "0"),), "files '0' is not of the form 64 digits 0-9a-f"),
        ((("/bin/sh", "0" * 64), ("/bin/sh", "1" * 64)), "files has one path twice"),
    ],
)
def test_a_wrong_fingerprint_is_refused(files: tuple[tuple[str, str], ...], said: str) -> None:
    with pytest.raises(RecordingError) as caught:
        replace(THEN, files=files)
    assert str(caught.value) == said
