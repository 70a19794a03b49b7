"""Services: what each row of the table excuses, and what must hold whatever it excuses.

Each cell of the table stands here twice: once in an outcome that passes thanks to the excuse, once
in one that does not although the same fault fired."""

from dataclasses import replace

import pytest

from harness.history import Operation
from harness.oracle import judge
from harness.schedule import FRESH, RESTARTED
from harness.verdict import Outcome
from tests.pure.served import (
    BOTH,
    DIED,
    EACH_FAILED,
    FAILED,
    GOLDEN,
    KILLED,
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
    judged,
    schedule,
    with_history,
)

ONE_OPERATION = (
    "accept4=EMFILE",
    "read=signal(CHLD)",
    "service#1:accept4=EMFILE",
    "restarted:read=EIO",
    "service/0:write=ENOSPC",
    "service/0:read=signal(WINCH)",
    "service/0:write=crash",
    "service/0:write=crash-after",
    "service/1/0:write=signal(TERM)",
    "service/0:write=hold",
    "service/*:write=EIO",
)
NOTHING_AT_ALL = ("read=short(1)", "service/0:write=short(1)")
OPEN_OPERATIONS = (
    "read=crash",
    "read=crash-after",
    "read=signal(TERM)",
    "read=hold",
    "**:read=crash",
)
OWN = tuple(
    f"{A}:sendto={fault}" for fault in ("EPIPE", "short(1)", "signal(CHLD)", "crash", "hold")
)
AT_THE_SERVICE = (*ONE_OPERATION, *NOTHING_AT_ALL, *OPEN_OPERATIONS)
ANY = (*AT_THE_SERVICE, *OWN)
NOT_DEADLY = (*ONE_OPERATION, *NOTHING_AT_ALL, *OWN)


def unsure(role: str, name: str) -> Operation:
    return Operation(role=role, name=name, result="info", detail="ConnectionResetError")


# ---- Excused, and not ----------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ANY)
def test_what_is_as_in_the_golden_run_passes(fault: str) -> None:
    assert found(GOLDEN, fault) == []


@pytest.mark.parametrize("fault", ONE_OPERATION)
def test_the_one_operation_that_was_hit_may_fail_visibly(fault: str) -> None:
    assert found(ONE_FAILED, fault) == []
    again = with_history(did(A, "hello fail", "fork ok"), did(B, "hello ok"))
    assert found(again, fault) == []
    unknown = (unsure(A, "hello"), *did(A, "fork ok"))
    assert found(with_history(unknown, did(B, "hello ok")), fault) == []


@pytest.mark.parametrize("fault", ONE_OPERATION)
def test_no_other_operation_may_fail(fault: str) -> None:
    assert found(EACH_FAILED, fault) == ["honest-result: client/1: hello is cut off"]
    twice = with_history(did(A, "hello fail", "fork fail"), did(B, "hello ok"))
    assert found(twice, fault) == ["honest-result: client/0: fork fails"]


@pytest.mark.parametrize("fault", ONE_OPERATION)
def test_a_fault_that_fires_more_often_may_hit_as_many_operations(fault: str) -> None:
    assert found(EACH_FAILED, fault, times=2) == []


@pytest.mark.parametrize("fault", ONE_OPERATION)
def test_a_client_that_ends_otherwise_counts_as_an_operation_that_failed(fault: str) -> None:
    one = replace(GOLDEN, clients=ends(a=FAILED, b=0, fresh=0))
    assert found(one, fault) == []
    both = replace(GOLDEN, clients=ends(a=FAILED, b=FAILED, fresh=0))
    assert found(both, fault) == ["honest-result: client/1: exits 1"]


@pytest.mark.parametrize("fault", NOTHING_AT_ALL)
def test_a_transfer_that_is_cut_short_must_not_be_noticed(fault: str) -> None:
    assert found(ONE_FAILED, fault) == ["honest-result: client/0: hello fails"]
    ended = replace(GOLDEN, clients=ends(a=FAILED, b=0, fresh=0))
    assert found(ended, fault) == ["honest-result: client/0: exits 1"]


@pytest.mark.parametrize("fault", OWN)
def test_the_client_that_the_fault_is_at_may_fail_in_any_way(fault: str) -> None:
    for own in (), (unsure(A, "hello"),), did(A, "hello fail", "fork fail"), did(A, "hello ok"):
        for status in 0, FAILED, KILLED:
            outcome = replace(
                with_history(own, did(B, "hello ok")), clients=ends(a=status, b=0, fresh=0)
            )
            assert found(outcome, fault) == []


