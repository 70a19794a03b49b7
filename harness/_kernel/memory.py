"""Another process's memory, through /proc/PID/mem. Source: proc_pid_mem(5), ptrace(2) for who may.

One descriptor for each program image: the file stays bound to the memory it was opened on, so exec
needs a new one. Not process_vm_readv(2): that asks for permission at each call, and takes three
times as long from Python.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from .libc import kernel_call, syscall
from .uapi import SYS_process_vm_writev

_PATH_MAX = 4096


class Memory:
    """The memory of the program that process *pid* runs now. Owns a descriptor."""

    __slots__ = ("fd",)

    def __init__(self, pid: int) -> None:
        self.fd = open_memory(pid)

    def read(self, address: int, size: int) -> bytes:
        """*size* bytes at *address*. `OSError` EFAULT when they are not all there."""
        data = read_memory(self.fd, address, size)
        if len(data) != size:
            raise OSError(errno.EFAULT, "memory ends early", hex(address))
        return data

    def string(self, address: int) -> bytes:
        """The NUL-terminated string at *address*, PATH_MAX at the most. `OSError` EFAULT when it is
        not there."""
        data = b""
        while len(data) < _PATH_MAX:
            at = address + len(data)
            # never past a page that may be the last
            size = min(256, 4096 - at % 4096, _PATH_MAX - len(data))
            piece = read_memory(self.fd, at, size)
            if not piece:
                raise OSError(errno.EFAULT, "no memory", hex(at))
            end = piece.find(b"\0")
            if end >= 0:
                return data + piece[:end]
            data += piece
        return data

    def write(self, address: int, data: bytes) -> None:
        """Write all of *data* at *address*. `OSError` EFAULT when it does not fit."""
        if write_memory(self.fd, address, data) != len(data):
            raise OSError(errno.EFAULT, "memory ends early", hex(address))

    def close(self) -> None:
        """Close the descriptor."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


@kernel_call
def open_memory(pid: int | str) -> int:
    """A descriptor on /proc/PID/mem. Errors: EACCES without the right to trace it, ENOENT when it
    is gone."""
    return os.open(f"/proc/{pid}/mem", os.O_RDWR | os.O_CLOEXEC)


@kernel_call
def read_memory(fd: int, address: int, size: int) -> bytes:
    """Up to *size* bytes at *address*; EFAULT for an address that is not mapped."""
    try:
        return os.pread(fd, size, address)
    except (OverflowError, ValueError):
        raise OSError(errno.EFAULT, "no such address", hex(address)) from None
    except OSError as error:
        raise OSError(
            errno.EFAULT if error.errno == errno.EIO else error.errno, error.strerror
        ) from None


@kernel_call
def write_memory(fd: int, address: int, data: bytes) -> int:
    """Write *data* at *address*; how many bytes were written."""
    try:
        return os.pwrite(fd, data, address)
    except (OverflowError, ValueError):
        raise OSError(errno.EFAULT, "no such address", hex(address)) from None
    except OSError as error:
        raise OSError(
            errno.EFAULT if error.errno == errno.EIO else error.errno, error.strerror
        ) from None


@kernel_call
def copy_to(tid: int, address: int, data: bytes) -> int:
    """Write *data* at *address* of a task as its own call would: not where it may not write itself.
    How many bytes were written; EFAULT when none can be. Source: process_vm_writev(2)."""
    if address >> 63:
        raise OSError(errno.EFAULT, "no such address", hex(address))
    ours = ctypes.create_string_buffer(data, len(data))
    here = struct.pack("=QQ", ctypes.addressof(ours), len(data))
    there = struct.pack("=QQ", address, len(data))
    return syscall(SYS_process_vm_writev, tid, here, 1, there, 1, 0)
