"""How every wrapper reaches the kernel, and how a test makes one of them fail.

A wrapper marked `@kernel_call` can be told to fail at its n-th use, in this process and in the
processes that it execs, by the environment: `HARNESS_KERNEL_FAIL='process.clone#1=EPERM
seccomp.install#2=EBUSY'`. Without that variable the marker returns the function as it is, so the
seam costs nothing.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long


def syscall(
    number: int, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | ctypes.Structure | None
) -> int:
    """Make system call *number*; return its result or raise `OSError`. Integers are passed as 64
    bits. Source: syscall(2)."""
    words = [
        ctypes.c_long(a)
        if isinstance(a, int)
        else ctypes.byref(a)
        if isinstance(a, ctypes.Structure)
        else a
        for a in arguments
    ]
    result = int(_syscall(ctypes.c_long(number), *words))
    if result == -1:
        number_of_error = ctypes.get_errno()
        raise OSError(number_of_error, os.strerror(number_of_error))
    return result


def planned_failures(text: str) -> dict[str, dict[int, int]]:
    """`{"namespaces.clone": {1: EPERM}}` from the value of HARNESS_KERNEL_FAIL. Raises `ValueError`
    when it is malformed."""
    plan: dict[str, dict[int, int]] = {}
    for item in text.split():
        where, _, name = item.partition("=")
        wrapper, hash_sign, nth = where.partition("#")
        number = getattr(errno, name, None)
        if not hash_sign:
            nth = "1"
        if not wrapper or not isinstance(number, int) or not nth.isdecimal() or int(nth) < 1:
            raise ValueError(f"HARNESS_KERNEL_FAIL: {item!r} is not WRAPPER#N=ERRNO")
        plan.setdefault(wrapper, {})[int(nth)] = number
    return plan


_PLAN = planned_failures(os.environ.get("HARNESS_KERNEL_FAIL", ""))


def kernel_call(function: Callable[P, R]) -> Callable[P, R]:
    """Mark *function* as one use of the kernel, so that a test can make its n-th use fail."""
    name = f"{function.__module__.rpartition('.')[2]}.{function.__qualname__.rpartition('.')[2]}"
    failures = _PLAN.get(name)
    if failures is None:
        return function
    used = 0

    @functools.wraps(function)
    def fail_at_its_turn(*args: P.args, **kwargs: P.kwargs) -> R:
        nonlocal used
        used += 1
        if used in failures:
            raise OSError(failures[used], os.strerror(failures[used]), f"planned at {name}#{used}")
        return function(*args, **kwargs)

    return fail_at_its_turn
