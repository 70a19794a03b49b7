"""Our launcher: what it shares with Debian's, and what it says when it cannot launch."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference.prefork_interpreter import arguments as command_line
from reference.prefork_interpreter import run_directory
from reference.prefork_interpreter.arguments import Arguments, UsageError
from tests.reference.prefork import LAUNCHERS, RUN_DIRECTORY, Place, require, run
from tests.reference.support import environment


@pytest.fixture
def place() -> Iterator[Place]:
    place = Place("ours")
    yield place
    place.close()


def fails(done: subprocess.CompletedProcess[bytes], why: str, status: int = 127) -> None:
    assert done.stderr.decode().splitlines()[-1] == f"prefork-interpreter: {why}"
    assert (done.returncode, done.stdout) == (status, b"")


def test_both_launchers_find_each_others_servers(place: Place) -> None:
    require("C")
    tells = place.script("tells.py")
    options = ["-G", "a", "-E", "HERE", "-E", "NOT_HERE"]
    env = environment() | {"HERE": "1"}
    outs = []
    for launcher in ("ours", "C"):
        place.launcher = launcher
        outs.append(place.call(tells, "who", options=options, env=env).stdout)
    assert outs[0] == outs[1] != b""
    assert len(place.names()) == 2


def test_it_serves_the_library_for_perl(place: Place) -> None:
    modules = ["-MProc::Prefork::Interp", "-MIO::FDPass"]
    if subprocess.run(["perl", *modules, "-e1"], capture_output=True).returncode:
        pytest.skip("no library for Perl; fix: apt-get install chiark-scripts libio-fdpass-perl")
    greet = place.script("greet.pl")
    words = place.launch("-U", "perl", greet, "say", "you")
    env = environment() | {"GIVEN": "so"}
    first, second = (run(words, env=env) for _ in range(2))
    for done in (first, second):
        assert done.stdout.startswith(b"hello ")
        assert done.stdout.endswith(b" you so\n")
        # That library may interrupt a script that is on its way out, and then reports that.
        assert done.returncode in (7, -2)
    assert first.stdout != second.stdout
    run(place.launch("-U", "--kill", "perl", greet))
    place.until_nothing_runs()
    assert place.names() == []


def test_a_caller_without_standard_streams_is_served(place: Place) -> None:
    tells = place.script("tells.py")

    def close_all() -> None:
        for number in range(3):
            os.close(number)

    assert place.call(tells, "exit", "5", stdout=None, preexec_fn=close_all).returncode == 5
    # What cannot be read is an error of the script, as in a plain run.
    assert place.call(tells, "copy", preexec_fn=lambda: os.close(0)).returncode == 1


def test_other_descriptors_of_the_caller_do_not_come_into_the_server(
    place: Place, tmp_path: Path
) -> None:
    tells = place.script("tells.py")
    with (tmp_path / "open").open("wb") as file:
        done = place.call(tells, "descriptors", pass_fds=[file.fileno()])
    assert done.stdout == b""


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "need interpreter argument (--help says more)"),
        (
            ["python3", "x"],
            "need -U (both sides get all arguments and variables) (--help says more)",
        ),
        (["-Q"], "unknown option -Q (--help says more)"),
        (["-U", "--no"], "unknown option --no (--help says more)"),
        (["-U", "-g"], "-g option takes a value (--help says more)"),
        (["-U,-f"], "combined arg lacks <interpreter> (--help says more)"),
        (
            ["-U,python3"],
            "no script argument (expected after combined #! options) (--help says more)",
        ),
    ],
)
def test_a_command_line_that_cannot_be(words: list[str], why: str) -> None:
    fails(run([*LAUNCHERS["ours"], *words]), why, status=255)


words = st.lists(st.sampled_from([b"-U", b"-f", b"-", b"--", b"-Gx", b"-G", b"-U,a b", b"p"]))


@given(words)
def test_any_command_line_is_read_or_refused(given_words: list[bytes]) -> None:
    try:
        found = command_line.parse(given_words)
    except UsageError:
        return
    assert isinstance(found, Arguments)
    assert found.is_unlaundered
    assert all(word in b" ".join(given_words) for word in found.command)


def test_what_is_not_launched_leaves_nothing(place: Place) -> None:
    place.path.joinpath("ends.py").write_text("pass\n")
    place.path.joinpath("fails.py").write_text("raise SystemExit(3)\n")
    place.path.joinpath("dies.py").write_text("import os\nos.kill(os.getpid(), 9)\n")
    place.path.joinpath("imports.py").write_text("import not_there\n")
    never = "the script has ended without a call of initialisation_complete()"
    fails(place.call("ends.py"), never)
    assert place.call("fails.py").returncode == 3
    assert place.call("dies.py").returncode == -9
    assert place.call("imports.py").returncode == 1
    assert place.call("not_there.py").returncode == 2
    missing = "cannot execute no-such-interpreter: No such file or directory"
    # Of the directories to be searched one may be closed to us, and that would be told.
    env = environment() | {"PATH": "/usr/bin:/bin"}
    done = run(place.launch("-U", "no-such-interpreter", "x"), env=env)
    assert done.stderr.decode() == f"prefork-interpreter: {missing}\n"
    assert done.returncode == 127
    place.until_nothing_runs()
    assert place.names() == []


def test_a_user_directory_that_is_not_private_is_not_used(tmp_path: Path) -> None:
    uid = os.getuid()
    own = tmp_path / str(uid)
    home = run_directory.home_directory(uid)
    assert run_directory.find(uid, str(tmp_path)) == (home, "")
    own.mkdir(mode=0o700)
    assert run_directory.find(uid, str(tmp_path)) == (f"{own}/prefork-interp", "")
    own.chmod(0o750)
    why = "is open to group or others (mode 0750), falling back to ~"
    assert run_directory.find(uid, str(tmp_path)) == (home, f"{own} {why}")


def test_a_run_directory_that_is_not_private_is_an_error(place: Place) -> None:
    run(place.inside("mkdir", "-m", "770", RUN_DIRECTORY))
    fails(
        place.call(place.script("tells.py")),
        f"/var{RUN_DIRECTORY} is open to group or others (mode 0770); remove it",
    )


def test_a_run_directory_of_somebody_else_is_an_error(place: Place) -> None:
    run(place.inside("mkdir", "-m", "700", RUN_DIRECTORY))
    place.give_away(RUN_DIRECTORY)
    fails(
        place.call(place.script("tells.py")),
        f"/var{RUN_DIRECTORY} is not owned by uid 0; remove it",
    )


def test_a_run_directory_that_is_full(place: Place) -> None:
    tells = place.script("tells.py")
    run(place.inside("mount", "-t", "tmpfs", "-o", "mode=700,nr_inodes=1", "none", "/run/user/0"))
    fails(place.call(tells), f"cannot make /var{RUN_DIRECTORY}: No space left on device")
    run(place.inside("mount", "-t", "tmpfs", "-o", "mode=700,nr_inodes=3", "none", "/run/user/0"))
    fails(
        place.call(tells, options=["-g", "x"]),
        f"cannot listen on /var{RUN_DIRECTORY}/sx: [Errno 28] No space left on device",
    )


def test_a_name_that_is_too_long_or_no_name(place: Place) -> None:
    tells = place.script("tells.py")
    fails(
        place.call(tells, options=["-g", "x" * 100]),
        f"base directory /var{RUN_DIRECTORY} plus ident {'x' * 100} is too long for a socket"
        " (at most 66 bytes of ident)",
    )
    fails(place.call(tells, options=["-g", "a/b"]), "the ident a/b has a '/'")


def test_who_owns_a_directory_and_who_may_enter_it_is_looked_at() -> None:
    def about(mode: int, uid: int) -> os.stat_result:
        return os.stat_result((mode, 0, 0, 1, uid, 0, 0, 0, 0, 0))

    assert run_directory.unfit(about(stat.S_IFDIR | 0o700, 5), 5) == ""
    assert run_directory.unfit(about(stat.S_IFDIR | 0o700, 6), 5) == "is not owned by uid 5"
    assert run_directory.unfit(about(stat.S_IFDIR | 0o701, 5), 5).startswith("is open to group")
    assert run_directory.unfit(about(stat.S_IFLNK | 0o700, 5), 5) == "is not a directory"


def test_the_names_of_servers_that_were_called_last_are_kept(tmp_path: Path) -> None:
    for number in range(12):
        for kind in "sl":
            path = tmp_path / f"{kind}{number}"
            path.touch()
            os.utime(path, (1000 + number, 1000))
    (tmp_path / "other").touch()
    run_directory.clean(str(tmp_path), entries_max=10)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {f"{kind}{number}" for kind in "sl" for number in range(2, 12)} | {"other"}


def test_the_example_of_the_documentation_runs(place: Place) -> None:
    example = Path(sys.modules[Arguments.__module__].__file__ or "").with_name("example.py")
    copy = str(place.path / "example.py")
    shutil.copy(example, copy)
    for _ in range(2):
        assert place.call(copy, "a", "bcd").stdout == b'{"a": 1, "bcd": 3} 8\n'
