"""What a descriptor leads to, read from a trace without results."""

import pytest

from harness.descriptors import Descriptors
from harness.trace import Event


def kinds(lines: str) -> list[str]:
    """The kind of the first descriptor of each event."""
    descriptors = Descriptors()
    return [descriptors.see(Event.parse(line)) for line in lines.strip().splitlines()]


def test_what_is_used_after_an_open_is_a_file() -> None:
    lines = (
        'main openat#1 - AT_FDCWD "/x" 0x0 00\nmain newfstatat#1 - 3 "" 0x1000\nmain read#1 - 3 9'
    )
    assert kinds(lines) == ["unknown", "file", "file"]


def test_an_open_that_failed_is_not_taken_for_a_file() -> None:
    lines = """
main openat#1 - AT_FDCWD "/none" 0x0 00
main socket#1 - 1 0x1 0
main connect#1 - 3
main read#1 - 3 9"""
    assert kinds(lines)[-1] == "socket"


def test_a_number_that_is_closed_begins_anew() -> None:
    lines = """
main openat#1 - AT_FDCWD "/x" 0x0 00
main read#1 - 3 9
main close#1 - 3
main pipe2#1 - 0x0
main read#2 - 3 9"""
    assert kinds(lines) == ["unknown", "file", "file", "unknown", "pipe"]


@pytest.mark.parametrize("call", ["dup2#1 - 3 0", "dup3#1 - 3 0 0x0"])
def test_a_duplicate_leads_to_where_the_first_does(call: str) -> None:
    lines = f'main openat#1 - AT_FDCWD "/x" 0x0 00\nmain {call}\nmain read#1 - 0 9'
    assert kinds(lines)[-1] == "file"


def test_a_duplicate_of_a_number_that_the_kernel_chooses_too() -> None:
    lines = """
main openat#1 - AT_FDCWD "/x" 0x0 00
main fcntl#1 - 3 1030
main close#1 - 3
main read#1 - 10 9"""
    assert kinds(lines)[-1] == "file"


def test_a_child_has_what_its_parent_had_when_it_appeared() -> None:
    lines = """
service accept#1 - 3
service read#1 - 4 9
service clone#1 - 0x11
service/0 read#1 - 4 9
service close#1 - 4
service/0 write#1 - 4 9"""
    assert kinds(lines)[3] == "socket"
    assert kinds(lines)[-1] == "socket"


def test_standard_input_is_what_the_command_was_given() -> None:
    assert kinds("main read#1 - 0 9\nmain/0 write#1 - 1 9") == ["standard", "standard"]
    assert kinds("main close#1 - 0\nmain accept#1 - 3\nmain read#1 - 0 9")[-1] == "socket"


def test_what_only_a_file_can_be_asked_is_asked_of_a_file() -> None:
    assert kinds("main ftruncate#1 - 1 0\nmain write#1 - 1 9") == ["file", "file"]


def test_a_call_without_a_descriptor_leads_nowhere() -> None:
    assert kinds('main rename#1 - "/a" "/b"\nmain exit_group#1 - 0') == ["unknown", "unknown"]


def libraries(lines: str) -> list[bool]:
    """Of each event, whether it is about a library."""
    descriptors = Descriptors()
    found = []
    for line in lines.strip().splitlines():
        descriptors.see(Event.parse(line))
        found.append(descriptors.library)
    return found


def test_what_is_only_read_by_an_absolute_path_is_a_library_until_it_is_closed() -> None:
    lines = """
main openat#1 - AT_FDCWD "/lib/libc.so.6" 0x80000 00
main read#1 - 3 832
main/0 pread64#1 - 3 784 64
main close#1 - 3
main openat#2 - AT_FDCWD "input" 0x0 00
main read#2 - 3 9"""
    assert libraries(lines) == [True, True, True, True, False, False]


@pytest.mark.parametrize("flags", ["0x1", "0x2", "0x241", "0x40"])
def test_what_may_be_written_is_no_library(flags: str) -> None:
    lines = f'main openat#1 - AT_FDCWD "/var/log/x" {flags} 0666\nmain write#1 - 3 9'
    assert libraries(lines) == [False, False]


def test_what_is_used_after_a_socket_is_no_library() -> None:
    lines = 'main openat#1 - AT_FDCWD "/none" 0x0 00\nmain socket#1 - 1 0x1 0\nmain read#1 - 3 9'
    assert libraries(lines) == [True, False, False]
