"""Bugs that only an oracle over the whole history finds, in some order of events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from harness import Subject, listening
from harness._engine import store
from harness._engine.explore import ExploreResult, explore
from harness._engine.replay import replay
from harness.histories import exactly_one_reply, linearizable_register, own_reply
from harness.oracle import Oracle
from harness.subject import ClientLike
from tests.quality import objects

_TWO = (objects.takes_a_ticket, objects.takes_a_ticket)
_WRITERS = (objects.writes_and_reads, partial(objects.writes_and_reads, value=2))

each_object = pytest.mark.parametrize(
    ("service", "clients", "oracle", "says"),
    [
        (
            objects.gives_tickets,
            _TWO,
            own_reply,
            "ticket is given another one's reply",
        ),
        (
            objects.keeps_a_value,
            _WRITERS,
            linearizable_register,
            "the history is not that of one register",
        ),
    ],
    ids=["tickets", "register"],
)


def explored(
    service: Callable[..., None],
    clients: Sequence[ClientLike],
    where: Path,
    effort: str,
    *oracles: Oracle,
    is_sound: bool = False,
) -> ExploreResult:
    """Orders of one of these services with two clients."""
    subject = Subject.process(
        service,
        ready=listening(objects.SOCKET),
        kwargs={"path": objects.SOCKET, "is_sound": is_sound},
    )
    return explore(
        subject.plan(*clients),
        strategy="pct" if effort == "ci" else "mixed",
        seed=2,
        trials_max=6 if effort == "ci" else 200,
        oracles=oracles,
        store=str(where),
    )


@each_object
def test_it_is_found_in_another_order_and_again_from_its_recording(
    service: Callable[..., None],
    clients: Sequence[ClientLike],
    oracle: Oracle,
    says: str,
    tmp_path: Path,
    effort: str,
) -> None:
    result = explored(service, clients, tmp_path, effort, oracle)
    assert [one.finding.what for one in result.findings] == [says] * len(result.findings)
    recording = store.load(tmp_path / (result.findings[0].ident or "?") / "recording.json")
    assert len(recording.schedule.switches) <= 2
    (again,) = replay(recording, 1, [oracle])
    assert again.word == "REPRODUCED", again.reason


@pytest.mark.full
@each_object
def test_without_the_oracle_nobody_sees_it(
    service: Callable[..., None],
    clients: Sequence[ClientLike],
    oracle: Oracle,
    says: str,
    tmp_path: Path,
    effort: str,
) -> None:
    assert explored(service, clients, tmp_path, effort).findings == ()


@each_object
def test_where_there_is_no_bug_the_oracle_finds_none(
    service: Callable[..., None],
    clients: Sequence[ClientLike],
    oracle: Oracle,
    says: str,
    tmp_path: Path,
    effort: str,
) -> None:
    also = exactly_one_reply if service is objects.gives_tickets else oracle
    result = explored(service, clients, tmp_path, effort, oracle, also, is_sound=True)
    assert (result.findings, result.inconclusive) == ((), ())
