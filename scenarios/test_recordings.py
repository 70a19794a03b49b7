"""Each bug that was ever found here is replayed from its recording.

A recording is named SUBJECT.WHAT.json, after the subject that it is of. To keep a new one:
cp .harness/ID/recording.json scenarios/recordings/SUBJECT.WHAT.json
"""

from pathlib import Path

import pytest

from harness._engine import store
from harness._engine.record import plan_of, program_digest
from harness._engine.replay import replay
from scenarios import subjects
from scenarios.bench import require
from scenarios.subjects import Subject

RECORDINGS = sorted(Path(__file__).with_name("recordings").glob("*.json"))
SUBJECTS = {one.name: one for one in vars(subjects).values() if isinstance(one, Subject)} | {
    one.name: one for one in (*subjects.IN_PLACE, *subjects.FOUND)
}


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
@pytest.mark.usefixtures("runner")  # which skips where there can be no trial
def test_a_bug_that_was_found_is_found_again(path: Path) -> None:
    require(SUBJECTS[path.name.partition(".")[0]])
    recording = store.load(path)
    (again,) = replay(recording)
    if program_digest(plan_of(recording)) != recording.program and again.word == "FIXED":
        pytest.skip(f"another {recording.command[0]} than the recorded one: {again.reason}")
    assert again.word == "REPRODUCED", f"{again.word}: {again.reason}\n{again.divergence}"
