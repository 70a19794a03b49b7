"""Services without a fault: the golden run by itself, and others beside it, of which nothing is
excused."""

from dataclasses import replace

import pytest

from harness.oracle import judge
from harness.schedule import FRESH, RESTARTED
from harness.verdict import Outcome, Output
from tests.pure.served import (
    BOTH,
    DIED,
    EACH_FAILED,
    FAILED,
    GOLDEN,
    NOTHING,
    ONE_FAILED,
    REFUSED,
    SAID,
    SERVED_AGAIN,
    A,
    B,
    did,
    ends,
    file,
    found,
    schedule,
    with_history,
)

CHAIN = (file("/tmp/x", "dir"), file("/tmp/x/stdin", "fifo"))


# ---- No fault ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "what"),
    [
        (ONE_FAILED, "order-does-not-matter: client/0: hello fails"),
        (with_history(did(A, "hello ok"), did(B, "hello ok")), "client/0: fork is not begun"),
        (
            with_history(did(A, "fork ok", "hello ok"), did(B, "hello ok")),
            "client/0: fork succeeds",
        ),
        (replace(GOLDEN, status=FAILED), "order-does-not-matter: service: exits 1"),
        (replace(GOLDEN, clients=ends(a=0, b=FAILED, fresh=0)), "client/1: exits 1"),
        (replace(GOLDEN, clients=ends(a=0, fresh=0)), "client/1: does not run"),
        (replace(GOLDEN, files=()), "service: keeps another /trial/store"),
        (replace(GOLDEN, leftovers=("service/0",)), "leaves-nothing: service/0: is left running"),
        (replace(GOLDEN, files=(*GOLDEN.files, *CHAIN)), "service: leaves a dir in /tmp"),
        (DIED, "recovers: service: dies of SIGKILL while it should serve"),
        (REFUSED, "ready: service: exits 1 before it is ready"),
        (replace(GOLDEN, history=BOTH), "recovers: client/fresh: hello is not begun"),
    ],
)
def test_where_no_fault_fired_nothing_is_excused(outcome: Outcome, what: str) -> None:
    for faults in [], ["read=crash", f"{A}:read=EIO"]:
        (only, *_) = found(outcome, *faults, times=0)
        assert only.endswith(what)


def test_what_follows_from_that_the_service_ended_is_not_said_too() -> None:
    failed = replace(DIED, history=EACH_FAILED.history)
    for faults in [], ["accept4=EMFILE"]:
        assert len(found(failed, *faults)) == len(found(REFUSED, *faults)) == 1


def test_a_client_that_died_of_a_signal_of_its_own_is_one_finding() -> None:
    gave_up = with_history(did(A, "hello ok"), did(B, "hello ok"))
    died = replace(gave_up, clients=ends(a=11, b=0, fresh=0))
    assert found(died, "accept4=EMFILE") == ["honest-result: client/0: dies of SIGSEGV"]


def test_in_another_order_the_clients_are_served_as_ever_each() -> None:
    mixed = (BOTH[2], BOTH[0], BOTH[1], *SERVED_AGAIN)
    assert found(replace(GOLDEN, history=mixed, stdout=SAID, stderr=SAID)) == []


def test_clients_that_say_nothing_are_judged_by_what_they_write() -> None:
    golden = replace(GOLDEN, status=15, history=(), stdout=Output.of(b"one\ntwo\n"))
    other = replace(golden, stdout=NOTHING)
    assert found(golden, golden=golden) == []
    assert found(other, golden=golden) == [
        "order-does-not-matter: service: dies of SIGTERM with another output"
    ]
    assert found(other, "accept4=EMFILE", golden=golden) == [
        "honest-result: service: dies of SIGTERM with another output"
    ]
    failed = replace(other, clients=ends(a=0, b=FAILED, fresh=0))
    assert found(failed, "accept4=EMFILE", golden=golden) == []
    assert found(failed, "read=short(1)", golden=golden) == ["honest-result: client/1: exits 1"]


# ---- By itself -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "what"),
    [
        (DIED, ("recovers", "service", "dies of SIGKILL while it should serve")),
        (REFUSED, ("recovers", "service", "exits 1 while it should serve")),
        (replace(GOLDEN, clients=ends(a=0, b=0, fresh=FAILED)), ("status", FRESH, "exits 1")),
        (replace(GOLDEN, status=11), ("status", "service", "dies of SIGSEGV")),
        (
            with_history(did(A, "hello wrong")),
            ("reports-the-truth", A, "hello is answered wrongly"),
        ),
    ],
)
def test_a_golden_run_must_be_in_order_by_itself(
    outcome: Outcome, what: tuple[str, str, str]
) -> None:
    (first, *_) = judge("service", outcome).findings
    assert first.identity() == what


def test_by_itself_a_client_may_be_refused_when_it_ends_well_and_a_service_as_it_likes() -> None:
    refused = replace(with_history(did(A, "forbidden fail"), did(B, "left info")), status=15)
    assert judge("service", refused).status == "PASS"


def test_by_itself_a_service_that_was_killed_must_start_again() -> None:
    killed = schedule("read=crash")
    died = replace(DIED, fired=(1,), seen=(1,))
    assert judge("service", died, None, killed).status == "PASS"
    unready = replace(died, clients=ends(a=0, b=0, restarted=FAILED), report="not ready")
    (only,) = judge("service", unready, None, killed).findings
    assert only.identity() == ("ready", RESTARTED, "exits 1 before it is ready")
