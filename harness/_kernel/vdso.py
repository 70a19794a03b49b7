"""The vDSO, by which a program reads the clock, and draws random bytes, without a system call:
overwritten so that it makes one. Source: vdso(7), elf(5)."""

from __future__ import annotations

import ctypes
import functools
import os
import struct

from . import auxv
from .libc import kernel_call
from .memory import open_memory


def _calling(number: int) -> bytes:
    """mov eax, NUMBER; syscall; ret: the arguments lie where the call wants them."""
    return b"\xb8" + struct.pack("=I", number) + b"\x0f\x05\xc3"


#: cmp r8, -1; je to what follows the call: who asks with such a length how large its state has to
#: be is told -ENOSYS (mov rax, -38; ret), and does without. Source: <vdso/getrandom.h>.
_RANDOM = b"\x49\x83\xf8\xff\x74\x08" + _calling(318) + b"\x48\xc7\xc0\xda\xff\xff\xff\xc3"
#: What is overwritten, and by what.
_CODE = {
    b"__vdso_clock_gettime": _calling(228),
    b"__vdso_gettimeofday": _calling(96),
    b"__vdso_time": _calling(201),
    b"__vdso_getrandom": _RANDOM,
}
_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_HASH, _DT_STRTAB, _DT_SYMTAB, _DT_GNU_HASH = 4, 5, 6, 0x6FFFFEF5
_SYMBOL = 24  # bytes of an Elf64_Sym
_IMAGE_MAX = 0x4000


@functools.cache
def offsets() -> dict[int, bytes]:
    """Where in the vDSO of this kernel each function begins, and what is to stand there: `{offset:
    code}`. Empty where there is none."""
    base = auxv.read("self").get(auxv.AT_SYSINFO_EHDR, 0)
    if not base:
        return {}
    return find(_image(base))


def find(image: bytes) -> dict[int, bytes]:
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
        code = _CODE.get(image[strings + name : end])
        if code is not None and value:
            found[value - load] = code
    return found


@kernel_call
def patch(memory: int, base: int) -> None:
    """Overwrite the vDSO at *base* in an open /proc/PID/mem, for that process and what it forks.

    Only while the process executes nothing of it. Errors: those of the file.
    """
    for offset, code in offsets().items():
        os.pwrite(memory, code, base + offset)


def patch_own() -> None:
    """The same for this process, if it has one."""
    base = auxv.read("self").get(auxv.AT_SYSINFO_EHDR)
    if base is None:
        return
    memory = open_memory("self")
    try:
        patch(memory, base)
    finally:
        os.close(memory)


def _image(base: int) -> bytes:
    with open("/proc/self/maps") as maps:
        for line in maps:
            low, _, high = line.split()[0].partition("-")
            if int(low, 16) == base:
                return ctypes.string_at(base, min(int(high, 16) - base, _IMAGE_MAX))
    return b""
