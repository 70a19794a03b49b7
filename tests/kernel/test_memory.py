"""Another process's memory, up to the edges of what is mapped there."""

import errno
import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness._kernel.memory import Memory, copy_to
from tests.kernel.servant import Servant

PAGE = 4096
PATH_MAX = 4096
# Below what may be mapped; not canonical; the kernel's; the last one; not of 64 bits.
NOWHERE = [0, 8, 1 << 47, (1 << 63) - 8, 1 << 63, 0xFFFF_8000_0000_0000, (1 << 64) - 1, 1 << 64]


class Pages:
    """Three pages of the servant's with nothing mapped before and behind them."""

    def __init__(self) -> None:
        self.servant = Servant()
        self.servant.do(f"""
            libc = ctypes.CDLL(None, use_errno=True)
            libc.mmap.restype = ctypes.c_void_p
            rw, private_anonymous = mmap.PROT_READ | mmap.PROT_WRITE, 0x22
            base = libc.mmap(None, ctypes.c_size_t({5 * PAGE}), rw, private_anonymous, -1, 0)
            assert libc.munmap(ctypes.c_void_p(base), {PAGE}) == 0
            assert libc.munmap(ctypes.c_void_p(base + {4 * PAGE}), {PAGE}) == 0
        """)
        self.start = self.servant.ask(f"base + {PAGE}")
        self.end = self.start + 3 * PAGE
        self.memory = Memory(self.servant.pid)

    def lay(self, address: int, data: bytes) -> None:
        """What the servant itself writes."""
        self.servant.do(f"ctypes.memmove({address}, {data!r}, {len(data)})")

    def look(self, address: int, size: int) -> bytes:
        """What the servant itself sees."""
        return bytes.fromhex(self.servant.ask(f"ctypes.string_at({address}, {size}).hex()"))


@pytest.fixture(scope="module")
def pages() -> Iterator[Pages]:
    pages = Pages()
    with pages.servant:
        yield pages
    pages.memory.close()


def assert_efault(caught: pytest.ExceptionInfo[OSError]) -> None:
    assert caught.value.errno == errno.EFAULT


# Reading and writing


@pytest.mark.parametrize("offset", [0, 1, PAGE - 3, 2 * PAGE - 1, 3 * PAGE - 6])
def test_what_is_there_is_read_across_page_ends_too(pages: Pages, offset: int) -> None:
    pages.lay(pages.start + offset, b"across")
    assert pages.memory.read(pages.start + offset, 6) == b"across"


@pytest.mark.parametrize("offset", [0, 1, PAGE - 3, 2 * PAGE - 1, 3 * PAGE - 6])
def test_what_is_written_is_there_across_page_ends_too(pages: Pages, offset: int) -> None:
    pages.memory.write(pages.start + offset, b"beyond")
    assert pages.look(pages.start + offset, 6) == b"beyond"


