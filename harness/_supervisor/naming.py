"""Ports and abstract names that the kernel would choose at random: chosen here, one after the
other.

A socket gets its name through a duplicate before the call that needs one is carried out. Source:
ip(7), unix(7).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Collection, Iterator, Sequence

from .._kernel import message, process
from .._kernel.seccomp import ARGS
from ..calls import NR
from .tasks import Task
from .timers import Answer

#: The ports that the kernel chooses from: net.ipv4.ip_local_port_range.
_FIRST_PORT, _LAST_PORT = 32768, 60999
_AUTOBIND_NAMES = 1 << 20  # of five hexadecimal digits
#: After so many that are taken the kernel may look for one.
_TRIES = 1000
_UDPLITE, _MPTCP = 136, 262  # <linux/in.h>
_WITH_PORTS = (socket.IPPROTO_TCP, socket.IPPROTO_UDP, _UDPLITE, _MPTCP)
_IP_BIND_ADDRESS_NO_PORT = 24  # <linux/in.h>; of IPv6 sockets too
_FAMILY = struct.Struct("=H")
_DONE = (0, 0)


class Names:
    """The names of the sockets of one trial that has a network of its own. Owns no descriptor."""

    def __init__(self) -> None:
        self._port = _FIRST_PORT
        self._name = 0
        self._answers: dict[int, Callable[[Task, Sequence[int]], Answer]] = {
            NR["bind"]: self._bind,
            NR["connect"]: self._connect,
            NR["listen"]: self._listen,
            NR["sendto"]: self._sendto,
            NR["sendmsg"]: self._sendmsg,
            NR["sendmmsg"]: self._sendmsg,  # the first of them names the socket for all
        }

    def calls(self) -> Collection[int]:
        """The calls that `answer` is for."""
        return self._answers.keys()

    def answer(self, task: Task) -> Answer:
        """The answer to a bind(2) that asks for any name; None when the kernel is to carry the call
        out, with a name if it needs one."""
        assert task.call is not None
        try:
            return self._answers[task.call[3]](task, task.call[ARGS:])
        except OSError:
            return None  # the kernel will say what is wrong

    # The calls

    def _bind(self, task: Task, args: Sequence[int]) -> Answer:
        length = args[2] & 0xFFFFFFFF
        address = _address(task, args[1], length)
        family = _FAMILY.unpack_from(address)[0]
        if family == socket.AF_UNIX:
            if length != _FAMILY.size:
                return None
        elif family not in (socket.AF_INET, socket.AF_INET6) or _port_of(address):
            return None
        with _duplicate(task, args[0]) as one:
            if one.family != family or (family != socket.AF_UNIX and not _takes_port(one)):
                return None
            if family == socket.AF_UNIX:
                return _DONE if one.getsockname() or self._name_it(one) else None
            asked = _unpacked(family, address)
            return _DONE if self._give_port(one, asked) else None

    def _connect(self, task: Task, args: Sequence[int]) -> Answer:
        self._name_before_use(task, args[0], args[1], args[2])
        return None

    def _sendto(self, task: Task, args: Sequence[int]) -> Answer:
        if args[4]:
            self._name_before_use(task, args[0], args[4], args[5])
        return None

    def _sendmsg(self, task: Task, args: Sequence[int]) -> Answer:
        name, length = struct.unpack("=Qi", task.memory().read(args[1], 12))
        if name:
            self._name_before_use(task, args[0], name, length)
        return None

    def _listen(self, task: Task, args: Sequence[int]) -> Answer:
        with _duplicate(task, args[0]) as one:
            self._name_if_none(one, 0)
        return None

    # What they have in common

    def _name_before_use(self, task: Task, number: int, at: int, length: int) -> None:
        """The socket is to reach whom the address names."""
        address = _address(task, at, length & 0xFFFFFFFF)
        family = _FAMILY.unpack_from(address)[0]
        if family == socket.AF_UNIX:
            with _duplicate(task, number) as one:
                if one.family == family and _passes_credentials(one) and not one.getsockname():
                    self._name_it(one)
        elif family in (socket.AF_INET, socket.AF_INET6):
            with _duplicate(task, number) as one:
                self._name_if_none(one, _port_of(address))

    def _name_if_none(self, one: socket.socket, peer: int) -> None:
        if one.family in (socket.AF_INET, socket.AF_INET6) and one.proto in _WITH_PORTS:
            name = one.getsockname()
            if not name[1]:
                self._give_port(one, name, peer)

    def _give_port(self, one: socket.socket, name: tuple[object, ...], peer: int = 0) -> bool:
        """Bind it to *name* with the next port: not *peer*, at which it would reach itself."""
        for port in self._ports():
            if port != peer and _bound(one, (name[0], port, *name[2:])):
                return True
        return False

    def _ports(self) -> Iterator[int]:
        for _ in range(_TRIES):
            port = self._port
            self._port = port + 1 if port < _LAST_PORT else _FIRST_PORT
            yield port

    def _name_it(self, one: socket.socket) -> bool:
        for _ in range(_TRIES):
            name = b"\0%05x" % self._name
            self._name = (self._name + 1) % _AUTOBIND_NAMES
            if _bound(one, name):
                return True
        return False


def _duplicate(task: Task, number: int) -> socket.socket:
    """A duplicate of a descriptor. Raises `OSError` when it is not that of a socket."""
    pidfd = process.open_pidfd(task.tgid)
    try:
        fd = process.get_fd(pidfd, number & 0xFFFFFFFF)
    finally:
        os.close(pidfd)
    try:
        return socket.socket(fileno=fd)
    except OSError:
        os.close(fd)
        raise


def _address(task: Task, at: int, length: int) -> bytes:
    if not _FAMILY.size <= length <= message.SOCKADDR_STORAGE_SIZE:
        raise OSError(errno.EINVAL, "no address")
    return task.memory().read(at, length)


def _port_of(address: bytes) -> int:
    return int.from_bytes(address[2:4], "big")


def _unpacked(family: int, address: bytes) -> tuple[object, ...]:
    """struct sockaddr_in, or sockaddr_in6, as the standard library has it."""
    if family == socket.AF_INET and len(address) >= 16:
        return socket.inet_ntoa(address[4:8]), 0
    if family == socket.AF_INET6 and len(address) >= 28:
        (flow,) = struct.unpack_from("!I", address, 4)
        (scope,) = struct.unpack_from("=I", address, 24)
        return socket.inet_ntop(family, address[8:24]), 0, flow, scope
    raise OSError(errno.EINVAL, "no address")


def _takes_port(one: socket.socket) -> bool:
    """Whether bind(2) gives it a port now: not one that is to get it when it connects."""
    if one.proto not in _WITH_PORTS:
        return False
    try:
        return not one.getsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT)
    except OSError:
        return True  # not every kernel has it for IPv6


def _passes_credentials(one: socket.socket) -> bool:
    return bool(one.getsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED))


def _bound(one: socket.socket, name: tuple[object, ...] | bytes) -> bool:
    """Whether the name could be had; raises `OSError` when that is not for want of this one."""
    try:
        one.bind(name)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return False
        raise
    return True
