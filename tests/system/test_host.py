"""The host never changes, whatever a trial does; what --write names does, and nothing beside it.

Should that promise ever be broken, these trials destroy what the tests themselves made: no script
here removes or overwrites anything else.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness._engine.runner import Runner
from tests.system.support import MODES, PYTHON, Completed, harness, needs, plan, python, shell

Snapshot = dict[str, tuple[object, ...]]
both_modes = pytest.mark.parametrize("mode", MODES)

#: Where everyone may write, or root may: others do so while we look, so only our names count.
SHARED = ("/", "/tmp", "/var/tmp", "/dev", "/dev/shm", "/run", "/home", "/opt", "/etc", "/usr/bin")
#: What the destroyer makes there.
MINE = "harness-test-was-here"

DESTROYER = f"""
rm -rf ~/x; echo y >kept; echo y >new; : >emptied; rm -rf dir; mv moved elsewhere; chmod 777 mode
touch -d 2001-01-01 touched; ln -sf /nowhere link; ln kept hardlink; mkfifo fifo; mkdir -p dir/again
rm -f dangling; truncate -s 0 big; echo y >>~/.profile; rm -rf .git ~/.config
for top in {" ".join(SHARED)}; do (echo y >$top/{MINE}; mkdir $top/{MINE}.d) 2>/dev/null; done
"""


def snapshot(*tops: Path) -> Snapshot:
    """All that can be seen of these trees: names, kinds, modes, owners, times, contents."""
    found: Snapshot = {}
    for top in tops:
        for path in (top, *sorted(top.rglob("*"))):
            with contextlib.suppress(PermissionError):
                status = path.lstat()
                content: object = b""
                if path.is_symlink():
                    content = os.readlink(path)
                elif stat.S_ISREG(status.st_mode):
                    content = path.read_bytes()
                found[str(path)] = (
                    *(status.st_mode, status.st_uid, status.st_gid, status.st_nlink),
                    *(status.st_size, status.st_mtime_ns, status.st_ino, content),
                )
    return found


class Host:
    """A home and a working directory of our own, and what they looked like."""

    def __init__(self, home: Path, work: Path) -> None:
        self.home, self.work = home, work
        for path in home / "x", home / ".config", work, work / "dir" / "sub", work / ".git":
            path.mkdir(parents=True, exist_ok=True)
        for name in "kept", "moved", "mode", "touched", "emptied", "dir/sub/file", ".git/HEAD":
            (work / name).write_text(f"{name}\n")
        (work / "big").write_bytes(b"x" * (1 << 20))
        (work / "dangling").symlink_to("nothing")
        (home / "x" / "precious").write_text("precious\n")
        (home / ".profile").write_text("PATH=/bin\n")
        (work / "mode").chmod(0o640)
        self.watch(home, work)

    def watch(self, *tops: Path) -> None:
        """From now on nothing in *tops* may change."""
        self.watched = tops
        self.before = snapshot(*tops)

    def run(self, script: str, *options: str, **more: Any) -> Completed:
        """Run *script* with this home and in this directory."""
        return harness(
            *("run", "-q", *options, "--", "sh", "-c", script),
            cwd=self.work,
            env={"HOME": str(self.home)},
            **more,
        )

    def assert_unchanged(self, *but: Path) -> None:
        """Nothing that is watched has changed, *but* these, and nothing is where we were."""
        after, before = snapshot(*self.watched), self.before
        every = before.keys() | after.keys()
        changed = {path for path in every if before.get(path) != after.get(path)}
        assert changed == {str(path) for path in but}
        assert not [top for top in SHARED if os.path.lexists(f"{top}/{MINE}")]
        assert not os.path.lexists("/trial")


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "home", tmp_path / "work")


# ---- Nothing is written --------------------------------------------------------------------------


def test_the_promise_of_the_readme(host: Host) -> None:
    script = f"rm -rf ~/x; echo y > kept; mkdir /tmp/{MINE}; cat kept; ls -d /tmp/{MINE}"
    assert host.run(script, "--env", "HOME").stdout == f"y\n/tmp/{MINE}\n"
    host.assert_unchanged()


@both_modes
@pytest.mark.parametrize("home", ["HOME", "HOME={dir}"], ids=["real", "trial"])
def test_a_destroyer_destroys_nothing(host: Host, mode: str, home: str) -> None:
    done = host.run(DESTROYER + "cat kept; ls -A", "--mode", mode, "--env", home)
    assert done.stdout.splitlines()[:1] == ["y"], "it must see its own work"
    assert "moved" not in done.stdout
    host.assert_unchanged()


def test_a_destroyer_in_a_repository_destroys_nothing(host: Host) -> None:
    needs("git")
    settings = {"HOME": str(host.home), "PATH": os.environ["PATH"]}
    git = ["git", "-c", "user.name=n", "-c", "user.email=e"]
    shutil.rmtree(host.work / ".git")
    for words in ["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"]:
        subprocess.run([*git, *words], cwd=host.work, env=settings, check=True, timeout=60)
    host.watch(host.home, host.work)
    script = (
        "git config user.name n; git config user.email e;"
        "rm -rf dir && git add -A && git commit -qm y && git gc -q --prune=now;"
        "git log --oneline | wc -l; git status --short | wc -l"
    )
    done = host.run(script)
    assert done.stdout.split() == ["2", "0"], done
    host.assert_unchanged()


@pytest.mark.parametrize("cwd", ["/", "/usr", "/etc", "/tmp", "/dev", "/proc", "/sys"])
def test_a_directory_of_the_systems_as_working_directory(host: Host, cwd: str) -> None:
    script = f"pwd; (echo y >{MINE}; mkdir {MINE}.d; rm -rf {host.work}) 2>/dev/null; rm -rf ~/x"
    done = harness(
        *("run", "-q", "--env", "HOME", "--", "sh", "-c", script),
        cwd=cwd,
        env={"HOME": str(host.home)},
    )
    assert done.stdout == f"{cwd}\n", done
    host.assert_unchanged()


def test_a_working_directory_on_another_mount(host: Host) -> None:
    """/dev/shm is a file system of its own wherever there is one."""
    work = Path(f"/dev/shm/test-host-{os.getpid()}")
    try:
        work.mkdir()
    except OSError as error:
        pytest.skip(f"cannot write /dev/shm: {error.strerror}")
    try:
        there = Host(host.home, work)
        done = there.run(DESTROYER + "cat kept", "--env", "HOME")
        assert done.stdout == "y\n", done
        there.assert_unchanged()
    finally:
        shutil.rmtree(work)


@pytest.mark.parametrize(
    ("home", "work"),
    [("work/home", "work"), ("home", "home/work"), ("home", "home")],
    ids=["inside", "around", "equal"],
)
def test_a_home_and_a_working_directory_in_one_another(
    tmp_path: Path, home: str, work: str
) -> None:
    host = Host(tmp_path / home, tmp_path / work)
    done = host.run(DESTROYER + "cat kept", "--env", "HOME")
    assert done.stdout == "y\n", done
    host.assert_unchanged()


def test_a_directory_that_nobody_may_enter_stays_as_it_is(host: Host) -> None:
    """In its namespaces a trial is root, to whom what is its user's is open."""
    closed = host.work / "closed"
    closed.mkdir()
    (closed / "inside").write_text("x")
    closed.chmod(0o000)
    host.watch(host.home, host.work)
    assert host.run("rm -rf closed; echo y >kept; cat kept").stdout == "y\n"
    host.assert_unchanged()
    closed.chmod(0o700)
    assert (closed / "inside").read_text() == "x"