@pytest.mark.parametrize("fault", OWN)
def test_every_other_client_is_served_as_ever(fault: str) -> None:
    assert found(EACH_FAILED, fault) == ["honest-result: client/1: hello is cut off"]
    ended = replace(GOLDEN, clients=ends(a=0, b=FAILED, fresh=0))
    assert found(ended, fault) == ["honest-result: client/1: exits 1"]


@pytest.mark.parametrize("fault", OPEN_OPERATIONS)
def test_when_the_service_dies_all_that_is_open_may_fail(fault: str) -> None:
    for outcome in (DIED, replace(DIED, history=EACH_FAILED.history)):
        assert found(outcome, fault) == []
    gone = replace(
        DIED,
        history=(unsure(A, "hello"), *did(B, "hello fail"), *SERVED_AGAIN),
        clients=ends(a=FAILED, b=FAILED, restarted=0, fresh=0),
    )
    assert found(gone, fault) == []


@pytest.mark.parametrize("fault", OPEN_OPERATIONS)
def test_a_service_that_died_may_have_kept_other_contents(fault: str) -> None:
    assert found(replace(DIED, files=(file("/trial/store", content="1"),)), fault) == []


@pytest.mark.parametrize("fault", OPEN_OPERATIONS)
def test_a_service_that_died_serves_again_on_the_same_directory(fault: str) -> None:
    unready = replace(DIED, clients=ends(a=0, b=0, restarted=FAILED), history=BOTH, stderr=SAID)
    assert found(unready, fault) == ["recovers: restarted: exits 1 before a fresh client is served"]
    unserved = replace(DIED, history=(*BOTH, *did(FRESH, "hello fail")))
    assert found(unserved, fault) == ["recovers: client/fresh: hello fails"]
    badly = replace(DIED, clients=ends(a=0, b=0, restarted=FAILED, fresh=0))
    (only,) = judged(badly, fault)
    assert only.identity() == ("recovers", RESTARTED, "exits 1")
    assert only.detail == "the golden run exits 0"


def test_a_service_that_dies_while_it_stops_may_leave_files_until_its_next_start() -> None:
    died = replace(GOLDEN, status=KILLED, files=(*GOLDEN.files, file("/run/x.sock", "socket")))
    assert found(died, "unlink@stop=crash") == []
    assert found(replace(died, status=0), "unlink@stop=crash") == [
        "leaves-nothing: service: leaves a socket in /run"
    ]


def test_what_is_held_while_nobody_lets_it_go_may_keep_the_trial_from_ending() -> None:
    stuck = replace(GOLDEN, end="stuck", status=None, report="service waits")
    what = "ends: service: is stuck: nobody can go on"
    assert found(stuck, "unlink@stop=hold") == []
    assert found(stuck, "client/fresh:connect@recover=hold") == []
    assert found(replace(stuck, end="steps"), "unlink@stop=hold") == [
        "ends: service: does not end before the step limit"
    ]
    for fault in "unlink=hold", "service/0:unlink@stop=hold", f"{A}:close@stop=hold":
        assert found(stuck, fault) == [what]


# ---- Start and stop ------------------------------------------------------------------------------

AT_START = tuple(
    fault.replace("=", "@start=") for fault in ONE_OPERATION if not fault.startswith("restarted")
)


@pytest.mark.parametrize("fault", AT_START)
def test_a_service_may_refuse_to_start_when_it_says_so(fault: str) -> None:
    assert found(REFUSED, fault) == []


@pytest.mark.parametrize("fault", AT_START)
def test_a_service_that_refuses_to_start_says_so(fault: str) -> None:
    silent = "ready: service: exits 1 before it is ready, and says nothing"
    assert found(replace(REFUSED, stderr=NOTHING), fault) == [silent]
    assert found(replace(REFUSED, stderr=GOLDEN.stderr), fault) == [silent]
    assert found(replace(REFUSED, status=0), fault) == [
        "ready: service: exits 0 before it is ready"
    ]


@pytest.mark.parametrize("fault", AT_START)
def test_a_service_that_refused_to_start_starts_when_the_fault_is_gone(fault: str) -> None:
    again = replace(REFUSED, clients=ends(restarted=FAILED), history=())
    assert found(again, fault) == ["recovers: restarted: exits 1 before a fresh client is served"]


