"""The C library's own getrandom(3), and with it os.urandom and what is seeded by that, replaced for
a while in this process.

Not os.getrandom: that makes the system call by itself. Nothing less than a tracer would see it, and
one that stops a process at each call makes a large import take twice as long.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import Callable, Iterator

from .libc import kernel_call
from .memory import open_memory

_Getrandom = ctypes.CFUNCTYPE(ctypes.c_ssize_t, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint)


@contextlib.contextmanager
def random_bytes_from(draw: Callable[[int], bytes]) -> Iterator[None]:
    """For as long as it lasts, getrandom(3) gives *draw* (so many bytes); where the function cannot
    be overwritten, what the kernel gives. For a process with one thread."""

    def getrandom(buffer: int, size: int, _flags: int) -> int:
        ctypes.memmove(buffer, draw(size), size)
        return size

    ours = _Getrandom(getrandom)  # to be kept until nobody jumps there any more
    try:
        where, before = _lead_to(ctypes.cast(ours, ctypes.c_void_p).value or 0)
    except (OSError, AttributeError):
        yield
        return
    try:
        yield
    finally:
        _overwrite(where, before)


def _lead_to(target: int) -> tuple[int, bytes]:
    """Have the function begin with a jump to *target*: where it lies, and how it began. Raises
    `AttributeError` where the C library has none."""
    where = ctypes.cast(ctypes.CDLL(None).getrandom, ctypes.c_void_p).value or 0
    jump = b"\x48\xb8" + struct.pack("=Q", target) + b"\xff\xe0"  # mov rax, TARGET; jmp rax
    before = ctypes.string_at(where, len(jump))
    _overwrite(where, jump)
    return where, before


@kernel_call
def _overwrite(where: int, code: bytes) -> None:
    memory = open_memory("self")  # which minds no protection
    try:
        os.pwrite(memory, code, where)
    finally:
        os.close(memory)
