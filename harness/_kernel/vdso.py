"""The vDSO, by which a program reads the clock without a system call: overwritten so that it makes
one. Source: vdso(7), elf(5)."""

from __future__ import annotations

import ctypes
import functools
import os
import struct

from .libc import kernel_call
from .memory import open_memory

_AT_SYSINFO_EHDR = 33  # <linux/auxvec.h>
#: What is overwritten, and the number of the call that it makes instead.
_CALLS = {
    b"__vdso_clock_gettime": 228,
    b"__vdso_gettimeofday": 96,
    b"__vdso_time": 201,
}
_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_HASH, _DT_STRTAB, _DT_SYMTAB, _DT_GNU_HASH = 4, 5, 6, 0x6FFFFEF5
_SYMBOL = 24  # bytes of an Elf64_Sym
_IMAGE_MAX = 0x4000


@functools.cache
def offsets() -> dict[int, int]:
    """Where in the vDSO of this kernel each function begins: `{offset: call number}`. Empty where
    there is none."""
    base = _base("/proc/self/auxv")
    if not base:
        return {}
    return find(_image(base))


def find(image: bytes) -> dict[int, int]:
    """The same, of the bytes of a shared object that starts at its ELF header."""
    headers, entry, count = (
        *struct.unpack_from("=Q", image, 32),
        *struct.unpack_from("=HH", image, 54),
    )
    load = dynamic = 0
    for number in range(count):
        kind, _, offset, address = struct.unpack_from("=IIQQ", image, headers + number * entry)
        if kind == _PT_LOAD:
            load = address - offset
        elif kind == _PT_DYNAMIC:
            dynamic = offset
    tags = {}
    while (pair := struct.unpack_from("=qQ", image, dynamic))[0]:
        tags[pair[0]] = pair[1] - load
        dynamic += 16
    symbols, strings = tags[_DT_SYMTAB], tags[_DT_STRTAB]
    found = {}
    for at in range(symbols, strings, _SYMBOL) if symbols < strings else ():
        name, _info, _other, _section, value = struct.unpack_from("=IBBHQ", image, at)
        end = image.find(b"\0", strings + name)
        call = _CALLS.get(image[strings + name : end])
        if call is not None and value:
            found[value - load] = call
    return found


@kernel_call
def patch(pid: int | str) -> bool:
    """Overwrite the vDSO of *pid* (`"self"`: ours) and of what it forks; False when it has none.

    Only while the task executes nothing of it. Errors: those of /proc/PID/mem.
    """
    base = _base(f"/proc/{pid}/auxv")
    if not base:
        return False
    memory = open_memory(pid)
    try:
        for offset, call in offsets().items():
            # mov eax, NR; syscall; ret: the arguments lie where the call wants them
            code = b"\xb8" + struct.pack("=I", call) + b"\x0f\x05\xc3"
            os.pwrite(memory, code, base + offset)
    finally:
        os.close(memory)
    return True


def _base(auxv: str) -> int:
    with open(auxv, "rb") as file:
        for kind, value in struct.iter_unpack("=QQ", file.read()):
            if kind == _AT_SYSINFO_EHDR:
                return int(value)
    return 0


def _image(base: int) -> bytes:
    with open("/proc/self/maps") as maps:
        for line in maps:
            low, _, high = line.split()[0].partition("-")
            if int(low, 16) == base:
                return ctypes.string_at(base, min(int(high, 16) - base, _IMAGE_MAX))
    return b""