def test_a_service_may_refuse_to_start_with_half_a_file() -> None:
    """The dynamic loader takes a short read for a broken library, and says so."""
    assert found(REFUSED, "read@start=short(1)") == []


@pytest.mark.parametrize("fault", [f"{A}:read@start=EIO", "accept4=EMFILE"])
def test_what_is_no_failure_at_its_start_does_not_excuse_that_it_refuses(fault: str) -> None:
    assert found(REFUSED, fault)[0] == "ready: service: exits 1 before it is ready"


def test_a_service_that_is_killed_before_it_is_ready_is_started_again() -> None:
    killed = replace(REFUSED, status=KILLED, stderr=NOTHING)
    assert found(killed, "openat@start=crash") == []
    assert found(replace(killed, history=did(FRESH, "hello fail")), "openat@start=crash") == [
        "recovers: client/fresh: hello fails"
    ]


@pytest.mark.parametrize("fault", ["read@start=hold", "service/0:read@start=hold"])
def test_a_service_that_was_held_until_the_faults_were_off_has_served_nobody_before(
    fault: str,
) -> None:
    late = replace(GOLDEN, clients=ends(fresh=0), history=SERVED_AGAIN)
    assert found(late, fault) == []
    assert found(replace(late, history=did(FRESH, "hello fail")), fault) == [
        "recovers: client/fresh: hello fails"
    ]
    ended = replace(late, clients=(), history=(), status=FAILED, report="not ready")
    assert "recovers: service: exits 1 before a fresh client is served" in found(ended, fault)


def test_without_a_recovery_a_service_that_refuses_to_start_is_judged_alike() -> None:
    golden = replace(GOLDEN, clients=ends(a=0, b=0), history=BOTH)
    unready = replace(
        golden, status=FAILED, clients=(), history=(), report="not ready", stderr=SAID
    )
    assert found(unready, "bind@start=EADDRINUSE", golden=golden) == []
    assert found(replace(unready, status=0), "bind@start=EADDRINUSE", golden=golden) == [
        "ready: service: exits 0 before it is ready"
    ]


@pytest.mark.parametrize("fault", ["close@stop=EIO", "service/0:close@stop=crash"])
def test_a_stop_that_the_fault_hit_may_fail_visibly(fault: str) -> None:
    assert found(replace(GOLDEN, status=FAILED), fault) == []
    golden = replace(GOLDEN, status=15)
    assert found(replace(golden, status=0, stderr=SAID), fault, golden=golden) == []
    assert found(replace(golden, status=0), fault, golden=golden) == [
        "honest-result: service: exits 0"
    ]


@pytest.mark.parametrize("fault", ["close@stop=short(1)", f"{A}:close@stop=EIO", "close=EIO"])
def test_any_other_stop_is_as_ever(fault: str) -> None:
    if "short" in fault:
        fault = "write@stop=short(1)"
    assert found(replace(GOLDEN, status=FAILED), fault) == ["honest-result: service: exits 1"]


# ---- What must hold whatever goes wrong ----------------------------------------------------------


@pytest.mark.parametrize("fault", ANY)
@pytest.mark.parametrize("end", ["stuck", "deadline", "steps"])
def test_the_trial_ends(fault: str, end: str) -> None:
    outcome = replace(GOLDEN, end=end, status=None)  # type: ignore[arg-type]
    (only,) = judged(outcome, fault)
    assert only.oracle == "ends"


@pytest.mark.parametrize("fault", ANY)
def test_a_wrong_answer_is_never_excused(fault: str) -> None:
    wrong = replace(did(A, "hello wrong")[0], detail="got 'yes', expected 'ok'")
    (only,) = judged(with_history((wrong, *did(A, "fork ok")), did(B, "hello ok")), fault)
    assert only.identity() == ("reports-the-truth", A, "hello is answered wrongly")
    assert only.detail == wrong.detail


@pytest.mark.parametrize("fault", NOT_DEADLY)
def test_the_service_survives_what_does_not_kill_it(fault: str) -> None:
    for outcome in DIED, replace(DIED, history=EACH_FAILED.history, stderr=SAID):
        assert found(outcome, fault) == ["recovers: service: dies of SIGKILL while it should serve"]
    assert found(replace(DIED, status=0), fault) == [
        "recovers: service: exits 0 while it should serve"
    ]


