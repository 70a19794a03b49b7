"""Who is at the other end of a connection, as the kernel says, and whether that one may ask."""

from __future__ import annotations

import grp
import pwd
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

#: struct ucred of <linux/socket.h>: pid, uid, gid.
_UCRED = struct.Struct("iII")


@dataclass(frozen=True, kw_only=True, slots=True)
class Peer:
    """Whoever connected: its process, and the user and group that it had then."""

    pid: int
    uid: int
    gid: int


@dataclass(frozen=True, kw_only=True, slots=True)
class AllowList:
    """Users and groups that may ask. With neither, everyone may who can open the socket."""

    uids: frozenset[int] = frozenset()
    gids: frozenset[int] = frozenset()

    @property
    def is_empty(self) -> bool:
        """Whether nobody has to be looked at."""
        return not self.uids and not self.gids

    def admits(self, peer: Peer) -> bool:
        """Whether *peer* may ask: as one of the users, or as one of the groups."""
        return self.is_empty or peer.uid in self.uids or peer.gid in self.gids


def peer_of(connection: socket.socket) -> Peer:
    """SO_PEERCRED of unix(7): as it was at connect(2). OSError when the kernel does not say."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, gid = _UCRED.unpack(data)
    return Peer(pid=pid, uid=uid, gid=gid)


def uid_of(word: str) -> int:
    """A user, by number or name. ValueError when there is none of that name."""
    return _number_of(word, "user", lambda: pwd.getpwnam(word).pw_uid)


def gid_of(word: str) -> int:
    """A group, by number or name. ValueError when there is none of that name."""
    return _number_of(word, "group", lambda: grp.getgrnam(word).gr_gid)


def _number_of(word: str, kind: str, look_up: Callable[[], int]) -> int:
    if word.isascii() and word.isdecimal():
        return int(word)
    try:
        return look_up()
    except (KeyError, ValueError):
        raise ValueError(f"there is no {kind} {word!r}") from None
