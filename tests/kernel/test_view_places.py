"""Views of all kinds of working directories and homes, with paths that are bound or let through."""

import errno
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness._kernel import view
from harness._kernel.view import ViewPlan
from tests.kernel.inside import NO_HOME, SYSTEM, SYSTEM_DIR, Enter, Inside, below, entering, grow
from tests.kernel.servant import Servant, Teller


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return grow(tmp_path)


@pytest.fixture
def enter(tree: Path) -> Iterator[Enter]:
    with entering(tree) as enter:
        yield enter


# Where it is built


def test_the_home_and_the_working_directory_may_be_the_same(enter: Enter, tree: Path) -> None:
    inside = enter(tree, tree)
    inside.sh("rm file; echo x > made; pwd")
    assert below(inside, tree) == {"file": "deleted", "made": "file"}


@pytest.mark.parametrize("home_first", [True, False])
def test_either_may_lie_in_the_other_and_they_are_one_tree(
    enter: Enter, tree: Path, home_first: bool
) -> None:
    outer, inner = tree, tree / "dir"
    inside = enter(inner, outer) if home_first else enter(outer, inner)
    inside.sh(f"echo x > {inner}/made; mv {outer}/file {inner}/moved; cat {outer}/dir/moved")
    inside.sh(f"ln {inner}/moved {outer}/linked")  # one file system
    found = below(inside, outer)
    assert found == {
        "dir": "dir",
        "dir/made": "file",
        "dir/moved": "file",
        "file": "deleted",
        "linked": "file",
    }


def test_they_may_lie_apart(enter: Enter, tree: Path) -> None:
    (tree / "home").mkdir()
    (tree / "work").mkdir()
    inside = enter(tree / "work", tree / "home")
    inside.sh(f"echo x > made; echo y > {tree}/home/made; ls {tree}")
    assert below(inside, tree) == {"home/made": "file", "work/made": "file"}
    assert inside.sh(f"ls {tree}").split() == ["home", "work"], "the rest of /tmp is hidden"


@pytest.mark.parametrize("home", ["/", NO_HOME, SYSTEM])
def test_the_root_may_be_the_working_directory(enter: Enter, home: str) -> None:
    before = os.listdir("/")
    inside = enter("/", home)
    assert inside.sh("pwd") == "/\n"
    inside.sh("echo x > made; mkdir dir; rm made; echo y > dir/made")
    assert inside.changes() == {"/dir": "dir", "/dir/made": "file"}
    assert os.listdir("/") == before


@pytest.mark.parametrize("cwd", ["/proc", "/sys", "/dev"])
def test_a_directory_of_the_kernels_may_be_the_working_directory(enter: Enter, cwd: str) -> None:
    inside = enter(cwd)
    assert inside.sh("pwd") == f"{cwd}\n"
    assert inside.changes() == {}


@pytest.mark.parametrize("cwd", ["/tmp", "/run", "/var/tmp", "/dev/shm"])
def test_a_directory_that_would_be_fresh_is_the_hosts_when_it_is_the_working_directory(
    enter: Enter, tree: Path, cwd: str
) -> None:
    before = os.listdir(cwd)
    inside = enter(cwd)
    assert set(inside.sh("ls -A").split("\n")) >= set(before) - {""} or not before
    inside.sh("echo x > made-in-a-view")
    assert inside.changes() == {f"{cwd}/made-in-a-view": "file"}
    assert not os.path.exists(f"{cwd}/made-in-a-view")


@pytest.mark.parametrize("top", ["/var/tmp", "/dev/shm"])
def test_the_working_directory_may_lie_in_a_fresh_one(enter: Enter, top: str) -> None:
    if not os.access(top, os.W_OK):
        pytest.skip(f"{top} is not writable here; fix: chmod 1777 {top}")
    with tempfile.TemporaryDirectory(dir=top) as cwd:
        Path(cwd, "file").write_text("host")
        inside = enter(cwd)
        assert inside.sh("cat file; rm file; echo x > made; ls") == "hostmade\n"
        assert below(inside, cwd) == {"file": "deleted", "made": "file"}
        assert os.listdir(top).count(os.path.basename(cwd)) == 1
        assert os.listdir(cwd) == ["file"]
        assert inside.sh(f"ls -A {top}").split() == [os.path.basename(cwd)]


