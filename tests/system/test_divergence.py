"""A replay that goes another way than its recording says where, and what has changed since."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
from pathlib import Path
from typing import Any

from harness._engine.store import load
from tests.system.recorded import BROKEN_OTHERWISE, CARELESS, MENDED, Case, changed, said
from tests.system.support import harness, python


def test_one_that_goes_another_way_is_said_to_and_with_exact_it_is_all_that_is_said(
    case: Case,
) -> None:
    case.write(CARELESS.replace("cat data >", "true; cat ./data >"))
    done = case.replay()
    assert (done.returncode, said(done)[0]) == (1, "REPRODUCED: main: exits 5")
    exact = case.replay("--exact")
    assert (exact.returncode, said(exact)[0]) == (
        3,
        "DIVERGED: otherwise REPRODUCED: main: exits 5",
    )
    for one in done, exact:
        assert said(one)[1].startswith("diverges at event "), one
        assert ", main/0; expected (-) and actual (+):" in said(one)[1]
        lines = one.stdout.splitlines()
        before = [line for line in lines[lines.index(said(one)[1]) :] if line.startswith("    ")]
        assert len(before) == 10
        (expected,) = (line for line in lines if line.startswith("  - "))
        (actual,) = (line for line in lines if line.startswith("  + "))
        assert ('"data"' in expected, '"./data"' in actual) == (True, True)


def test_exact_minds_what_comes_out_where_all_calls_are_the_same(case: Case) -> None:
    unsteady = ("sh", "-c", "echo $(cat /proc/uptime) >f; cat f; exit 7")
    harness("run", "-q", "--record", str(case.file), "--", *unsteady, cwd=case.folder)
    done = case.replay()
    assert (done.returncode, said(done)[0]) == (1, "REPRODUCED: main: exits 7")
    exact = case.replay("--exact")
    assert (exact.returncode, said(exact)[0]) == (
        3,
        "DIVERGED: otherwise REPRODUCED: main: exits 7",
    )
    assert said(exact)[1] == "weakened: main/0 opens /proc/uptime, which is not held still"
    assert said(exact)[2].startswith("the same calls, but not the same stdout")
    assert changed(exact) == ["nothing that it knows of"]


#: The processor time of a process with a number (-6: pid 0, which is itself) is real: its last
#: digits are any.
COIN = "import sys, time; sys.exit(time.clock_gettime_ns(-6) // 8 % 2)"
WANDERS = "import os, time; os.access(str(time.clock_gettime_ns(-6)), 0); os._exit(3)"


def test_one_that_fails_now_and_then_is_flaky_and_says_how_often(tmp_path: Path) -> None:
    harness("run", "-q", "--record", "r.json", "--", *python(COIN), cwd=tmp_path)
    done = harness("replay", "--times", "20", "r.json", cwd=tmp_path)
    lines = done.stdout.splitlines()
    counted = [int(n) for n in re.findall(r"^[A-Z]+ (\d+)/20: ", done.stdout, re.MULTILINE)]
    assert (len(counted), sum(counted)) == (2, 20), done
    fails = re.fullmatch(r"FLAKY: fails (\d+)/20", lines[-1])
    assert fails, lines
    assert int(fails[1]) in counted
    assert done.returncode == 1


def test_one_that_goes_another_way_each_time_is_one_answer(tmp_path: Path) -> None:
    harness("run", "-q", "--record", "r.json", "--", *python(WANDERS), cwd=tmp_path)
    done = harness("replay", "--times", "10", "--exact", "r.json", cwd=tmp_path)
    answers = said(done)
    assert answers[0] == "DIVERGED 10/10: otherwise REPRODUCED: main: exits 3", done
    assert sum(answer.startswith("diverges at event ") for answer in answers) == 1
    assert "  and 9 more ways, of 10" in done.stdout.splitlines()
    assert done.returncode == 3


# ---- What has changed since ----------------------------------------------------------------------


def test_a_recording_knows_the_files_on_which_its_trial_stood(case: Case) -> None:
    recording = load(case.file)
    assert recording.fingerprint is not None
    files = dict(recording.fingerprint.files)
    assert files[str(case.program)] == recording.program
    assert {"/bin/sh", "/usr/bin/cat"} <= files.keys()
    names = {os.path.basename(path) for path in files}
    assert {"libc.so.6", "ld-linux-x86-64.so.2"} <= names
    assert files["/bin/sh"] == hashlib.sha256(Path("/bin/sh").read_bytes()).hexdigest()


def test_what_has_changed_explains_a_replay_that_goes_another_way(
    case: Case, plain: dict[str, Any]
) -> None:
    plain["versions"]["kernel"] = "2.6.32"
    plain["fingerprint"] |= {"processors": 1000, "as_root": os.geteuid() != 0}
    plain["fingerprint"]["files"] |= {"/usr/bin/cat": "0" * 64, "/usr/bin/of-then": "1" * 64}
    case.file.write_text(json.dumps(plain))
    case.write(BROKEN_OTHERWISE)
    lines = changed(case.replay())
    assert set(lines) >= {
        f"{case.program} is another file",
        "/usr/bin/cat is another file",
        "/usr/bin/of-then is no more",
        f"Linux 2.6.32 -> {platform.release()}",
        f"processors: 1000 -> {os.cpu_count()}",
    }
    assert lines[-1] in ("run by root then", "not run by root then")


def test_what_has_changed_fails_nothing_by_itself(case: Case, plain: dict[str, Any]) -> None:
    plain["versions"]["kernel"] = "2.6.32"
    plain["fingerprint"]["files"] |= {"/usr/bin/cat": "0" * 64}
    case.file.write_text(json.dumps(plain))
    done = case.replay("--exact")
    assert (done.returncode, said(done)) == (1, ["REPRODUCED: main: exits 5"])
    assert changed(done) == []


def test_a_recording_from_before_there_were_fingerprints_replays(
    case: Case, plain: dict[str, Any]
) -> None:
    del plain["fingerprint"]
    case.file.write_text(json.dumps(plain))
    assert said(case.replay("--exact")) == ["REPRODUCED: main: exits 5"]
    case.write(MENDED)
    assert changed(case.replay()) == [f"{case.program} is another file"]
