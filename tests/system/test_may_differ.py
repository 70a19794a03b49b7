"""What may differ from run to run is no finding, and everything else is one: learned of golden runs
under other seeds, or declared."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.system.support import PYTHON, Completed, harness, one_line

#: It prints what it draws, what time it is and who it is, and keeps two files, one by a drawn name.
DRAWS = """\
import os, sys, tempfile, time, uuid
os.access("first", 0)
print("made", uuid.uuid4(), "in", os.getpid(), "at", time.ctime())
fd, path = tempfile.mkstemp(dir=".", prefix="kept-")
try:
    os.write(fd, b"same\\n")
    log = os.open("log", os.O_CREAT | os.O_WRONLY, 0o644)
    os.write(log, f"{path} took {time.monotonic_ns() % 1000000} ns\\n".encode())
except OSError{swallowed}
print("done")
"""
QUIET = DRAWS.replace("{swallowed}", ":\n    pass")
LOUD = DRAWS.replace("{swallowed}", " as error:\n    sys.exit(str(error))")
OWN = ("--calls", "write", "--faults", "space")


def drawing(act: str, *words: str, cwd: Path, program: str = LOUD) -> Completed:
    return harness(act, "-q", *words, "--", PYTHON, "-I", "-S", "-c", program, cwd=cwd)


# ---- Learned -------------------------------------------------------------------------------------


def test_what_is_drawn_is_no_finding_of_a_sweep_and_the_summary_says_it(tmp_path: Path) -> None:
    done = drawing("sweep", "--calls", "access", "--faults", "errno,delay", cwd=tmp_path)
    assert done.returncode == 0, done
    said = done.stdout.splitlines()[-2]
    assert said.startswith("may differ: 3 places: stdout line 1, "), done.stdout
    assert "/log line 1, the name " in said


def test_what_does_not_vary_is_compared_then_and_when_it_is_replayed(tmp_path: Path) -> None:
    done = drawing("sweep", *OWN, cwd=tmp_path, program=QUIET)
    assert done.returncode == 1, done
    found = re.findall(r"^FAIL main: exits 0 with another .*/(log|kept)", done.stdout, re.MULTILINE)
    assert sorted(found) == ["kept", "log"], done.stdout
    shown = harness("show", "latest", cwd=tmp_path).stdout
    assert "differing 3 places: stdout line 1, " in shown
    # Mended, and with another seed: what may differ does, and nothing else.
    (file,) = tmp_path.glob(".harness/latest/recording.json")
    recording = json.loads(file.read_text())
    recording["schedule"] |= {"seed": 5, "faults": []}
    recording["expected"] |= {"fired": [], "seen": []}
    (tmp_path / "mended.json").write_text(json.dumps(recording))
    again = harness("replay", ".harness/latest/recording.json", cwd=tmp_path)
    mended = harness("replay", "mended.json", cwd=tmp_path)
    assert (again.returncode, "REPRODUCED: " in again.stdout) == (1, True), again
    assert (mended.returncode, "FIXED: " in mended.stdout) == (0, True), mended


def test_names_that_are_drawn_are_no_finding_of_an_exploration(tmp_path: Path) -> None:
    script = "f=$(mktemp); echo $f $$; (echo a >$f) & (true) & wait; cat $f; date +%N"
    done = harness("explore", "-q", "--trials", "10", "--", "sh", "-c", script, cwd=tmp_path)
    assert done.returncode == 0, done
    assert "may differ: 3 places: stdout line 1, stdout line 3, the name /tmp/tmp.*" in done.stdout


def test_a_status_that_is_a_matter_of_chance_is_refused(tmp_path: Path) -> None:
    code = "import sys, time; sys.exit(time.gmtime().tm_yday != 1)"
    done = harness("sweep", "--", PYTHON, "-I", "-S", "-c", code, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, ""), done
    told = one_line(done.stderr)
    assert "how it ends depends on what is random, or on the time" in told
    assert "with another seed and clock main exits 1" in told


# ---- Declared ------------------------------------------------------------------------------------

#: A fault makes it try once more, and it counts.
COUNTS = """\
import os
tries = 0
while True:
    tries += 1
    try:
        os.write(1, b"said\\n")
        break
    except OSError:
        pass
os.write(1, f"{tries} tries\\n".encode())
os._exit(0)
"""
COUNTED = ("--calls", "write", "--faults", "ENOSPC", "--", PYTHON, "-I", "-S", "-c", COUNTS)


def test_what_is_declared_is_not_compared(tmp_path: Path) -> None:
    done = harness("sweep", "-q", *COUNTED, cwd=tmp_path)
    assert "FAIL main: exits 0 with another output" in done.stdout
    done = harness("sweep", "-q", "--may-differ", "[0-9]+ tries", *COUNTED, cwd=tmp_path)
    assert "exits 0 with another output" not in done.stdout, done
    assert "may differ: declared: '[0-9]+ tries'" in done.stdout


@pytest.mark.parametrize(
    ("act", "pattern", "told"),
    [
        ("sweep", "absent", "may-differ 'absent' matches nothing that comes out of the run"),
        ("explore", "(", "may-differ '(' is no regular expression"),
    ],
)
def test_a_pattern_that_says_nothing_is_one_line(
    act: str, pattern: str, told: str, tmp_path: Path
) -> None:
    done = harness(act, "-q", "--may-differ", pattern, "--", "echo", "a", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, ""), done
    assert told in one_line(done.stderr)


# ---- Programs that nobody here wrote -------------------------------------------------------------


@pytest.mark.full
@pytest.mark.parametrize(
    "script",
    [
        "openssl rand -base64 18",
        "shuf -i 1-1000000 -n 3",
        "date; date +%s%N; echo $$",
        "cat /proc/sys/kernel/random/uuid",
        "d=$(mktemp -d); echo x >$d/a; ls -l $d; rm $d/a",
        "perl -e 'print join(q( ), keys %{{a=>1,b=>2,c=>3}}), qq( $$\\n)'",
    ],
)
def test_programs_that_draw_are_explored_without_a_false_finding(
    script: str, tmp_path: Path
) -> None:
    if shutil.which(script.split()[0]) is None and script.split()[0].isalpha():
        pytest.skip(f"no {script.split()[0]}; fix: install it")
    late = ("--calls", "exit_group", "--faults", "delay", "--roles", "main**")
    done = harness("sweep", "-q", *late, "--", "sh", "-c", script, cwd=tmp_path)
    assert (done.returncode, "may differ: " in done.stdout) == (0, True), done