@pytest.mark.parametrize("fault", ANY)
def test_a_fresh_client_is_served_afterwards(fault: str) -> None:
    for said, what in (
        (("hello fail",), "hello fails"),
        (("hello info", "fork ok"), "hello is cut off"),
        (("hello ok",), "fork is not begun"),
        (("hello ok", "fork ok", "more ok"), "more succeeds"),
    ):
        outcome = replace(GOLDEN, history=(*BOTH, *did(FRESH, *said)))
        assert found(outcome, fault) == [f"recovers: client/fresh: {what}"]
    outcome = replace(GOLDEN, clients=ends(a=0, b=0, fresh=FAILED))
    assert found(outcome, fault) == ["recovers: client/fresh: exits 1"]


@pytest.mark.parametrize("fault", NOT_DEADLY)
def test_a_service_that_was_not_killed_ends_as_ever(fault: str) -> None:
    assert found(replace(GOLDEN, status=FAILED), fault) == ["honest-result: service: exits 1"]


@pytest.mark.parametrize("fault", ANY)
def test_no_process_is_left(fault: str) -> None:
    left = replace(GOLDEN, leftovers=("service/0",))
    assert found(left, fault) == ["leaves-nothing: service/0: is left running"]
    assert found(left, fault, golden=left) == []


@pytest.mark.parametrize("fault", OWN)
def test_what_a_client_left_running_when_it_was_hit_is_its_own(fault: str) -> None:
    assert found(replace(GOLDEN, leftovers=(f"{A}/0",)), fault) == []
    assert found(replace(GOLDEN, leftovers=(f"{B}/0",)), fault) == [
        "leaves-nothing: client/1/0: is left running"
    ]


def test_what_the_service_leaves_running_it_may_leave_when_it_was_started_again() -> None:
    golden = replace(GOLDEN, leftovers=("service/0",))
    assert found(replace(DIED, leftovers=("restarted/0",)), "read=crash", golden=golden) == []


@pytest.mark.parametrize("fault", ANY)
@pytest.mark.parametrize("outcome", [GOLDEN, ONE_FAILED])
def test_no_name_is_left(fault: str, outcome: Outcome) -> None:
    (fifo, folder) = file("/tmp/child-x1/stdin", "fifo"), file("/tmp/child-x1", "dir")
    left = judged(replace(outcome, files=(*GOLDEN.files, folder, fifo)), fault)[-1]
    assert left.identity() == ("leaves-nothing", "service", "leaves a dir in /tmp")
    assert left.detail == "/tmp/child-x1, /tmp/child-x1/stdin"


def test_a_name_that_is_drawn_at_random_does_not_make_another_finding() -> None:
    one, other = (
        judged(replace(GOLDEN, files=(*GOLDEN.files, file(path, "dir"))), "mkdir=EMFILE")
        for path in ("/tmp/child-4f2a", "/tmp/child-77b1")
    )
    assert [finding.identity() for finding in one] == [finding.identity() for finding in other]


def test_a_name_that_is_gone_is_a_finding_of_its_own() -> None:
    gone = replace(GOLDEN, files=(*GOLDEN.files, file("/trial/data", "deleted")))
    assert found(gone, "rename=EIO") == ["leaves-nothing: service: deletes /trial/data"]


@pytest.mark.parametrize("fault", ANY)
def test_where_nobody_saw_a_failure_the_service_keeps_what_it_keeps_ever(fault: str) -> None:
    what = ["honest-result: service: keeps another /trial/store"]
    assert found(replace(GOLDEN, files=(file("/trial/store", content="1"),)), fault) == what
    assert found(replace(GOLDEN, files=()), fault) == what


def test_of_a_name_that_is_kept_the_mode_is_a_finding_of_its_own() -> None:
    (kept,) = GOLDEN.files
    other = replace(GOLDEN, files=(replace(kept, mode=0o644),))
    assert found(other, "fsync=EIO") == [
        "honest-result: service: keeps another mode of /trial/store"
    ]


@pytest.mark.parametrize("fault", [*ONE_OPERATION, *OWN])
def test_what_failed_visibly_may_not_have_been_kept(fault: str) -> None:
    assert found(replace(ONE_FAILED, files=()), fault) == []


