"""The end of a connection, made in the place of the other end: the faults `eof` and `reset`.

What is done is done to the kernel's own object, and the call is then carried out: so what it gives,
with its signals, and what every later call and poll(2) sees, is the kernel's own. Source:
shutdown(2), unix(7), tcp(7), pipe(7).

- Socket, read: its receiving side is shut down, and what lies in it unread is thrown away, as if it
  had never been sent. On a unix socket the other end then finds that it cannot write (EPIPE). On
  TCP that takes no more than a flag here, and what is sent later still arrives: so there the
  sending side of the other end is shut down, if a task of the trial has it.
- Socket, write: its sending side is shut down; the other end reads an end of file.
- Pipe: the caller's process gets, in place of the descriptor, the end of another pipe whose other
  end is closed. Other processes keep theirs.
- Reset, TCP: the connection is dissolved as a process does it that connects to AF_UNSPEC; the
  other end gets a RST.
- Reset, unix socket: there is no such thing but when the other end closes; so we answer the one
  call ourselves, and both directions are shut down.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from socket import (
    AF_INET,
    AF_INET6,
    MSG_DONTWAIT,
    SHUT_RD,
    SHUT_RDWR,
    SHUT_WR,
    SOCK_SEQPACKET,
    SOCK_STREAM,
    socket,
)
from typing import Any

from .._kernel import message, process
from .caller import Caller, Leave

_TCP = (AF_INET, AF_INET6)
_DRAIN = 1 << 16
_CONTROL = 4096
_WHAT = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a directory",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    0: "something without another end",  # an eventfd and its like
}

#: Puts a descriptor of ours into the caller: `(fd, its number there, close on exec)`.
Put = Callable[[int, int, bool], None]


class NoOtherEnd(Exception):
    """The descriptor has no other end that could go; says what it is."""


def end_stream(
    caller: Caller, number: int, *, receives: bool, put: Put, among: Iterable[int]
) -> None:
    """Have what the caller's descriptor *number* reads, or else writes, end. The other end of a TCP
    connection is looked for *among* these processes. Raises NoOtherEnd, and OSError when the caller
    is gone."""
    number &= 0xFFFFFFFF
    fd, kind = _duplicate(caller, number)
    if kind == stat.S_IFIFO:
        _put_ended_pipe(caller.tgid, number, fd, receives=receives, put=put)
        return
    with _connection(fd, kind) as connection:
        if receives and connection.family in _TCP and (other := _other_end(connection, among)):
            with other:
                other.shutdown(SHUT_WR)
        else:
            connection.shutdown(SHUT_RD if receives else SHUT_WR)
    if receives:
        _throw_away(fd)


def reset_connection(caller: Caller, number: int) -> bool:
    """Have the connection of the caller's descriptor *number* reset; whether the kernel itself will
    say so to the caller. Raises NoOtherEnd, and OSError when the caller is gone."""
    fd, kind = _duplicate(caller, number)
    if kind == stat.S_IFIFO:
        raise NoOtherEnd("a pipe, which cannot be reset")
    with _connection(fd, kind) as connection:
        kernel_says_so = connection.family in _TCP
        if kernel_says_so:
            message.disconnect(fd)
        try:
            connection.shutdown(SHUT_RDWR)  # what comes after the one error is an end of file
        except OSError:
            pass  # dissolved, it is ENOTCONN, and shut down all the same
    if not kernel_says_so:
        _throw_away(fd)
    return kernel_says_so


def _duplicate(caller: Caller, number: int) -> tuple[int, int]:
    """The caller's descriptor, as long as *caller* is open, and what it leads to."""
    try:
        fd = caller.duplicate(number)[0]
    except Leave:
        raise NoOtherEnd("a file") from None
    except OSError as error:
        if error.errno == errno.EBADF:
            raise NoOtherEnd("no open descriptor") from None
        raise
    return fd, stat.S_IFMT(os.fstat(fd).st_mode)


@contextmanager
def _connection(fd: int, kind: int) -> Iterator[socket]:
    """The connected socket *fd*, which stays open."""
    if kind != stat.S_IFSOCK:
        raise NoOtherEnd(_WHAT.get(kind, _WHAT[0]))
    connection = socket(fileno=fd)
    try:
        if connection.type not in (SOCK_STREAM, SOCK_SEQPACKET):
            raise NoOtherEnd("a socket for datagrams")
        try:
            connection.getpeername()
        except OSError:
            raise NoOtherEnd("a socket that is not connected") from None
        yield connection
    finally:
        connection.detach()


def _other_end(connection: socket, among: Iterable[int]) -> socket | None:
    """A duplicate of the socket that a TCP *connection* leads to, if one of *among* has it open."""
    wanted = _address(connection.getpeername()), _address(connection.getsockname())
    for tgid in among:
        for one in _sockets_of(tgid):
            try:
                names = _address(one.getsockname()), _address(one.getpeername())
            except OSError:
                names = None  # it is not connected
            if one.family in _TCP and names == wanted:
                return one
            one.close()
    return None


def _address(name: Any) -> tuple[str, int] | None:
    """Host and port, in the same form whether the socket is for IPv4 or IPv6."""
    return (name[0].removeprefix("::ffff:"), name[1]) if isinstance(name, tuple) else None


def _sockets_of(tgid: int) -> Iterator[socket]:
    """Duplicates of the sockets of a process; none when it is gone."""
    folder = f"/proc/{tgid}/fd"
    try:
        pidfd = process.open_pidfd(tgid)
    except OSError:
        return
    try:
        for number in os.listdir(folder):
            try:
                if os.readlink(f"{folder}/{number}").startswith("socket:"):
                    yield socket(fileno=process.get_fd(pidfd, int(number)))
            except OSError:
                continue  # closed meanwhile
    except OSError:
        return
    finally:
        os.close(pidfd)


def _throw_away(fd: int) -> None:
    """Whatever has been received and not read, descriptors that were passed too."""
    while True:
        try:
            data, control, _, _ = message.recv_message(fd, _DRAIN, _CONTROL, MSG_DONTWAIT)
        except OSError:
            return
        message.close_received(control)
        if not data:
            return


def _put_ended_pipe(tgid: int, number: int, fd: int, *, receives: bool, put: Put) -> None:
    flags = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK
    read, write = os.pipe2(os.O_CLOEXEC | flags)
    kept, other = (read, write) if receives else (write, read)
    os.close(other)
    try:
        put(kept, number, _closes_on_exec(tgid, number))
    finally:
        os.close(kept)


def _closes_on_exec(tgid: int, number: int) -> bool:
    """Source: proc_pid_fdinfo(5)."""
    with open(f"/proc/{tgid}/fdinfo/{number}") as file:
        for line in file:
            if line.startswith("flags:"):
                return bool(int(line.split()[1], 8) & os.O_CLOEXEC)
    return False
