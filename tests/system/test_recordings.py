"""A recording runs again anywhere, and says what became of its finding; a bad one runs nothing."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import Effort
from harness._engine import store
from harness._engine.replay import replay
from harness._engine.store import load
from harness.errors import RecordingError, UsageError
from harness.recording import InputFile, Recording
from tests.system.recorded import BROKEN_OTHERWISE, FAULT, MENDED, Case, changed, said
from tests.system.support import harness, one_line

# ---- From anywhere -------------------------------------------------------------------------------


def test_it_replays_20_of_20_where_it_was_made(case: Case) -> None:
    done = case.replay("--times", "20", "--exact")
    assert said(done) == ["REPRODUCED 20/20: main: exits 5"], done
    assert done.returncode == 1


def test_a_copy_replays_20_of_20_from_another_directory(case: Case, tmp_path: Path) -> None:
    elsewhere = tmp_path / "a b" / "c"
    elsewhere.mkdir(parents=True)
    copied = shutil.copy(case.file, elsewhere / "copy of it.json")
    done = harness("replay", "--times", "20", "--exact", str(copied), cwd=elsewhere)
    assert said(done) == ["REPRODUCED 20/20: main: exits 5"], done
    relative = harness("replay", "--exact", "copy of it.json", cwd=elsewhere)
    assert said(relative) == ["REPRODUCED: main: exits 5"]


def test_it_replays_20_of_20_when_its_directory_is_gone(case: Case) -> None:
    shutil.rmtree(case.folder)
    done = case.replay("--times", "20", "--exact", cwd=case.file.parent)
    assert said(done) == ["REPRODUCED 20/20: main: exits 5"], done
    assert not case.folder.exists()


def test_a_service_that_ended_before_it_was_ready_replays(tmp_path: Path) -> None:
    service = ("--ready", "{dir}/s", "--client", "true", "--", "sh", "-c", "exit 0")
    made = harness("run", "-q", "--record", "r.json", *service, cwd=tmp_path)
    assert made.returncode == 1, made
    done = harness("replay", "--exact", "r.json", cwd=tmp_path)
    assert said(done) == ["REPRODUCED: service: exits 0 before it is ready"]
    assert done.returncode == 1


def test_a_random_seed_replays_from_its_switches(case: Case) -> None:
    """Two writers race; what a seed decided is in the recording."""
    race = "(cat data; echo a)>>f & (cat data; echo b)>>f & wait; tail -n 1 f | grep -q b"
    for seed in "1", "2":
        run = harness(
            *("run", "--seed", seed, "--record", str(case.file), "--", "sh", "-c", race),
            cwd=case.folder,
        )
        done = case.replay("--times", "5", "--exact")
        assert said(done)[0].startswith("REPRODUCED 5/5"), done
        assert done.returncode == run.returncode


def test_files_named_by_the_command_are_taken_along(case: Case, tmp_path: Path) -> None:
    data = tmp_path / "data of another folder"
    data.write_text("secret")
    data.chmod(0o600)
    command = ("cat", str(data))
    run = harness(
        *("run", "--bind", str(data), "--record", str(case.file), "--", *command), cwd=case.folder
    )
    assert run.stdout == "secret"
    data.unlink()
    done = case.replay("--exact")
    assert (done.returncode, said(done)) == (0, ["REPRODUCED: no finding, as recorded"]), done


def test_files_of_the_system_are_laid_over_those_of_this_machine(plain: dict[str, Any]) -> None:
    """A recording from elsewhere names a file that this machine has too, but another, or not at
    all, in a directory that the trial may not write."""
    plain["command"] = ["grep", "-h", "x", "/etc/passwd", "/etc/of-another-machine/conf"]
    plain["inputs"] = [_input("/etc/passwd", b"x:0\n")]
    plain["inputs"] += [_input("/etc/of-another-machine/conf", b"y\nx = 1\n")]
    plain["schedule"]["faults"] = []
    plain["expected"] |= {"fired": [], "seen": []}
    (replayed,) = replay(Recording.loads(json.dumps(plain)))
    assert replayed.result is not None, replayed.reason
    assert replayed.result.outcome.stdout.head == "x:0\nx = 1\n"


def test_the_root_as_working_directory_takes_no_system_along(case: Case) -> None:
    command = ("cat", str(case.data))
    run = harness(
        "run", *("--bind", str(case.data), "--record", str(case.file)), "--", *command, cwd="/"
    )
    assert run.returncode == 0, run
    assert [file.path for file in load(case.file).inputs] == [str(case.data)]
    case.data.unlink()
    assert said(case.replay("--exact")) == ["REPRODUCED: no finding, as recorded"]


def _input(path: str, data: bytes) -> dict[str, object]:
    return {**InputFile.of("/any", 0o644, data).to_json(), "path": path}


# ---- What became of it ---------------------------------------------------------------------------


def test_a_mended_program_is_fixed(case: Case) -> None:
    case.write(MENDED)
    done = case.replay()
    assert done.returncode == 0
    assert said(done)[0] == "FIXED: main: exits 5: not any more", done
    assert said(done)[1].startswith("diverges at event ")
    assert changed(done) == [f"{case.program} is another file"]


def test_a_call_that_is_gone_is_named(case: Case) -> None:
    case.write("#!/bin/sh\ntrue\n")
    done = case.replay()
    assert done.returncode == 0
    assert said(done)[0] == (f"FIXED: main: exits 5: not any more (the call of {FAULT} is gone)"), (
        done
    )


def test_a_program_that_breaks_otherwise_is_changed(case: Case) -> None:
    case.write(BROKEN_OTHERWISE)
    done = case.replay()
    assert done.returncode == 1
    assert said(done)[0] == "CHANGED: main: exits 6; recorded was: main: exits 5", done


def test_a_finding_where_there_was_none_is_changed(case: Case) -> None:
    harness("run", "--record", str(case.file), "--", "./copy.sh", cwd=case.folder)
    case.write("#!/bin/sh\nkill -SEGV $$\n")
    done = case.replay()
    assert done.returncode == 1
    assert said(done)[0] == "CHANGED: main: dies of SIGSEGV; recorded was: no finding", done


def test_a_program_that_cannot_run_is_inconclusive(case: Case) -> None:
    case.program.chmod(0o644)
    done = case.replay("--times", "2")
    assert done.returncode == 3
    assert said(done)[0].startswith("INCONCLUSIVE 2/2: it cannot run: "), done
    assert "not executable" in said(done)[0]


def test_a_program_that_is_nowhere_is_inconclusive(case: Case, tmp_path: Path) -> None:
    """A large program is known by its digest only."""
    tools = tmp_path / "tools"
    tools.mkdir()
    shutil.copy("/bin/cat", tools / "meow")
    run = harness(
        *("run", "--bind", str(tools), "--record", str(case.file)),
        *("--", str(tools / "meow"), "data"),
        cwd=case.folder,
    )
    assert run.stdout == "precious\n"
    shutil.rmtree(tools)
    done = case.replay()
    assert done.returncode == 3
    assert said(done)[0].startswith("INCONCLUSIVE: it cannot run: "), done
    assert "meow" in said(done)[0]


# ---- Data as it was, programs as they are --------------------------------------------------------


def test_data_is_as_it_was_recorded(case: Case) -> None:
    case.data.write_text("another, and longer\n")
    done = case.replay("--exact")
    assert (done.returncode, said(done)) == (1, ["REPRODUCED: main: exits 5"]), done
    assert case.data.read_text() == "another, and longer\n"


def test_the_mode_of_data_is_as_it_was_recorded(case: Case) -> None:
    case.data.chmod(0o640)
    command = ("stat", "-c", "%a", "data")
    shown = (
        "run",
        "--record",
        str(case.file),
        "--",
        "sh",
        "-c",
        f"{shlex.join(command)}; cat data",
    )
    assert harness(*shown, cwd=case.folder).stdout == "640\nprecious\n"
    case.data.chmod(0o604)
    done = case.replay("--exact")
    assert done.returncode == 0
    assert load(case.file).inputs[0].mode == 0o640


def test_large_data_is_known_by_its_digest_only(case: Case) -> None:
    case.data.write_bytes(b"x" * (1 << 17))
    run = harness("run", "--record", str(case.file), "--", "wc", "-c", "data", cwd=case.folder)
    assert run.stdout == "131072 data\n"
    (only,) = load(case.file).inputs
    assert only.content is None
    assert case.replay("--exact").returncode == 0


def test_standard_input_is_as_it_was(case: Case) -> None:
    run = harness(
        *("run", "--record", str(case.file), "--", "sh", "-c", "grep -q precious && exit 9"),
        input="semi-precious\n",
        cwd=case.folder,
    )
    assert run.returncode == 9
    done = harness("replay", str(case.file), input="none\n")
    assert said(done) == ["REPRODUCED: main: exits 9"]


def test_a_replay_writes_nothing_on_this_machine(case: Case) -> None:
    before = sorted(os.listdir(case.folder))
    case.replay("--times", "2")
    assert sorted(os.listdir(case.folder)) == before == ["copy.sh", "data"]


# ---- Showing -------------------------------------------------------------------------------------


def test_show_tells_what_was_run_and_what_went_wrong_around_the_fault(case: Case) -> None:
    lines = harness("show", "--text", str(case.file)).stdout.splitlines()
    assert lines[0] == "command   ./copy.sh"
    assert any(line.startswith("verdict   FAIL: ") and "exits 5" in line for line in lines)
    assert any(line.startswith("!") and "main/0" in line and "ENOSPC" in line for line in lines)
    assert len(lines) < 50
    assert len(harness("show", "--all", str(case.file)).stdout.splitlines()) > len(lines)


def test_show_executes_nothing(case: Case) -> None:
    case.write("#!/bin/sh\nexit 99\n")
    shutil.rmtree(case.folder)
    assert harness("show", str(case.file)).returncode == 0


# ---- The store -----------------------------------------------------------------------------------


@pytest.fixture
def kept(case: Case) -> tuple[Path, str, str]:
    """A folder with a store of two recordings, and their ids; the second is the latest."""
    there = case.file.parent
    first = store.save(load(case.file), str(there / ".harness"))
    harness("run", "--record", str(case.file), "--", "./copy.sh", cwd=case.folder)
    second = store.save(load(case.file), str(there / ".harness"))
    return there, first, second


def test_a_recording_is_found_by_its_id_and_by_the_start_of_it(
    kept: tuple[Path, str, str],
) -> None:
    there, first, second = kept
    assert first != second
    for name in first, first[:4], f".harness/{first}", f".harness/{first}/recording.json":
        done = harness("replay", name, cwd=there)
        assert said(done) == ["REPRODUCED: main: exits 5"], done


def test_latest_is_the_last_that_was_kept(kept: tuple[Path, str, str]) -> None:
    there, _, second = kept
    done = harness("replay", "latest", cwd=there)
    assert said(done) == ["REPRODUCED: no finding, as recorded"], done
    assert os.readlink(there / ".harness" / "latest") == second


def test_without_a_name_every_recording_is_replayed(kept: tuple[Path, str, str]) -> None:
    there, *_ = kept
    for name in [], [".harness"]:
        done = harness("replay", *name, cwd=there)
        words = sorted(line.split(":")[0] for line in done.stdout.splitlines() if "REPRO" in line)
        assert words == ["REPRODUCED", "REPRODUCED"], done
        assert done.returncode == 1


def test_a_name_that_is_none_is_told_the_nearest(kept: tuple[Path, str, str]) -> None:
    there, first, _ = kept
    typo = first[:6] + ("00" if not first.endswith("00") else "11")
    done = harness("replay", typo, cwd=there)
    assert done.returncode == 2
    assert first in one_line(done.stderr)
    late = harness("show", "latets", cwd=there)
    assert late.returncode == 2
    assert "latest" in one_line(late.stderr)


@pytest.mark.parametrize("command", ["replay", "show"])
def test_an_empty_place_has_no_recording(command: str, tmp_path: Path) -> None:
    for name in "latest", "0123abcd", ".", str(tmp_path), "/nowhere/at/all.json":
        done = harness(command, name, cwd=tmp_path)
        assert done.returncode == 2, name
        one_line(done.stderr)
    assert os.listdir(tmp_path) == []


def test_nothing_to_replay_is_told_how_to_make_one(tmp_path: Path) -> None:
    done = harness("replay", cwd=tmp_path)
    assert done.returncode == 2
    assert "--record" in one_line(done.stderr)


# ---- Files that are none, or worse ---------------------------------------------------------------


def _without(key: str) -> Callable[[dict[str, Any]], str]:
    def changed(plain: dict[str, Any]) -> str:
        del plain[key]
        return json.dumps(plain)

    return changed


def _with(**new: Any) -> Callable[[dict[str, Any]], str]:
    return lambda plain: json.dumps(plain | new)


HOSTILE: dict[str, Callable[[dict[str, Any]], str | bytes]] = {
    "empty": lambda plain: "",
    "no JSON": lambda plain: "#!/bin/sh\ntouch {marker}\n",
    "not UTF-8": lambda plain: b"\xff\xfe\x00{}",
    "a list": lambda plain: "[]",
    "a number": lambda plain: "1e999",
    "not a number": lambda plain: json.dumps(plain | {"deadline_s": float("nan")}),
    "endless": _with(deadline_s=float("inf")),
    "a deep nest": lambda plain: '{"inputs": ' + "[" * 100_000,
    "a key twice": lambda plain: json.dumps(plain)[:-1] + ', "cwd": "/"}',
    "trailing text": lambda plain: json.dumps(plain) + " x",
    "an unknown key": _with(comand=["true"]),
    "another format": _with(format=2),
    "format as text": _with(format="1"),
    "true for a number": _with(step_limit=True),
    "a huge number": _with(step_limit=10**40),
    "no command": _with(command=[]),
    "a missing key": _without("digest"),
    "a command as text": _with(command="touch {marker}"),
    "a NUL in the command": _with(command=["touch", "{marker}\0"]),
    "a relative directory": _with(cwd="."),
    "a NUL in a path": _with(cwd="/tmp\0/x"),
    "a NUL in the environment": _with(environment={"A": "b\0c"}),
    "a variable with =": _with(environment={"A=B": "c"}),
    "a mode that is none": _with(schedule={"format": 1, "mode": "wild"}),
    "a role that is none": _with(clients=[{"name": "a b", "command": ["true"]}]),
    "a signal that is none": _with(stop="KILLALL"),
    "standard input that is not base64": _with(stdin="%%%"),
    "an input with a wrong digest": _with(
        inputs=[
            {"path": "/x", "mode": "0644", "sha256": "0" * 64, "content": "eA==", "program": False}
        ]
    ),
    "a relative input": _with(inputs=[_input("../../etc/passwd", b"")]),
    "an input below a link of ours": _with(inputs=[_input("/x/../etc/passwd", b"")]),
    "a trace of another digest": _with(digest="0" * 64, trace=["main x"]),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_file_that_is_no_recording_is_one_line(
    kind: str, plain: dict[str, Any], tmp_path: Path
) -> None:
    made = HOSTILE[kind](plain)
    bad = tmp_path / "bad.json"
    bad.write_bytes(made if isinstance(made, bytes) else made.encode())
    with pytest.raises(UsageError) as told:
        load(bad)
    assert "bad.json" in str(told.value)
    assert str(told.value).isprintable()


@pytest.mark.parametrize("command", ["replay", "show"])
def test_what_is_no_recording_runs_nothing(
    command: str, plain: dict[str, Any], tmp_path: Path
) -> None:
    plain["command"] = ["sh", "-c", "echo this must not run >&2"]
    for kind in "an unknown key", "a missing key", "trailing text":
        made = HOSTILE[kind](dict(plain))
        assert isinstance(made, str)
        (tmp_path / "bad.json").write_text(made)
        done = harness(command, "bad.json", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, ""), "nothing is announced, let alone run"
        assert one_line(done.stderr).startswith("bad.json")


def test_a_truncated_recording_is_one_line_and_runs_nothing(
    case: Case, effort: Effort, tmp_path: Path
) -> None:
    whole = case.text.rstrip()
    file = tmp_path / "cut.json"
    for size in range(0, len(whole), 7 if effort == "full" else 499):
        file.write_text(whole[:size])
        with pytest.raises(RecordingError, match=r"cut\.json: not JSON at line"):
            load(file)
    done = harness("replay", str(file))
    assert (done.returncode, done.stdout) == (2, "")
    one_line(done.stderr)


def test_an_unknown_key_is_told_the_nearest(plain: dict[str, Any], tmp_path: Path) -> None:
    plain["comand"] = plain.pop("command")
    (tmp_path / "typo.json").write_text(json.dumps(plain))
    with pytest.raises(RecordingError, match=r"typo\.json: .*'comand'.*'command'"):
        load(tmp_path / "typo.json")


@pytest.mark.parametrize("kind", ["a directory", "a FIFO", "a device", "not readable"])
def test_what_is_no_file_is_one_line(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.json"
    if kind == "a directory":
        path.mkdir()
    elif kind == "a FIFO":
        os.mkfifo(path)
    elif kind == "a device":
        path = Path("/dev/zero")
    else:
        if os.geteuid() == 0:
            pytest.skip("root reads everything")
        path.touch(0)
    done = harness("replay", str(path), cwd=tmp_path)
    assert done.returncode == 2
    one_line(done.stderr)


def test_what_is_run_is_said_before_it_runs(plain: dict[str, Any], tmp_path: Path) -> None:
    plain["command"] = ["sh", "-c", "exit 5 # of another"]
    (tmp_path / "r.json").write_text(json.dumps(plain))
    lines = harness("replay", "r.json", cwd=tmp_path).stdout.splitlines()
    assert lines[:2] == ["r.json: sh -c 'exit 5 # of another'", f"    {FAULT}"]
    assert "REPRODUCED" in lines[2]


def test_what_is_announced_cannot_hide_itself(plain: dict[str, Any], tmp_path: Path) -> None:
    """A command that is printed to be read first must not be able to erase itself on a terminal."""
    steering = ["\x1b[2J", "\r", "\n", "\x9b31m", "\u202e", "\x07"]
    plain["command"] = ["true", *(f"{text}hidden" for text in steering)]
    plain["verdict"]["findings"][0]["what"] = "exits\x1b[2J 5"
    (tmp_path / "r.json").write_text(json.dumps(plain))
    for command in "replay", "show":
        out = harness(command, "r.json", cwd=tmp_path).stdout
        assert all(line.isprintable() for line in out.splitlines()), repr(out)
        assert out.splitlines()[0].count("hidden") == len(steering)


@pytest.mark.parametrize("path", ["/dev/null", "/proc/sys/vm/swappiness", "/etc/passwd"])
def test_an_input_reaches_the_view_and_nothing_else(path: str, plain: dict[str, Any]) -> None:
    """A recording from a stranger, replayed by root."""
    plain["command"] = ["cat", path]
    plain["inputs"] = [_input(path, b"1\n")]
    plain["schedule"]["faults"] = []
    plain["expected"] |= {"fired": [], "seen": []}
    before, kind = Path(path).read_bytes(), stat.S_IFMT(os.stat(path).st_mode)
    (replayed,) = replay(Recording.loads(json.dumps(plain)))
    assert replayed.result is not None, replayed.reason
    assert replayed.result.outcome.stdout.head == "1\n"
    assert Path(path).read_bytes() == before
    assert stat.S_IFMT(os.stat(path).st_mode) == kind