def test_a_log_may_tell_of_the_fault_but_is_there() -> None:
    golden = replace(GOLDEN, files=(file("/trial/x.log"),))
    told = replace(golden, files=(file("/trial/x.log", content="1"),))
    assert found(told, "read=EIO", golden=golden) == []
    assert found(replace(golden, files=()), "read=EIO", golden=golden) == [
        "honest-result: service: keeps another /trial/x.log"
    ]
    assert found(told, golden=golden) == [
        "order-does-not-matter: service: keeps another /trial/x.log"
    ]


@pytest.mark.parametrize("fault", ["accept4=EMFILE", "service/0:write=crash", "read=crash"])
def test_a_failure_must_be_seen(fault: str) -> None:
    silent = with_history(did(A, "hello ok"), did(B, "hello ok"))
    assert found(silent, fault) == ["honest-result: client/0: fork is not begun"]
    more = with_history(did(A, "hello ok", "fork ok", "again ok"), did(B, "hello ok"))
    assert found(more, fault) == ["honest-result: client/0: again succeeds"]


def test_a_client_that_was_refused_in_the_golden_run_must_be_refused() -> None:
    golden = with_history(did(A, "forbidden fail"), did(B, "hello ok"))
    let_in = with_history(did(A, "forbidden ok"), did(B, "hello ok"))
    assert found(golden, "read=EIO", golden=golden) == []
    assert found(let_in, "read=EIO", golden=golden) == [
        "honest-result: client/0: forbidden succeeds"
    ]


@pytest.mark.parametrize("fault", ["read=EIO", "service/0:write=crash", f"{A}:read=EIO"])
def test_to_die_of_a_signal_of_ones_own_is_never_excused(fault: str) -> None:
    aborted = replace(GOLDEN, clients=ends(a=0, b=6, fresh=0))
    assert found(aborted, fault) == ["honest-result: client/1: dies of SIGABRT"]
    assert "honest-result: service: dies of SIGSEGV" in found(replace(DIED, status=11), fault)
    assert found(replace(DIED, status=11), "read=crash(SEGV)") == []
    assert found(replace(DIED, status=6), "read=crash(SEGV)") == [
        "honest-result: service: dies of SIGABRT"
    ]


# ---- Which name may stay when it could not be removed --------------------------------------------

CHAIN = (file("/tmp/x", "dir"), file("/tmp/x/stdin", "fifo"))


@pytest.mark.parametrize("fault", ["unlink=EIO", "service/0:rmdir=EBUSY", "rename@stop=EIO"])
def test_a_name_that_could_not_be_removed_may_stay_with_what_it_lies_in(fault: str) -> None:
    said = replace(GOLDEN, files=(*GOLDEN.files, *CHAIN), stderr=SAID)
    left = ["leaves-nothing: service: leaves a dir in /tmp"]
    assert found(said, fault) == []
    assert found(replace(said, stderr=GOLDEN.stderr), fault) == left
    more = replace(said, files=(*said.files, file("/tmp/x/stdout", "fifo")))
    assert found(more, fault) == left
    assert found(said, "read=EIO") == left
    assert found(said, "unlink=crash") == left


# ---- Faults that meet several, or come late ------------------------------------------------------


def test_each_fault_that_fired_excuses_its_own() -> None:
    both = ["accept4=EMFILE", "service/0:write=EIO"]
    assert found(EACH_FAILED, *both) == []
    assert found(EACH_FAILED, both[0], f"{B}:read=EIO") == []


def test_a_fault_that_was_asked_for_after_the_others_may_hit_the_fresh_client() -> None:
    unserved = replace(GOLDEN, history=(*BOTH, *did(FRESH, "hello fail")))
    assert found(unserved, "read@recover=EIO") == []


def test_a_limit_may_be_met_at_any_time() -> None:
    limited = schedule(limits=["NOFILE=8"])
    for outcome in EACH_FAILED, REFUSED, GOLDEN:
        assert judge("service", outcome, GOLDEN, limited).status == "PASS"
    verdict = judge("service", DIED, GOLDEN, limited)
    assert [finding.role for finding in verdict.findings] == ["service"]


def test_an_operation_that_failed_because_one_within_it_did_counts_once() -> None:
    golden = with_history(did(A, "session ok", "session/hello ok"), did(B, "hello ok"))
    failed = with_history(did(A, "session fail", "session/hello fail"), did(B, "hello ok"))
    assert found(failed, "read=EIO", golden=golden) == []
    other = with_history(did(A, "session fail", "sessions fail"), did(B, "hello ok"))
    assert len(found(other, "read=EIO", golden=golden)) == 1
