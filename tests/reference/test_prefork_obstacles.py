"""What stands in the way of a call, under each launcher: it is said, the status tells, and nothing
is left. Where a call can be served nevertheless, it is."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.reference.prefork import RUN_DIRECTORY, Place, run
from tests.reference.support import environment

USER_DIRECTORY = os.path.dirname(RUN_DIRECTORY)


def nothing_is_left(place: Place) -> None:
    place.until_nothing_runs()
    assert place.names() == []


def nothing_is_left_of_what_was_not_set_up(place: Place, script: str) -> None:
    """Debian's launcher leaves names without a server, which are in nobody's way."""
    place.until_nothing_runs()
    if place.launcher == "C" and place.names():
        place.kill(script)
    assert place.names() == []


def said(done: subprocess.CompletedProcess[bytes], out: bytes = b"") -> str:
    """The last line on standard error; on standard output there is *out*."""
    assert done.stdout == out
    return done.stderr.decode().rstrip("\n").rpartition("\n")[2]


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("thread", "1 threads run, which a fork would not have: waiter"),
        ("loop", "an event loop runs, which every executor would share: call it before"),
    ],
)
def test_what_a_fork_would_not_take_with_it(place: Place, what: str, why: str) -> None:
    script = place.script("runs_something.py")
    done = place.call(script, what)
    assert done.returncode == 127
    assert f"{script}: prefork: {why}" in done.stderr.decode().splitlines()
    nothing_is_left(place)


def test_a_variable_of_that_name_is_the_callers_and_nothing_else(place: Place) -> None:
    tells = place.script("tells.py")
    env = environment() | {"PREFORK_INTERP": "v9 nonsense"}
    done = place.call(tells, "variable", "PREFORK_INTERP", env=env)
    assert (done.returncode, done.stdout) == (0, b"v9 nonsense")


def test_a_script_that_goes_is_an_error_of_the_next_server(place: Place) -> None:
    tells = place.script("tells.py")
    assert place.call(tells).returncode == 0
    os.unlink(tells)
    # The one that is missing is not newer: the server lives on.
    assert place.call(tells).stdout == b"hello\n"
    done = place.call(tells, options=["-f"])
    assert done.returncode == 2
    assert "No such file or directory" in done.stderr.decode()
    nothing_is_left_of_what_was_not_set_up(place, tells)


@pytest.mark.full
def test_a_script_that_may_not_be_read_any_more(place: Place) -> None:
    place.without_privileges()
    tells = place.script("tells.py")
    assert place.call(tells).returncode == 0
    os.chmod(tells, 0)
    assert place.call(tells).stdout == b"hello\n"
    done = place.call(tells, options=["-f"])
    assert done.returncode == 2
    assert "Permission denied" in done.stderr.decode()
    nothing_is_left_of_what_was_not_set_up(place, tells)


def with_a_module(place: Place) -> tuple[str, Path]:
    """A script, and the module that it imports, alone in its directory."""
    module = place.path / "modules" / "beside.py"
    module.parent.mkdir()
    module.write_text("HELLO = 1\n")
    imports = f"import os\nimport sys\nsys.path.append({str(module.parent)!r})\nimport beside\n"
    return place.script("tells.py", **{"import os\n": imports}), module


def test_a_module_that_may_not_be_read_any_more(place: Place) -> None:
    place.without_privileges()
    tells, module = with_a_module(place)
    env = environment() | {"PYTHONDONTWRITEBYTECODE": "1"}
    assert place.call(tells, env=env).returncode == 0
    module.chmod(0)
    # It has not changed, as far as can be seen.
    assert place.call(tells, env=env).stdout == b"hello\n"
    done = place.call(tells, env=env, options=["-f"])
    assert done.returncode == 1
    assert said(done).startswith("PermissionError: ")
    nothing_is_left_of_what_was_not_set_up(place, tells)


def test_a_module_that_cannot_be_looked_at_any_more(place: Place) -> None:
    place.without_privileges()
    tells, module = with_a_module(place)
    assert place.call(tells).returncode == 0
    old = place.server(tells)
    module.parent.chmod(0)
    done = place.call(tells)
    module.parent.chmod(0o700)
    assert done.returncode == 1
    assert said(done) == "ModuleNotFoundError: No module named 'beside'"
    assert old not in place.processes()
    nothing_is_left_of_what_was_not_set_up(place, tells)
    assert place.call(tells).stdout == b"hello\n"


def make_wide(place: Place, directory: str) -> None:
    run(place.inside("chmod", "777", directory))


@pytest.mark.parametrize("spoil", [make_wide, Place.give_away])
def test_a_user_directory_that_others_have_a_hand_in_is_not_used(
    place: Place, spoil: Callable[[Place, str], None]
) -> None:
    home = place.path / "home"
    home.mkdir()
    place.home(str(home))
    spoil(place, USER_DIRECTORY)
    tells = place.script("tells.py")
    done = place.call(tells)
    assert done.returncode == 0
    line = said(done, b"hello\n")
    assert f"/var{USER_DIRECTORY} " in line
    assert line.endswith(", falling back to ~")
    (directory,) = home.joinpath(".prefork-interp").iterdir()
    assert directory.stat().st_mode & 0o777 == 0o700
    assert len(os.listdir(directory)) == 2
    assert place.call(tells, options=["--kill"]).returncode == 0
    place.until_nothing_runs()
    assert os.listdir(directory) == []


def test_a_home_whose_name_is_too_long_for_a_socket(place: Place) -> None:
    home = place.path / ("x" * 60)
    home.mkdir()
    place.home(str(home))
    run(place.inside("rmdir", USER_DIRECTORY))
    done = place.call(place.script("tells.py"))
    assert done.returncode == 127
    assert "too little" in said(done)
    assert list(home.iterdir()) == []
    place.until_nothing_runs()


def test_a_user_without_a_home(place: Place) -> None:
    place.home("/nonexistent")
    run(place.inside("rmdir", USER_DIRECTORY))
    done = place.call(place.script("tells.py"))
    assert done.returncode == 127
    assert "/nonexistent/.prefork-interp" in said(done)
    if place.launcher == "ours":
        assert said(done).endswith(
            f"fix: a home that you may write, or /var{USER_DIRECTORY} of your own (0700)"
        )
    place.until_nothing_runs()


def test_an_ident_that_is_too_long_for_a_socket(place: Place) -> None:
    done = place.call(place.script("tells.py"), options=["-g", "x" * 100])
    assert done.returncode == 127
    assert "too long" in said(done)
    nothing_is_left(place)


@pytest.mark.parametrize("room", ["1", pytest.param("2", marks=pytest.mark.full), "3"])
def test_a_run_directory_without_room(place: Place, room: str) -> None:
    """For the directory, the lock, the socket."""
    place.mount("-t", "tmpfs", "-o", f"mode=700,nr_inodes={room}", "none", USER_DIRECTORY)
    tells = place.script("tells.py")
    done = place.call(tells)
    assert done.returncode == 127
    assert "No space left on device" in said(done)
    nothing_is_left_of_what_was_not_set_up(place, tells)