def test_a_working_directory_that_cannot_be_listed(host: Host) -> None:
    host.work.chmod(0o300)
    done = host.run("echo y >new; cat new")
    host.work.chmod(0o755)
    host.watch(host.home, host.work)
    assert done.stdout == "y\n" or done.returncode == 125, done
    assert not (host.work / "new").exists()


def test_writing_through_links_stays_in_the_trial(host: Host, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("old\n")
    (host.work / "way-out").symlink_to(outside)
    (host.work / "up").symlink_to("../home")
    host.watch(host.home, host.work, outside)
    host.run("echo y >way-out/file; echo y >up/.profile; rm -rf up/x way-out/*; echo y >../new")
    host.assert_unchanged()


@both_modes
def test_descriptors_of_ours_are_no_way_out(host: Host, mode: str) -> None:
    """Those that the caller has open, and those that processes have below /proc, lead nowhere."""
    fd = os.open(host.work, os.O_RDONLY | os.O_DIRECTORY)
    script = f"""
for fd in /proc/self/fd/{fd} /proc/1/fd/* /proc/*/cwd /proc/*/root; do
    (echo y >$fd/{MINE}; rm -f $fd/kept $fd{host.work}/kept) 2>/dev/null
done; :
"""
    try:
        done = host.run(script, "--mode", mode, pass_fds=(fd,))
        assert done.returncode == 0, done
    finally:
        os.close(fd)
    host.assert_unchanged()


def test_standard_input_is_no_way_out(host: Host) -> None:
    """/proc/self/fd/0 opens a file anew, where it lies."""
    script = """
for path in /dev/stdin /proc/self/fd/0; do (echo y >$path; truncate -s 0 $path) 2>/dev/null; done
cat
"""
    with (host.work / "kept").open() as file:
        assert host.run(script, stdin=file, capture_output=True).stdout == "kept\n"
    host.assert_unchanged()


def test_standard_input_is_read_from_where_it_stands(host: Host) -> None:
    with (host.work / "big").open("wb+") as file:
        file.write(b"first\nsecond\n")
    fd = os.open(host.work / "big", os.O_RDONLY)
    try:
        os.read(fd, len("first\n"))
        assert host.run("cat", stdin=fd, capture_output=True).stdout == "second\n"
    finally:
        os.close(fd)


# ---- What is no file -----------------------------------------------------------------------------


def test_the_kernels_settings_and_the_disks_are_out_of_reach(runner: Runner) -> None:
    """Root's trials too: a read-only mount keeps nobody from a device or from /proc/sys."""
    settings = ["/proc/sys/vm/swappiness", "/proc/sys/kernel/panic", "/proc/sys/fs/file-max"]
    # Each would write what is there already.
    tries = "; ".join(f"(cat {path} >{path}) 2>/dev/null && echo {path}" for path in settings)
    script = f"{tries}; (: >>/dev/kmsg) 2>/dev/null && echo kmsg; find /dev -type b; ls /dev/pts"
    result = runner.run(plan(*shell(script)))
    assert result.outcome.stdout.head == "ptmx\n"


def test_its_terminals_are_its_own(runner: Runner) -> None:
    code = "import os; print(os.ttyname(os.openpty()[1]), os.ttyname(os.openpty()[1]))"
    result = runner.run(plan(PYTHON, "-I", "-S", "-c", code))
    assert result.outcome.stdout.head == "/dev/pts/0 /dev/pts/1\n"


def test_what_it_mounts_is_not_seen_outside(runner: Runner) -> None:
    script = f"mount -t tmpfs {MINE} /mnt && echo y >/mnt/new && cat /mnt/new"
    result = runner.run(plan(*shell(script)))
    assert result.outcome.stdout.head == "y\n", result.outcome.stderr
    assert MINE not in Path("/proc/self/mountinfo").read_text()


def test_its_host_name_is_its_own(runner: Runner) -> None:
    needs("hostname")
    result = runner.run(plan(*shell(f"hostname; hostname {MINE} && hostname")))
    assert result.outcome.stdout.head == f"trial\n{MINE}\n"
    assert os.uname().nodename != MINE


def test_its_domain_name_is_its_own(runner: Runner) -> None:
    file = "/proc/sys/kernel/domainname"
    before = Path(file).read_text()
    set_it = (
        f"import ctypes; assert not ctypes.CDLL(None).setdomainname({MINE.encode()}, {len(MINE)})"
    )
    result = runner.run(plan(*python(f"{set_it}; print(open({file!r}).read())")))
    assert result.outcome.stdout.head == f"{MINE}\n\n", result.outcome
    assert runner.run(plan("/bin/cat", file)).outcome.stdout.head == "(none)\n"
    assert Path(file).read_text() == before


def test_it_sees_no_process_of_ours(runner: Runner) -> None:
    witness = subprocess.Popen(["sleep", "60"])
    try:
        result = runner.run(plan(*shell(f"kill -9 {witness.pid}; ls -d /proc/[0-9]* | wc -l")))
        assert "No such process" in result.outcome.stderr.head
        assert int(result.outcome.stdout.head) < 9
        assert witness.poll() is None
    finally:
        witness.kill()
        witness.wait()


def test_sockets_of_ours_are_reached_with_net_host_only() -> None:
    name = f"\0harness-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as abstract, socket.socket() as tcp:
        abstract.bind(name)
        abstract.listen()
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        code = f"""
import socket
for kind, where in ((socket.AF_UNIX, {name!r}), (socket.AF_INET, {tcp.getsockname()!r})):
    try:
        socket.socket(kind).connect(where)
        print("reached")
    except ConnectionRefusedError:
        print("refused")
"""
        command = ("--", PYTHON, "-I", "-S", "-c", code)
        assert harness("run", "-q", *command).stdout == "refused\nrefused\n"
        assert harness("run", "-q", "--net", "host", *command).stdout == "reached\nreached\n"


def test_sockets_may_be_made_in_run_and_tmp(runner: Runner) -> None:
    code = f"""
import os, socket
for path in "/run/{MINE}", "/var/run/{MINE}-too", "/tmp/{MINE}", "here":
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    socket.socket(socket.AF_UNIX).connect(path)
"""
    result = runner.run(plan(PYTHON, "-I", "-S", "-c", code))
    assert result.outcome.status == 0, result.outcome.stderr.head
    made = {change.path for change in result.outcome.files if change.kind == "socket"}
    assert made == {f"/run/{MINE}", f"/run/{MINE}-too", f"/tmp/{MINE}", "/trial/here"}
    assert not any(os.path.lexists(path) for path in made)


def test_what_it_changes_is_told_without_being_done(host: Host, runner: Runner) -> None:
    script = (
        "rm -rf dir; echo y >kept; mkdir new; ln -s a link; mkfifo fifo; rm big; chmod 600 mode"
    )
    result = runner.run(plan(*shell(script), cwd=str(host.work), home=str(host.home)))
    found = {
        os.path.relpath(change.path, host.work): change.kind for change in result.outcome.files
    }
    assert found == {
        **dict.fromkeys(("dir", "big"), "deleted"),
        **dict.fromkeys(("kept", "mode"), "file"),
        "new": "dir",
        "link": "symlink",
        "fifo": "fifo",
    }
    host.assert_unchanged()


# ---- What is let through -------------------------------------------------------------------------


def test_write_lets_exactly_that_path_through(host: Host) -> None:
    script = (
        "echo y >kept; echo y >dir/new; echo y >dir/sub/file; mkdir dir/made; rm -rf ~/x; rm big"
    )
    done = host.run(script, "--write", "dir", "--env", "HOME")
    assert done.returncode == 0, done
    through = host.work / "dir"
    # The directory dir/sub itself keeps its entries, so its own times stay.
    written = through / "new", through / "sub" / "file"
    host.assert_unchanged(through, through / "made", *written)
    assert [path.read_text() for path in written] == ["y\n", "y\n"]
    assert written[0].stat().st_uid == os.geteuid()


def test_write_lets_one_file_through(host: Host) -> None:
    done = host.run("echo y >kept; echo y >mode", "--write", str(host.work / "kept"))
    assert done.returncode == 0, done
    host.assert_unchanged(host.work / "kept")
    assert (host.work / "kept").read_text() == "y\n"


def test_write_may_name_a_path_that_the_trial_hides(host: Host, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    done = host.run(f"echo y >{out}/result; echo y >{tmp_path}/beside", "--write", str(out))
    assert done.returncode == 0, done
    assert (out / "result").read_text() == "y\n"
    assert not (tmp_path / "beside").exists()
    host.assert_unchanged()


def test_write_gives_no_right_that_one_has_not(host: Host) -> None:
    if os.geteuid() == 0:
        pytest.skip("root has every right")
    done = host.run(f"(echo y >/etc/{MINE}) 2>/dev/null || echo no", "--write", "/etc")
    assert done.stdout == "no\n", done


def test_bind_shows_and_does_not_let_through(host: Host, tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    shown.mkdir()
    (shown / "file").write_text("seen\n")
    host.watch(*host.watched, shown)
    reading = f"cat {shown}/file"
    assert host.run(reading).returncode == 1, "hidden by the trial's own /tmp"
    writing = f"(echo y >{shown}/file) 2>/dev/null || echo no"
    done = host.run(f"{reading}; {writing}", "--bind", str(shown))
    assert done.stdout == "seen\nno\n", done
    host.assert_unchanged()


@pytest.mark.parametrize("option", ["--bind", "--write"])
def test_a_path_that_is_not_there_is_named(option: str, host: Host) -> None:
    done = host.run("true", option, "nowhere/at-all")
    assert done.returncode == 125
    assert "nowhere/at-all" in done.stderr
    host.assert_unchanged()


def test_a_recorded_trial_cannot_write_through(host: Host, tmp_path: Path) -> None:
    done = host.run("echo y >kept", "--write", ".", "--record", str(tmp_path / "r.json"))
    assert done.returncode == 125
    assert not (tmp_path / "r.json").exists()
    host.assert_unchanged()