def test_all_of_the_pages_are_read_at_once(pages: Pages) -> None:
    pages.memory.write(pages.start, bytes(range(256)) * (3 * PAGE // 256))
    assert pages.memory.read(pages.start, 3 * PAGE) == bytes(range(256)) * (3 * PAGE // 256)


def test_nothing_is_read_and_written_wherever_it_is(pages: Pages) -> None:
    assert pages.memory.read(pages.start, 0) == b""
    pages.memory.write(pages.start, b"")


@pytest.mark.parametrize("size", [2, PAGE])
def test_reading_past_the_last_page_is_efault(pages: Pages, size: int) -> None:
    with pytest.raises(OSError, match=r".") as caught:
        pages.memory.read(pages.end - 1, size)
    assert_efault(caught)


def test_writing_past_the_last_page_is_efault(pages: Pages) -> None:
    with pytest.raises(OSError, match=r".") as caught:
        pages.memory.write(pages.end - 2, b"too much")
    assert_efault(caught)


def test_reading_from_before_the_first_page_is_efault(pages: Pages) -> None:
    with pytest.raises(OSError, match=r".") as caught:
        pages.memory.read(pages.start - 1, 8)
    assert_efault(caught)


@pytest.mark.parametrize("address", NOWHERE, ids=hex)
def test_a_bad_address_is_efault(pages: Pages, address: int) -> None:
    with pytest.raises(OSError, match=r".") as caught:
        pages.memory.read(address, 1)
    assert_efault(caught)
    with pytest.raises(OSError, match=r".") as caught:
        pages.memory.write(address, b"x")
    assert_efault(caught)
    with pytest.raises(OSError, match=r".") as caught:
        pages.memory.string(address)
    assert_efault(caught)


# Strings


@given(offset=st.integers(0, 3 * PAGE - 1), length=st.integers(0, PATH_MAX - 1))
def test_a_string_ends_at_its_nul_wherever_that_is(pages: Pages, offset: int, length: int) -> None:
    length = min(length, 3 * PAGE - offset - 1)
    pages.memory.write(pages.start + offset, b"s" * length + b"\0")
    assert pages.memory.string(pages.start + offset) == b"s" * length


def test_a_string_may_end_with_the_last_page(pages: Pages) -> None:
    pages.memory.write(pages.end - 5, b"last\0")
    assert pages.memory.string(pages.end - 5) == b"last"


def test_a_string_that_runs_out_of_its_pages_is_efault(pages: Pages) -> None:
    pages.memory.write(pages.end - 5, b"never")
    with pytest.raises(OSError, match=r".") as caught:
        pages.memory.string(pages.end - 5)
    assert_efault(caught)


@pytest.mark.parametrize("offset", [0, 1, 255, PAGE - 1])
def test_a_string_that_does_not_end_is_cut_at_path_max(pages: Pages, offset: int) -> None:
    pages.memory.write(pages.start + offset, b"x" * (PATH_MAX + 300))
    assert pages.memory.string(pages.start + offset) == b"x" * PATH_MAX


# Whose memory


def test_the_memory_of_no_process_is_enoent() -> None:
    with pytest.raises(FileNotFoundError):
        Memory((1 << 22) + 1)


def test_memory_that_may_not_be_looked_at_is_refused() -> None:
    with Servant() as servant:
        if servant.ask("os.geteuid()") == 0:
            servant.do("os.setgroups([]); os.setresgid(65534, 65534, 65534)")
            servant.do("os.setresuid(65534, 65534, 65534)")
        with pytest.raises(PermissionError):
            servant.ask("memory.Memory(1)")


def test_the_memory_of_a_process_that_is_gone_is_efault() -> None:
    """Its descriptor stays good; there is nothing behind it."""
    with Servant() as servant:
        memory = Memory(servant.pid)
        address = servant.ask("id(os)")
        assert memory.read(address, 8)
        servant.kill()
        for late in (
            lambda: memory.read(address, 8),
            lambda: memory.write(address, b"x"),
            lambda: memory.string(address),
        ):
            with pytest.raises(OSError, match=r".") as caught:
                late()
            assert_efault(caught)
        memory.close()


def test_after_an_exec_the_old_memory_is_gone_and_a_new_descriptor_shows_the_new_one() -> None:
    with Servant() as servant:
        memory = Memory(servant.pid)
        address = servant.ask("id(os)")
        servant.do("os.set_inheritable(control.fileno(), False)")
        servant.begin("os.execv('/bin/sh', ['sh', '-c', 'kill -STOP $$'])")
        assert servant.control.recv(1) == b""  # closed by the exec
        with pytest.raises(OSError, match=r".") as caught:
            memory.read(address, 8)
        assert_efault(caught)
        memory.close()
        os.waitid(os.P_PID, servant.pid, os.WSTOPPED | os.WNOWAIT)
        with open(f"/proc/{servant.pid}/maps") as maps:
            address = int(maps.readline().partition("-")[0], 16)
        new = Memory(servant.pid)
        assert new.read(address, 4) == b"\x7fELF"
        new.close()


def test_closing_twice_does_nothing(pages: Pages) -> None:
    memory = Memory(pages.servant.pid)
    memory.close()
    memory.close()
    assert memory.fd == -1


# Writing as the task itself could


@given(data=st.binary(min_size=1, max_size=3 * PAGE), offset=st.integers(0, 3 * PAGE - 1))
def test_a_copy_goes_as_far_as_there_is_memory(pages: Pages, data: bytes, offset: int) -> None:
    written = copy_to(pages.servant.pid, pages.start + offset, data)
    assert written == min(len(data), 3 * PAGE - offset)
    assert pages.look(pages.start + offset, written) == data[:written]


def test_a_copy_does_not_go_where_the_task_may_not_write(pages: Pages) -> None:
    protect = f"libc.mprotect(ctypes.c_void_p({pages.start + PAGE}), {PAGE},"
    pages.servant.do(f"assert {protect} mmap.PROT_READ) == 0")
    try:
        assert copy_to(pages.servant.pid, pages.start, b"x" * 3 * PAGE) == PAGE
        with pytest.raises(OSError, match="Bad address") as caught:
            copy_to(pages.servant.pid, pages.start + PAGE, b"x")
        assert_efault(caught)
    finally:
        pages.servant.do(f"assert {protect} rw) == 0")


@pytest.mark.parametrize("address", NOWHERE[:-1], ids=hex)
def test_a_copy_to_nowhere_is_efault(pages: Pages, address: int) -> None:
    with pytest.raises(OSError, match="address") as caught:
        copy_to(pages.servant.pid, address, b"12345678")
    assert_efault(caught)
