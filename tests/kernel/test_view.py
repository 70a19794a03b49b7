"""What a trial sees of the file system, what it leaves in it, and that the host never notices."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness._kernel import view
from tests.kernel.inside import SYSTEM_DIR, Enter, entering, grow


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return grow(tmp_path)


@pytest.fixture
def enter(tree: Path) -> Iterator[Enter]:
    with entering(tree) as enter:
        yield enter


# What is seen


def test_the_working_directory_is_where_the_host_has_it(enter: Enter, tree: Path) -> None:
    inside = enter(tree)
    assert inside.sh("pwd; cat file dir/sub/deep; ./program") == f"{tree}\nolddeepran\n"


def test_the_hosts_programs_and_files_are_there_and_read_only(enter: Enter, tree: Path) -> None:
    inside = enter(tree)
    assert inside.sh("cat /etc/hostname") == Path("/etc/hostname").read_text()
    assert inside.sh("ls /usr").split() == sorted(os.listdir("/usr"), key=os.fsencode)
    with pytest.raises(OSError, match=r".") as caught:
        inside.inmate.ask("os.mkdir('/usr/made')")
    assert caught.value.errno in (errno.EROFS, errno.EACCES)
    if os.geteuid() == 0:
        assert caught.value.errno == errno.EROFS


def test_the_tops_that_are_links_are_links(enter: Enter, tree: Path) -> None:
    links = [entry for entry in os.scandir("/") if entry.is_symlink()]
    inside = enter(tree)
    for link in links:
        assert inside.inmate.ask(f"os.readlink({link.path!r})") == os.readlink(link.path)


@pytest.mark.parametrize("path", ["/tmp", "/run", "/trial", "/var/tmp", "/dev/shm"])
def test_a_fresh_directory_is_empty_and_writable(enter: Enter, tree: Path, path: str) -> None:
    if path in view.FRESH_IF_THERE and not os.path.isdir(path):
        pytest.skip(f"this machine has no {path}")
    inside = enter(SYSTEM_DIR)
    assert inside.sh(f"ls -A {path}") == ""
    inside.sh(f"echo x > {path}/made; mkdir {path}/dir; mkfifo {path}/dir/fifo")
    assert inside.changes() == {
        f"{path}/made": "file",
        f"{path}/dir": "dir",
        f"{path}/dir/fifo": "fifo",
    }
    assert not os.path.exists(f"{path}/made")
    mode = inside.inmate.ask(f"os.stat({path!r}).st_mode & 0o7777")
    assert mode == (0o755 if path == "/trial" else 0o1777)


def test_its_processes_are_its_own(enter: Enter, tree: Path) -> None:
    inside = enter(tree)
    pids = [int(name) for name in inside.inmate.ask("os.listdir('/proc')") if name.isdigit()]
    assert pids == [1]


def test_the_old_root_cannot_be_reached(enter: Enter, tree: Path) -> None:
    inside = enter(tree)
    assert inside.inmate.ask("os.path.realpath('/..')") == "/"
    mounts = inside.inmate.ask("open('/proc/self/mountinfo').read()").splitlines()
    assert sum(line.split()[4] == "/" for line in mounts) == 1


def test_a_view_leaves_nothing_mounted_on_the_host(enter: Enter, tree: Path) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    enter(tree)
    assert Path("/proc/self/mountinfo").read_text() == before


# What is written


def test_all_that_is_done_to_the_working_directory_stays_in_the_view(
    enter: Enter, tree: Path
) -> None:
    inside = enter(tree)
    inside.sh("""
        echo new > file
        echo made > made
        mv dir/sub/deep dir/sub/deeper
        chmod 700 program
        rm link
        mkdir -p other/below
        ln -s file other/link
        mkfifo other/fifo
    """)
    inside.inmate.do(
        "server = socket.socket(socket.AF_UNIX); server.bind('other/socket'); server.close()"
    )
    found = {os.path.relpath(path, tree): kind for path, kind in inside.changes().items()}
    assert found == {
        "file": "file",
        "made": "file",
        "dir": "dir",
        "dir/sub": "dir",
        "dir/sub/deep": "deleted",
        "dir/sub/deeper": "file",
        "program": "file",
        "link": "deleted",
        "other": "dir",
        "other/below": "dir",
        "other/link": "symlink",
        "other/fifo": "fifo",
        "other/socket": "socket",
    }
    assert inside.sh("cat file made dir/sub/deeper") == "new\nmade\ndeep"


def test_a_node_knows_its_mode_its_size_and_where_its_content_lies(
    enter: Enter, tree: Path
) -> None:
    inside = enter(tree)
    inside.sh("echo content > made; chmod 640 made; ln -s to/where link2; mkdir -m 700 made.d")
    nodes = view.nodes(inside.layers)
    node, below = nodes[f"{tree}/made"]
    assert (node.kind, node.mode, node.size) == ("file", 0o640, 8)
    with open(os.open(below, os.O_RDONLY, dir_fd=inside.layers)) as file:
        assert file.read() == "content\n"
    node, below = nodes[f"{tree}/link2"]
    assert (node.kind, os.readlink(below, dir_fd=inside.layers)) == ("symlink", "to/where")
    node, _ = nodes[f"{tree}/made.d"]
    assert (node.kind, node.mode, node.size) == ("dir", 0o700, 0)


def test_a_view_in_which_nothing_is_done_has_no_changes(enter: Enter, tree: Path) -> None:
    inside = enter(tree, tree.parent)
    inside.sh("cat file; ls -lR; ./program")
    assert inside.changes() == {}


def test_a_file_that_is_written_again_has_changed(enter: Enter, tree: Path) -> None:
    inside = enter(tree)
    inside.sh("echo one > /trial/file")
    inside = inside._replace(before=view.nodes(inside.layers))
    assert inside.changes() == {}
    inside.sh("echo two > /trial/file")
    assert inside.changes() == {"/trial/file": "file"}


def test_a_renamed_directory_is_there_under_its_new_name(enter: Enter, tree: Path) -> None:
    inside = enter(tree)
    inside.sh("mv dir moved")
    found = {os.path.relpath(path, tree): kind for path, kind in inside.changes().items()}
    assert found == {
        "dir": "deleted",
        "moved": "dir",
        "moved/sub": "dir",
        "moved/sub/deep": "file",
    }


def test_a_directory_that_replaces_another_shows_what_went_with_it(
    enter: Enter, tree: Path
) -> None:
    inside = enter(tree)
    inside.sh("rm -r dir; mkdir dir; echo new > dir/new")
    found = {os.path.relpath(path, tree): kind for path, kind in inside.changes().items()}
    assert found == {"dir": "dir", "dir/new": "file", "dir/sub": "deleted"}


def test_names_are_any_bytes(enter: Enter, tree: Path) -> None:
    inside = enter(tree)
    inside.inmate.do(r"open(b'\xff \n\xe4', 'w').close()")
    assert inside.changes() == {os.fsdecode(bytes(tree) + b"/\xff \n\xe4"): "file"}


def test_a_directory_that_may_not_be_looked_into_is_named_all_the_same(
    enter: Enter, tree: Path
) -> None:
    inside = enter(tree)
    inside.sh("mkdir closed; touch closed/file; chmod 0 closed")
    found = inside.changes()
    assert found.pop(f"{tree}/closed") == "dir"
    assert set(found) <= {f"{tree}/closed/file"}


def test_the_owners_of_overlaid_directories_are_the_hosts(enter: Enter, tree: Path) -> None:
    """A program that gives up root must find its home its own."""
    if os.geteuid() != 0:
        pytest.skip("for root only: a user sees others as nobody")
    os.chown(tree, 1234, 5678)
    inside = enter(tree)
    assert inside.inmate.ask("[os.stat('.').st_uid, os.stat('.').st_gid]") == [1234, 5678]


def test_the_modes_of_overlaid_directories_are_the_hosts(enter: Enter, tree: Path) -> None:
    tree.chmod(0o2751)
    inside = enter(tree)
    assert inside.inmate.ask("os.stat('.').st_mode & 0o7777") == 0o2751
    assert inside.inmate.ask("os.stat('program').st_mode & 0o7777") == 0o750
