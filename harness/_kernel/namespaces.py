"""The six namespaces of a trial: their maps, their loopback, their host name. Source:
user_namespaces(7), pid_namespaces(7)."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import socket
import struct
from fcntl import ioctl

from .libc import kernel_call, syscall
from .process import clone
from .uapi import (
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    CLONE_PARENT,
    IFF_UP,
    SIOCGIFFLAGS,
    SIOCSIFFLAGS,
    SYS_setdomainname,
    SYS_sethostname,
)

OWN_NETWORK = CLONE_NEWNET
ALL_BUT_NETWORK = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS


@kernel_call
def enter_by_clone(*, own_network: bool, as_sibling: bool = False) -> int:
    """Fork a child that is PID 1 of fresh namespaces; 0 in the child. *as_sibling*: it becomes our
    parent's child, not ours.

    Errors: EPERM or ENOSPC where user namespaces are forbidden or limited to none, EUSERS when
    nested too deep.
    """
    flags = (OWN_NETWORK if own_network else 0) | (CLONE_PARENT if as_sibling else 0)
    return clone(ALL_BUT_NETWORK | flags)


@kernel_call
def write_maps(pid: int) -> None:
    """Give the new user namespace of *pid* its users, from outside: all of ours for root, ourselves
    as 0 for anyone else.

    An unprivileged writer must deny setgroups(2) first, or the gid map is refused. Error: EPERM for
    root without CAP_SETFCAP, which may not even map itself (Linux 5.12).
    """
    for kind, own in ("uid", os.geteuid()), ("gid", os.getegid()):
        if os.geteuid() == 0:
            try:
                _write(f"/proc/{pid}/{kind}_map", _identity_of_ours(kind))
            except PermissionError:
                pass  # root without CAP_SETUID, or CAP_SETGID, is no better than a user
            else:
                continue
        if kind == "gid":
            _write(f"/proc/{pid}/setgroups", "deny")
        _write(f"/proc/{pid}/{kind}_map", f"0 {own} 1")


@functools.cache  # it is written once, and takes a third of a millisecond to read
def _identity_of_ours(kind: str) -> str:
    with open(f"/proc/self/{kind}_map") as own:
        ranges = [line.split() for line in own]
    return "\n".join(f"{inside} {inside} {count}" for inside, _outside, count in ranges)


def _write(path: str, text: str) -> None:
    fd = os.open(
        path, os.O_WRONLY | os.O_CLOEXEC
    )  # not open().write(): a buffered file hides the error until close
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


@kernel_call
def bring_loopback_up() -> None:
    """`ip link set lo up` for this network namespace. Source: netdevice(7)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = bytearray(struct.pack("=16sh22x", b"lo", 0))
        ioctl(any_socket, SIOCGIFFLAGS, request)
        name, flags = struct.unpack_from("=16sh", request)
        ioctl(any_socket, SIOCSIFFLAGS, struct.pack("=16sh22x", name, flags | IFF_UP))


@kernel_call
def set_host_name(name: bytes) -> None:
    """The host name of this UTS namespace."""
    syscall(SYS_sethostname, name, len(name))


@kernel_call
def set_domain_name(name: bytes) -> None:
    """The NIS domain name of this UTS namespace; the kernel's own first one is `(none)`."""
    syscall(SYS_setdomainname, name, len(name))


def set_last_pid(number: int) -> None:
    """The next process of this pid namespace, whose /proc is mounted, gets the number after this
    one. A kernel without CONFIG_CHECKPOINT_RESTORE numbers as ever. Source:
    Documentation/admin-guide/sysctl/kernel.rst, ns_last_pid."""
    with contextlib.suppress(OSError):
        _write("/proc/sys/kernel/ns_last_pid", str(number))


@kernel_call
def limit_processes(count: int, proc: str) -> None:
    """At most *count* processes and threads at once in this pid namespace, whose /proc is mounted
    at *proc*.

    Not RLIMIT_NPROC: that never holds for the machine's root. Error: ENOSYS before 6.14, when
    the number was the whole machine's, and root would change it for everyone.
    """
    release = os.uname().release.split(".")
    if (int(release[0]), int(release[1])) < (6, 14):
        raise OSError(errno.ENOSYS, "a pid namespace has no limit of its own before Linux 6.14")
    _write(f"{proc}/sys/kernel/pid_max", str(count))
