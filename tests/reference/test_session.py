"""What a remote user may run, and by which kind of process."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference.forking_service import plain
from reference.forking_service.client import ForkedProcess, ForkingServiceClient, ServiceNotThere
from reference.forking_service.session import ForbiddenCommand, SessionPolicy, Sessions
from tests.reference.support import Service

ASKED = "bzr serve --inet --directory=/ --allow-writes"


@pytest.mark.parametrize("asked", [ASKED, f"  {ASKED}", ASKED.replace("serve", "'serve'")])
def test_the_one_command_stands_for_ours(asked: str) -> None:
    assert SessionPolicy().argv_for(asked, "12") == ("lp-serve", "--inet", "12")


@pytest.mark.parametrize(
    "asked",
    [
        "",
        "bzr",
        ASKED + " ; rm -rf /",
        ASKED + " x",
        ASKED[:-1],
        "'",
        "lp-serve --inet 1",
        "\udcff",
    ],
)
def test_any_other_is_forbidden(asked: str) -> None:
    with pytest.raises(ForbiddenCommand, match=r"^not allowed to run "):
        SessionPolicy().argv_for(asked, "12")


@given(st.text())
def test_whatever_the_user_is_called_stays_one_word(user: str) -> None:
    assert SessionPolicy().argv_for(ASKED, user) == ("lp-serve", "--inet", user)


def test_only_listed_variables_are_passed_on() -> None:
    policy = SessionPolicy(variables=frozenset({"A", "B"}))
    assert policy.environment_for({"A": "1", "LD_PRELOAD": "x"}) == {"A": "1"}


@pytest.mark.parametrize(
    "lines", [("a 'b", "x USER_ID"), ("a", "x"), ("a", "x 'USER_ID"), ("", "x")]
)
def test_a_policy_that_cannot_be_is_refused(lines: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match=r"closing|USER_ID|No command"):
        SessionPolicy(command=lines[0], template=lines[1])


def answer_of(process: ForkedProcess | subprocess.Popen[bytes]) -> tuple[bytes, int]:
    with process:
        out, _ = process.communicate(b"hello\n")
    assert process.returncode is not None
    return out, process.returncode


@pytest.mark.parametrize(("is_forking", "kind"), [(True, ForkedProcess), (False, subprocess.Popen)])
def test_both_kinds_of_process_do_the_same(
    shared: Service, is_forking: bool, kind: type[object]
) -> None:
    sessions = Sessions(policy=SessionPolicy(), client=shared.client, is_forking=is_forking)
    process = sessions.start(ASKED, "12", {"BZR_EMAIL": "me", "LD_PRELOAD": "x"})
    assert isinstance(process, kind)
    assert answer_of(process) == (b"ok\x012\n", 0)


def test_without_a_service_it_is_plain_only_when_that_was_asked_for() -> None:
    away = Sessions(policy=SessionPolicy(), client=ForkingServiceClient("/no/such"))
    with pytest.raises(ServiceNotThere):
        away.start(ASKED, "12")
    falls_back = Sessions(
        policy=SessionPolicy(), client=ForkingServiceClient("/no/such", fallback=plain.spawn)
    )
    assert answer_of(falls_back.start(ASKED, "12")) == (b"ok\x012\n", 0)


def test_a_plain_process_has_its_variables_and_statuses() -> None:
    with plain.spawn(["whoami"], {"BZR_EMAIL": "me"}) as process:
        assert process.communicate() == (b"me\n", b"")
    with plain.spawn(["exit", "3"], {}) as process:
        process.communicate()
    assert process.returncode == 3
    with plain.spawn(["no-such"], {}) as process:
        assert process.communicate()[1] == b"unknown command: 'no-such'\n"
    assert process.returncode == 127
