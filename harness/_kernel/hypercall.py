"""The one call by which a process of a trial tells its supervisor something.

Its number is far beyond those that Linux gives: no other program makes it, and where nobody traps
it, the kernel answers ENOSYS.
"""

from __future__ import annotations

from .libc import kernel_call, syscall

NUMBER = 0x6668
#: What is told, as the call's first argument: the index. The second is the address of a text, the
#: third its length.
OPERATIONS = ("begin", "invoke", "ok", "fail", "info", "wrong", "note", "end", "reply")
TEXT_MAX = 4096  # bytes


@kernel_call
def hypercall(operation: str, text: str = "") -> int:
    """Tell the supervisor *operation*; at most TEXT_MAX bytes of *text* get there. What it says to
    that. Raises `OSError` ENOSYS outside of a trial."""
    data = text.encode("utf-8", "surrogateescape")[:TEXT_MAX]
    return syscall(NUMBER, OPERATIONS.index(operation), data, len(data))
