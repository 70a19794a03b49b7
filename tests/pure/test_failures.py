"""The table of what may go wrong at each call: complete, and of the form that its module tells."""

from harness.calls import CALLS, TRAPPED, errno_number
from harness.failures import CAUSES, FAILURES, NEVER, WHENS

#: They say that the program is wrong: no world can make a correct one meet them.
_THE_PROGRAMS_OWN = {"EBADF", "EFAULT", "EINVAL", "ENOSYS", "ENOTSOCK", "ENOTDIR", "EISDIR"}


def test_each_trapped_call_has_its_failures_or_the_reason_why_it_has_none() -> None:
    assert TRAPPED - FAILURES.keys() - NEVER.keys() == set()


def test_no_call_both_fails_and_never_fails() -> None:
    assert FAILURES.keys() & NEVER.keys() == set()


def test_every_call_cause_errno_and_use_of_the_table_exists() -> None:
    assert FAILURES.keys() | NEVER.keys() <= CALLS.keys()
    for failure in (failure for these in FAILURES.values() for failure in these):
        errno_number(failure.errno)
        assert failure.cause in CAUSES
        assert failure.when in WHENS
        assert failure.reason


def test_every_cause_and_every_use_occurs() -> None:
    these = [failure for known in FAILURES.values() for failure in known]
    assert {failure.cause for failure in these} == set(CAUSES)
    assert {failure.when for failure in these} == set(WHENS)


def test_no_failure_is_the_programs_own() -> None:
    errnos = {failure.errno for known in FAILURES.values() for failure in known}
    assert errnos & _THE_PROGRAMS_OWN == set()


def test_no_call_has_the_same_failure_twice() -> None:
    for call, known in FAILURES.items():
        errnos = [(failure.errno, failure.when) for failure in known]
        assert len(set(errnos)) == len(errnos), call


def test_a_descriptor_that_cannot_be_had_has_both_its_reasons() -> None:
    for call in "openat", "socket", "accept4", "pipe2", "epoll_create1":
        assert {"EMFILE", "ENFILE"} <= {failure.errno for failure in FAILURES[call]}


def test_a_failure_says_itself_in_words() -> None:
    (full,) = (failure for failure in FAILURES["write"] if failure.errno == "ENOSPC")
    assert full.describe() == "ENOSPC: the disk is full"