@pytest.mark.parametrize(
    "cwd",
    [
        "/never/there/at/all",
        "/usr/share/never/there",
        "/tmp/never/there",
        "/var/tmp/never/there",
        "/dev/shm/never/there",
        "/run/never/there",
        "/trial/never/there",
    ],
)
def test_a_working_directory_that_the_host_lacks_is_made(
    enter: Enter, tree: Path, cwd: str
) -> None:
    """A recording may come from another machine."""
    inside = enter(cwd, tree)
    assert inside.sh("pwd; ls -A; echo x > made; ls -A") == f"{cwd}\nmade\n"
    assert inside.changes() == {f"{cwd}/made": "file"}
    assert not os.path.exists(cwd)
    hosts = set(os.listdir("/var/tmp")) | set(os.listdir("/dev/shm"))
    assert not hosts & set(inside.sh("ls -A /var/tmp /dev/shm").split())


def test_a_working_directory_that_the_home_lacks_is_made_in_it(enter: Enter, tree: Path) -> None:
    (tree / "dir").chmod(0o711)
    inside = enter(tree / "dir" / "never" / "there", tree)
    inside.sh("echo x > made")
    assert inside.inmate.ask(f"os.stat({str(tree / 'dir')!r}).st_mode & 0o7777") == 0o711
    assert inside.sh(f"cat {tree}/file {tree}/dir/sub/deep") == "olddeep"
    assert below(inside, tree) == {"dir/never/there/made": "file"}


def test_where_a_file_stands_no_working_directory_can_be_made(enter: Enter) -> None:
    with pytest.raises(OSError, match="/etc/hostname") as caught:
        enter("/etc/hostname/below")
    assert caught.value.errno == errno.ENOTDIR


def test_a_home_that_is_no_directory_is_left_alone(enter: Enter, tree: Path) -> None:
    inside = enter(tree, "/etc/hostname/below")
    assert inside.sh("cat /etc/hostname") == Path("/etc/hostname").read_text()
    inside = enter(tree, os.devnull)
    assert inside.sh("echo x >/dev/null; cat file") == "old"


@pytest.mark.parametrize("absolute", [True, False])
def test_directories_may_be_named_through_links(enter: Enter, tree: Path, absolute: bool) -> None:
    (tree / "elsewhere").symlink_to(tree / "dir" if absolute else "dir")
    inside = enter(tree / "elsewhere" / "sub", tree / "elsewhere")
    assert inside.sh("cat deep; echo x > made; cat ../sub/made") == "deepx\n"
    assert below(inside, tree) == {"dir/sub": "dir", "dir/sub/made": "file"}


def test_other_file_systems_may_be_mounted_below_the_working_directory(
    enter: Enter, tree: Path
) -> None:
    """As below the home of many: a network share, a container's volume."""
    with Servant() as servant, servant.inmate() as outer:
        outer.do(f"""
            mount.make_private()
            mount.mount("proc", "/proc", "proc")
            mount.mount("other", {str(tree / "dir" / "sub")!r}, "tmpfs")
            open({str(tree / "dir" / "sub" / "mounted")!r}, "w").close()
            pid = enter(True)
            namespaces.write_maps(pid)
        """)
        with socket.socket(fileno=outer.take_fd("inmate.fileno()")) as control:
            inmate = Teller(control)
            plan = ViewPlan(str(tree), str(tree.parent))
            inmate.do(f"layers = view.build(view.ViewPlan(*{tuple(plan)!r}))")
            layers = inmate.take_fd("layers")
            inside = Inside(inmate, layers, view.nodes(layers))
            assert inside.sh("cat file; ls dir/sub") == "oldmounted\n"
            inside.sh("echo x > made; echo y > dir/made; echo z > dir/sub/made; rm file")
            assert below(inside, tree) == {
                "made": "file",
                "dir/made": "file",
                "dir/sub/made": "file",
                "file": "deleted",
            }
            assert outer.ask(f"os.listdir({str(tree / 'dir' / 'sub')!r})") == ["mounted"]
            assert inside.sh("./program; readlink link") == "ran\nfile\n"
            os.close(layers)


def test_a_path_with_the_overlays_own_separators_is_no_trouble(enter: Enter, tree: Path) -> None:
    strange = tree / "a,b:c\\d e\n"
    strange.mkdir()
    (strange / "file").write_text("strange")
    inside = enter(strange)
    assert inside.sh("cat file; echo x > made") == "strange"
    assert below(inside, strange) == {"made": "file"}


# Shown and written through


