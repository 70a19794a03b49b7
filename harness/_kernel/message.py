"""What a data transfer needs of the kernel and the standard library does not offer.

Messages of sockets by descriptor, with their address and control data as bytes: socket.recvmsg
makes an object of an address, from which the bytes cannot be had back. Beside them one option of
a socket, the end of a connection, and a look into a pipe. Source: recvmsg(2), sendmsg(2), cmsg(3),
getsockopt(2), connect(2), tee(2).
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable, Iterator
from socket import AF_UNSPEC, SCM_RIGHTS, SOL_SOCKET
from typing import NamedTuple

from .libc import kernel_call, syscall

# <asm/unistd_64.h>
SYS_connect = 42
SYS_sendmsg = 46
SYS_recvmsg = 47
SYS_getsockopt = 55
SYS_tee = 276

# <linux/socket.h>, <linux/uio.h>, <net/scm.h>
SCM_PIDFD = 4  # since Linux 6.5
UIO_MAXIOV = 1024
SCM_MAX_FD = 253
SOCKADDR_STORAGE_SIZE = 128


class iovec(ctypes.Structure):
    """<linux/uio.h>. Addresses are plain integers: they are mostly another process's."""

    _fields_ = [("iov_base", ctypes.c_uint64), ("iov_len", ctypes.c_uint64)]


class msghdr(ctypes.Structure):
    """struct user_msghdr, <linux/socket.h>."""

    _fields_ = [
        ("msg_name", ctypes.c_uint64),
        ("msg_namelen", ctypes.c_int32),
        ("msg_iov", ctypes.c_uint64),
        ("msg_iovlen", ctypes.c_uint64),
        ("msg_control", ctypes.c_uint64),
        ("msg_controllen", ctypes.c_uint64),
        ("msg_flags", ctypes.c_uint32),
    ]


#: struct cmsghdr, <linux/socket.h>: cmsg_len (this header included), cmsg_level, cmsg_type.
CMSGHDR = struct.Struct("=Qii")

assert ctypes.sizeof(iovec) == 16
assert ctypes.sizeof(msghdr) == 56
assert msghdr.msg_iov.offset == 16
assert msghdr.msg_flags.offset == 48
assert CMSGHDR.size == 16


class ControlMessage(NamedTuple):
    """One piece of control data, such as SOL_SOCKET, SCM_RIGHTS and the descriptors' numbers."""

    level: int
    kind: int
    data: bytes


def parse_control(control: bytes) -> Iterator[ControlMessage]:
    """The control messages in *control*.

    Raises `ValueError` where the kernel says EINVAL: a length that cannot be.
    """
    at = 0
    while at + CMSGHDR.size <= len(control):
        size, level, kind = CMSGHDR.unpack_from(control, at)
        if not CMSGHDR.size <= size <= len(control) - at:
            raise ValueError(f"a control message of {size} bytes, {len(control) - at} are there")
        yield ControlMessage(level, kind, control[at + CMSGHDR.size : at + size])
        at += size + -size % 8


def build_control(messages: Iterable[ControlMessage]) -> bytes:
    """The inverse of `parse_control`, each message but the last padded to eight bytes."""
    control = b""
    for level, kind, data in messages:
        control += bytes(-len(control) % 8)
        control += CMSGHDR.pack(CMSGHDR.size + len(data), level, kind) + data
    return control


def close_received(control: bytes) -> None:
    """Close the descriptors that came in *control*."""
    for level, kind, data in parse_control(control):
        if level == SOL_SOCKET and kind in (SCM_RIGHTS, SCM_PIDFD):
            for (fd,) in struct.iter_unpack("=i", data):
                os.close(fd)


@kernel_call
def recv_message(
    fd: int, size: int, control_size: int, flags: int
) -> tuple[bytes, bytes, int, bytes]:
    """Receive up to *size* bytes: `(data, control data, msg_flags, the sender's address)`.

    Descriptors in the control data are ours to close from here on.
    """
    data = ctypes.create_string_buffer(size)
    control = ctypes.create_string_buffer(control_size)
    name = ctypes.create_string_buffer(SOCKADDR_STORAGE_SIZE)
    vector = iovec(ctypes.addressof(data), size)
    header = msghdr(
        ctypes.addressof(name),
        SOCKADDR_STORAGE_SIZE,
        ctypes.addressof(vector),
        1,
        ctypes.addressof(control) if control_size else 0,
        control_size,
        0,
    )
    done = syscall(SYS_recvmsg, fd, header, flags)
    return (
        data.raw[:done],
        control.raw[: header.msg_controllen],
        header.msg_flags,
        name.raw[: header.msg_namelen],
    )


@kernel_call
def send_message(fd: int, data: bytes, control: bytes, address: bytes, flags: int) -> int:
    """Send *data* with *control* data, to *address* if there is one; how many bytes were taken."""
    body = ctypes.create_string_buffer(data, len(data))
    ancillary = ctypes.create_string_buffer(control, len(control))
    name = ctypes.create_string_buffer(address, len(address))
    vector = iovec(ctypes.addressof(body), len(data))
    header = msghdr(
        ctypes.addressof(name) if address else 0,
        len(address),
        ctypes.addressof(vector),
        1,
        ctypes.addressof(ancillary) if control else 0,
        len(control),
        0,
    )
    return syscall(SYS_sendmsg, fd, header, flags)


@kernel_call
def socket_option(fd: int, level: int, option: int, size: int) -> bytes:
    """The value of a socket's option, *size* bytes at the most. Errors: ENOTSOCK, ENOPROTOOPT."""
    value = ctypes.create_string_buffer(size)
    length = ctypes.create_string_buffer(struct.pack("=I", size), 4)
    syscall(SYS_getsockopt, fd, level, option, value, length)
    return value.raw[: struct.unpack("=I", length.raw)[0]]


@kernel_call
def disconnect(fd: int) -> None:
    """Dissolve a TCP connection as connect(2) to AF_UNSPEC does: the other end gets a RST, and the
    next call on this one ECONNRESET. socket.connect cannot say it."""
    nowhere = ctypes.create_string_buffer(struct.pack("=H", AF_UNSPEC), 16)
    syscall(SYS_connect, fd, nowhere, 16)


@kernel_call
def tee(source: int, sink: int, size: int, flags: int) -> int:
    """Copy up to *size* bytes from pipe to pipe without taking them; how many."""
    return syscall(SYS_tee, source, sink, size, flags)
