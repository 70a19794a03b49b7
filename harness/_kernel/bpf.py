"""Seccomp filters as classic BPF, built from call numbers and argument tests. Computes bytes;
installs nothing.

BPF jumps are 8 bits wide, so a flat list of many calls does not fit: the numbers become a balanced
tree of ranges. Source: seccomp(2), <linux/filter.h>.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from .uapi import (
    AUDIT_ARCH_X86_64,
    BPF_JMP_JA,
    BPF_JMP_JEQ_K,
    BPF_JMP_JGE_K,
    BPF_JMP_JSET_K,
    BPF_LD_W_ABS,
    BPF_MAXINSNS,
    BPF_RET_K,
    SECCOMP_RET_ALLOW,
    SECCOMP_RET_ERRNO,
    SECCOMP_RET_USER_NOTIF,
    SOCK_FILTER,
)

Instruction = tuple[int, int, int, int]

# offsets in struct seccomp_data, <linux/seccomp.h>
_NR, _ARCH, _ARGS = 0, 4, 16
_X32_SYSCALL_BIT = 0x40000000
_ENOSYS = 38


class ArgTest(NamedTuple):
    """A test of one argument's low 32 bits: `eq` to *value*, `ne`, or `any` bit of *value* set."""

    argument: int
    op: Literal["eq", "ne", "any"]
    value: int


Traps = Mapping[int, tuple[ArgTest, ...]]


def _jump_far(
    code: int, k: int, when_false: list[Instruction], when_true: list[Instruction]
) -> list[Instruction]:
    """`if (A code k) when_true else when_false`; both end in a return, so nothing falls through."""
    if len(when_false) <= 255:
        return [(code, len(when_false), 0, k), *when_false, *when_true]
    return [(code, 0, 1, k), (BPF_JMP_JA, 0, 0, len(when_false)), *when_false, *when_true]


def _leaf(tests: tuple[ArgTest, ...] | None) -> list[Instruction]:
    """Notify when every test holds, allow otherwise; None is always allowed."""
    if tests is None:
        return [(BPF_RET_K, 0, 0, SECCOMP_RET_ALLOW)]
    body: list[Instruction] = [(BPF_RET_K, 0, 0, SECCOMP_RET_USER_NOTIF)]
    allow: list[Instruction] = [(BPF_RET_K, 0, 0, SECCOMP_RET_ALLOW)]
    for test in reversed(tests):
        load: Instruction = (BPF_LD_W_ABS, 0, 0, _ARGS + 8 * test.argument)
        if test.op == "ne":
            body = [load, *_jump_far(BPF_JMP_JEQ_K, test.value, body, allow)]
        else:
            code = BPF_JMP_JEQ_K if test.op == "eq" else BPF_JMP_JSET_K
            body = [load, *_jump_far(code, test.value, allow, body)]
    return body


def _tree(ranges: list[tuple[int, tuple[ArgTest, ...] | None]]) -> list[Instruction]:
    """A binary search over `(first number, what to do from there on)`."""
    if len(ranges) == 1:
        return _leaf(ranges[0][1])
    middle = len(ranges) // 2
    return _jump_far(
        BPF_JMP_JGE_K, ranges[middle][0], _tree(ranges[:middle]), _tree(ranges[middle:])
    )


def ranges_of(traps: Traps) -> list[tuple[int, tuple[ArgTest, ...] | None]]:
    """Neighbouring numbers that are treated alike, merged: `[(0, None), (3, ()), (4, None)]` traps
    number 3 only."""
    ranges: list[tuple[int, tuple[ArgTest, ...] | None]] = [(0, None)]
    for number in sorted(traps):
        if ranges[-1][0] == number:
            ranges[-1] = (number, traps[number])
        elif ranges[-1][1] != traps[number]:
            ranges.append((number, traps[number]))
        ranges.append((number + 1, None))
    merged = ranges[:1]
    for start, tests in ranges[1:]:
        if tests != merged[-1][1]:
            merged.append((start, tests))
    return merged


def program(traps: Traps) -> bytes:
    """The filter: numbers in *traps* notify the supervisor when their tests hold, all others are
    allowed.

    A call of another architecture always notifies: the same number means another call there, and
    the supervisor refuses it by name. x32 calls (bit 30) answer ENOSYS. Raises `ValueError` when it
    does not fit into BPF_MAXINSNS.
    """
    notify: list[Instruction] = [(BPF_RET_K, 0, 0, SECCOMP_RET_USER_NOTIF)]
    enosys: list[Instruction] = [(BPF_RET_K, 0, 0, SECCOMP_RET_ERRNO | _ENOSYS)]
    native = [
        (BPF_LD_W_ABS, 0, 0, _NR),
        *_jump_far(BPF_JMP_JGE_K, _X32_SYSCALL_BIT, _tree(ranges_of(traps)), enosys),
    ]
    whole = [
        (BPF_LD_W_ABS, 0, 0, _ARCH),
        *_jump_far(BPF_JMP_JEQ_K, AUDIT_ARCH_X86_64, notify, native),
    ]
    if len(whole) > BPF_MAXINSNS:
        raise ValueError(
            f"the filter has {len(whole)} instructions, the kernel takes {BPF_MAXINSNS}"
        )
    return b"".join(SOCK_FILTER.pack(*instruction) for instruction in whole)
