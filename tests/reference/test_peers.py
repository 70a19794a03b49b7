"""Who may ask: by the permissions of the socket, and by who the kernel says that it is."""

from __future__ import annotations

import os
import subprocess

import pytest

from reference.forking_service.peer import AllowList, Peer, gid_of, uid_of
from tests.reference.support import PATIENCE_S, Service, ask, command, environment

UID, GID = os.geteuid(), os.getegid()


def test_with_nobody_listed_everybody_may() -> None:
    assert AllowList().admits(Peer(pid=1, uid=2, gid=3))


@pytest.mark.parametrize(("uid", "gid", "is_admitted"), [(2, 9, True), (9, 3, True), (3, 2, False)])
def test_a_user_or_a_group_that_is_listed_may(uid: int, gid: int, is_admitted: bool) -> None:
    allowed = AllowList(uids=frozenset({2}), gids=frozenset({3}))
    assert allowed.admits(Peer(pid=1, uid=uid, gid=gid)) is is_admitted


def test_a_name_is_as_good_as_a_number() -> None:
    assert (uid_of("root"), gid_of("root"), uid_of("12")) == (0, 0, 12)


@pytest.mark.parametrize("option", [("--allow-user", str(UID)), ("--allow-group", str(GID))])
def test_one_of_the_list_is_served(option: tuple[str, str]) -> None:
    with Service(*option) as service:
        assert ask(service, b"hello\n") == b"ok\nyep, still alive\n"


@pytest.mark.parametrize("request_", [b"hello\n", b"fork rocks\n", b"quit\n"])
def test_anybody_else_is_refused_whatever_it_asks(request_: bytes) -> None:
    with Service("--allow-user", str(UID + 1), "--allow-group", str(GID + 1)) as service:
        refusal = f"FAILURE\nnot allowed: uid {UID}, gid {GID}\n".encode()
        assert ask(service, request_) == refusal
        assert service.until(f"^client 1: not allowed: .*uid={UID}")
        assert ask(service, b"hello\n") == refusal


@pytest.mark.parametrize("option", ["--allow-user", "--allow-group"])
def test_a_name_that_there_is_not_is_one_line(option: str) -> None:
    done = subprocess.run(
        command("--path", "s", option, "no such"),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "there is no" in done.stderr