def test_a_hidden_path_is_known_as_hidden_unless_it_is_shown(tree: Path) -> None:
    path = str(tree / "file")
    assert view.is_hidden(ViewPlan("/usr", NO_HOME), path)
    assert view.is_hidden(ViewPlan("/usr", NO_HOME), "/var/tmp/x")
    assert view.is_hidden(ViewPlan("/usr", NO_HOME), "/run")
    assert not view.is_hidden(ViewPlan("/usr", NO_HOME), "/usr/bin/env")
    assert not view.is_hidden(ViewPlan("/usr", NO_HOME), "/tmpfile")
    assert not view.is_hidden(ViewPlan(str(tree), NO_HOME), path)
    assert not view.is_hidden(ViewPlan("/usr", str(tree)), path)
    assert not view.is_hidden(ViewPlan("/usr", NO_HOME, bind=(path,)), path)
    assert not view.is_hidden(ViewPlan("/usr", NO_HOME, write=(str(tree),)), path)


def test_what_is_bound_is_shown_and_cannot_be_written(enter: Enter, tree: Path) -> None:
    bound = (str(tree / "dir"), str(tree / "file"))
    inside = enter(SYSTEM_DIR, bind=bound)
    assert inside.sh(f"cat {tree}/dir/sub/deep {tree}/file; ls {tree}") == "deepolddir\nfile\n"
    for path in (tree / "dir" / "made", tree / "file"):
        with pytest.raises(OSError, match="Read-only"):
            inside.inmate.ask(f"open({str(path)!r}, 'w')")
    assert inside.changes() == {}


@pytest.fixture
def through(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that a view may write to, beside the tree."""
    return tmp_path_factory.mktemp("through")


def test_what_is_let_through_is_written_on_the_host(enter: Enter, through: Path) -> None:
    inside = enter(SYSTEM_DIR, write=(str(through),))
    inside.sh(f"echo x > {through}/made; mkdir {through}/dir")
    assert inside.changes() == {}
    assert (through / "made").read_text() == "x\n"
    assert (through / "made").stat().st_uid == os.geteuid()
    assert (through / "dir").is_dir()


def test_a_file_may_be_let_through_inside_the_working_directory(
    enter: Enter, through: Path
) -> None:
    (through / "log").write_text("begun\n")
    inside = enter(through, write=(str(through / "log"),))
    inside.sh("echo more >> log; echo x > file")
    assert (through / "log").read_text() == "begun\nmore\n"
    assert below(inside, through) == {"file": "file"}
    assert not (through / "file").exists()


def test_a_bound_directory_inside_one_that_is_let_through_stays_read_only(
    enter: Enter, through: Path
) -> None:
    (through / "dir").mkdir()
    inside = enter(SYSTEM_DIR, write=(str(through),), bind=(str(through / "dir"),))
    with pytest.raises(OSError, match="Read-only"):
        inside.inmate.ask(f"os.mkdir({str(through / 'dir' / 'made')!r})")
    inside.sh(f"echo x > {through}/made")
    assert sorted(os.listdir(through)) == ["dir", "made"]


def test_a_path_that_is_both_bound_and_let_through_is_let_through(
    enter: Enter, through: Path
) -> None:
    inside = enter(SYSTEM_DIR, write=(str(through),), bind=(str(through),))
    inside.sh(f"echo x > {through}/made")
    assert os.listdir(through) == ["made"]


@pytest.mark.parametrize("absolute", [True, False])
def test_a_link_in_the_working_directory_may_be_let_through(
    enter: Enter, tree: Path, through: Path, absolute: bool
) -> None:
    (tree / "out").symlink_to(through if absolute else os.path.relpath(through, tree))
    inside = enter(tree, write=(str(tree / "out"),))
    inside.sh("echo x > out/made")
    assert os.listdir(through) == ["made"]
    assert inside.changes() == {}


def test_what_is_bound_through_a_link_is_shown_where_it_was_asked_for(
    enter: Enter, tree: Path
) -> None:
    (tree / "elsewhere").symlink_to(tree / "dir")
    inside = enter(SYSTEM_DIR, bind=(str(tree / "elsewhere"), str(tree / "elsewhere" / "sub")))
    assert inside.sh(f"cat {tree}/elsewhere/sub/deep") == "deep"


def test_a_path_that_is_not_there_cannot_be_bound_and_is_named(enter: Enter, tree: Path) -> None:
    with pytest.raises(FileNotFoundError, match=str(tree / "never")):
        enter(tree, bind=(str(tree / "never"),))
