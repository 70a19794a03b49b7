"""The vDSO, overwritten: what it answered by itself it asks the kernel."""

import subprocess
import sys

import pytest

from harness._kernel import vdso

ENOSYS = 38

# It draws by the vDSO's function, before and after; `count` says which calls it has made.
_PROGRAM = """
import ctypes, resource, struct
from harness._kernel import auxv, vdso
base = auxv.read("self")[auxv.AT_SYSINFO_EHDR]
offset = next(at for at, code in vdso.offsets().items() if code == vdso._RANDOM)
draw = ctypes.CFUNCTYPE(
    ctypes.c_ssize_t, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_void_p,
    ctypes.c_size_t,
)(base + offset)
wanted = ctypes.create_string_buffer(64)
print(draw(None, 0, 0, wanted, 2**64 - 1), any(wanted.raw))
vdso.patch_own()
wanted = ctypes.create_string_buffer(64)
print(draw(None, 0, 0, wanted, 2**64 - 1), any(wanted.raw))
buffer = ctypes.create_string_buffer(32)
print(draw(buffer, 32, 0, None, 144), any(buffer.raw))
print(draw(buffer, 32, 0x80, None, 144))
"""


def test_random_bytes_are_drawn_by_a_call_and_no_state_is_offered() -> None:
    if vdso._RANDOM not in vdso.offsets().values():
        pytest.skip("no __vdso_getrandom here; fix: Linux 6.11 or later")
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.splitlines() == [
        "0 True",
        f"-{ENOSYS} False",
        "32 True",
        "-22",  # as the kernel says to a flag that it does not know
    ], done.stderr
