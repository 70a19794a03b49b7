"""What the kernel tells a program at its start: numbers by kind. Source: getauxval(3),
proc_pid_auxv(5)."""

from __future__ import annotations

import struct

from .libc import kernel_call

# <linux/auxvec.h>
AT_RANDOM = 25  # the address of 16 random bytes
AT_SYSINFO_EHDR = 33  # the address of the vDSO


@kernel_call
def read(pid: int | str) -> dict[int, int]:
    """The auxiliary vector of *pid* (`"self"`: ours)."""
    with open(f"/proc/{pid}/auxv", "rb") as file:
        return dict(struct.iter_unpack("=QQ", file.read()))
