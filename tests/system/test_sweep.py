"""`harness sweep` from the command line: what it finds, says, keeps, and leaves."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from harness._engine.sweep import sweep as run_sweep
from harness._engine.sweep_result import Progress
from harness.verdict import Outcome
from tests.system.subjects import STUBBORN
from tests.system.support import (
    PYTHON,
    Completed,
    clean_environment,
    harness,
    needs,
    one_line,
    plan,
    processes_with,
    python,
)

SUMMARY = re.compile(
    r"points (\d+)/(\d+), (\d+) trials?, (\d+) fired, (\d+) did not fire, (\d+) findings?"
    r"(?:, (\d+) inconclusive)?, [0-9.]+ s"
)
#: It takes the first read for the whole of its input, and does not look whether a write succeeds.
CARELESS = """\
import os
try:
    data = os.read(os.open("data", os.O_RDONLY), 4096)
    os.write(os.open("copy", os.O_WRONLY | os.O_CREAT, 0o644), data)
except OSError:
    pass
os._exit(0)
"""
CAREFUL = """\
import os
source = os.open("data", os.O_RDONLY)
target = os.open("copy", os.O_WRONLY | os.O_CREAT, 0o644)
while data := os.read(source, 4096):
    while data:
        data = data[os.write(target, data):]
os._exit(0)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory with both programs in it, and their input."""
    (tmp_path / "careless.py").write_text(CARELESS)
    (tmp_path / "careful.py").write_text(CAREFUL)
    (tmp_path / "data").write_text("hello\n")
    return tmp_path


#: Each byte is a turn of a loop.
BYTEWISE = """\
import os
source = os.open("data", os.O_RDONLY)
target = os.open("copy", os.O_WRONLY | os.O_CREAT, 0o644)
while data := os.read(source, 1):
    try:
        os.write(target, data)
    except OSError:
        os._exit(3 if data < b"%s" else 0)
os._exit(0)
"""
OWN = ("--calls", "io", "--faults", "short,errno")


def sweep(folder: Path, program: str, *options: str, **more: Any) -> Completed:
    return harness(
        "sweep", "-q", *options, "--", PYTHON, "-I", "-S", "-B", program, cwd=folder, **more
    )


def counts(done: Completed) -> list[int]:
    """The numbers of the summary, which is the last line."""
    found = SUMMARY.fullmatch(done.stdout.splitlines()[-1])
    assert found, done
    return [int(number or 0) for number in found.groups()]


# ---- What it finds -------------------------------------------------------------------------------


def test_a_program_that_looks_at_every_answer_passes(folder: Path) -> None:
    done = sweep(folder, "careful.py", *OWN)
    assert (done.returncode, done.stderr) == (0, ""), done
    covered, there, trials, fired, not_fired, findings, _ = counts(done)
    assert covered == there > 3
    assert trials == fired + not_fired > there
    assert findings == 0
    assert not (folder / ".harness").exists()


def test_what_is_found_is_a_block_that_ends_in_the_line_that_repeats_it(folder: Path) -> None:
    done = sweep(folder, "careless.py", *OWN)
    assert done.returncode == 1
    *block, _ = done.stdout.splitlines()
    assert block[0] == f"FAIL main: exits 0 with another {folder}/copy"
    assert re.fullmatch(r"  main: (read|write)#\d+ (fails with|moves at most) .*", block[1])
    assert block[2].startswith("  expected ")
    assert re.match(r"  and in \d+ more: ", block[3])
    assert len(block) == 5
    ident = block[-1].removeprefix("  repeat: harness replay ")

    again = harness("replay", ident, cwd=folder)
    assert again.returncode == 1
    assert again.stdout.splitlines()[-1].startswith("REPRODUCED: main: exits 0 with another")

    shutil.copy(folder / "careful.py", folder / "careless.py")
    mended = harness("replay", cwd=folder)
    assert mended.returncode == 0
    assert "\nFIXED: main: exits 0 with another" in mended.stdout


def test_what_is_found_does_not_depend_on_the_number_of_runners(folder: Path) -> None:
    one, three = (sweep(folder, "careless.py", *OWN, "-j", jobs) for jobs in ("1", "3"))
    assert one.stdout.splitlines()[:-1] == three.stdout.splitlines()[:-1]
    assert counts(one) == counts(three)


def test_a_call_that_only_its_caller_sees_is_swept_when_it_is_named(folder: Path) -> None:
    twice = (PYTHON, "-I", "-S", "-c", "import os; os.getpid(); os.getpid()")
    done = harness(
        "sweep", "-q", "--calls", "getpid", "--faults", "crash", "--", *twice, cwd=folder
    )
    assert (done.returncode, counts(done)[:3]) == (0, [2, 2, 2]), done


def test_a_trial_is_against_the_golden_run_and_not_against_success(folder: Path) -> None:
    """A child's failure that its parent does not report."""
    needs("bash")  # dash says on standard error that somebody was killed
    script = "cat data | tr a-z A-Z"
    done = harness("sweep", "--roles", "main/0", "--faults", "crash", "--calls", "write",
                   "--", "bash", "-c", script, cwd=folder)  # fmt: skip
    assert done.returncode == 1, done
    assert "expected 'HELLO\\n', got ''" in done.stdout


def test_an_oracle_of_the_users_own_judges_and_is_named_in_the_line(folder: Path) -> None:
    (folder / "checks.py").write_text(
        "def is_whole(outcome, golden):\n"
        "    sizes = [file.size for file in outcome.files]\n"
        "    return [] if sizes == [6] else ['the copy is not whole']\n"
    )
    options = ("--calls", "write", "--faults", "device", "--oracle", "checks.py:is_whole")
    done = sweep(folder, "careful.py", *options)
    assert done.returncode == 1, done
    assert done.stdout.startswith("FAIL the copy is not whole\n")
    last = done.stdout.splitlines()[-2]
    assert "harness replay --oracle checks.py:is_whole " in last
    again = harness(*last.partition("repeat: harness ")[2].split(), cwd=folder)
    assert again.stdout.splitlines()[-1].startswith("REPRODUCED: the copy is not whole")


def test_an_oracle_that_raises_says_nothing(folder: Path) -> None:
    (folder / "checks.py").write_text(
        "def breaks(outcome, golden):\n    return [] if golden is None else 1 / 0\n"
    )
    done = sweep(folder, "careful.py", "--calls", "write", "--oracle", "checks:breaks")
    assert done.returncode == 2
    assert "ZeroDivisionError" in one_line(done.stderr)


# ---- The numbers ---------------------------------------------------------------------------------


@pytest.mark.full
def test_the_numbers_of_an_exhaustive_sweep_add_up(folder: Path) -> None:
    done = sweep(folder, "careless.py", "--calls", "fs", "--format", "json")
    told = json.loads(done.stdout)
    assert done.returncode == 1
    assert [kind["kind"] for kind in told["kinds"]] == ["errno", "short", "crash", "crash-after"]
    for kind in told["kinds"]:
        assert kind["calls"] == told["calls"]
        assert kind["calls"] == kind["tried"] + kind["not_applicable"] + kind["left_out"]
        assert kind["left_out"] == 0
        assert kind["trials"] == kind["tried"] or kind["kind"] == "errno"
    assert sum(kind["trials"] for kind in told["kinds"]) == told["trials"]
    assert told["trials"] == told["fired"] + told["did_not_fire"]
    assert told["points"]["covered"] == told["points"]["all"] <= told["calls"]
    assert told["complete"] is True
    (found,) = told["findings"]
    assert (folder / ".harness" / found["recording"] / "recording.json").is_file()
    # The faults that show it: those of the program's own read and write, and no other.
    calls = {re.sub(r"#.*|=.*", "", fault) for fault in [found["fault"], *found["others"]]}
    assert calls <= {"main:read", "main:write", "main:openat"}


def test_a_budget_leaves_out_and_says_so() -> None:
    """A second has passed each time that a trial has ended."""
    ended = list[Progress]()
    result = run_sweep(
        plan("/bin/true"),
        budget_s=7.0,
        clock=lambda: float(len(ended)),
        on_progress=ended.append,
        store=None,
    )
    assert 7 <= result.trials < 12, "what runs then is given up"
    assert not result.complete
    assert sum(kind.trials for kind in result.kinds) == result.trials
    assert all(kind.left_out for kind in result.kinds if kind.kind.startswith("crash"))


@pytest.mark.parametrize("command", ["sweep", "explore"])
def test_a_budget_is_for_the_runs_without_a_fault_too(folder: Path, command: str) -> None:
    done = harness(command, "-q", "--budget", "1ms", "--", "true", cwd=folder)
    assert (done.returncode, done.stdout) == (2, ""), done
    assert one_line(done.stderr).startswith("the budget was over before the program had run")


def test_what_lasts_is_tried_too_and_finds_who_tries_only_once_more(folder: Path) -> None:
    (folder / "stubborn.py").write_text(STUBBORN)
    options = ("--calls", "write", "--faults", "space,crash")
    once = sweep(folder, "stubborn.py", *options)
    assert (once.returncode, counts(once)[:3]) == (0, [1, 1, 3]), once
    longer = sweep(folder, "stubborn.py", *options, "--lasting")
    assert (longer.returncode, counts(longer)[:3]) == (1, [1, 1, 5]), longer
    assert "  main: every write fails with ENOSPC" in longer.stdout
    ident = longer.stdout.splitlines()[-2].removeprefix("  repeat: harness replay ")
    assert harness("replay", ident, cwd=folder).returncode == 1


def test_a_second_fault_is_at_what_is_done_only_after_the_first(folder: Path) -> None:
    (folder / "stubborn.py").write_text(STUBBORN)
    options = ("--calls", "write", "--faults", "space,crash", "--pairs", "--format", "json")
    done = sweep(folder, "stubborn.py", *options)
    told = json.loads(done.stdout)
    assert (done.returncode, told["complete"]) == (1, True), done
    assert told["points"] == told["new_points"] == {"covered": 1, "all": 1}
    assert (told["trials"], told["calls"]) == (6, 2)
    assert sum(kind["trials"] for kind in told["kinds"]) == 6
    (found,) = told["findings"]
    assert (found["after"], found["fault"]) == ("main:write=ENOSPC", "main:write#2=ENOSPC")
    again = harness("replay", found["recording"], cwd=folder)
    assert again.stdout.splitlines()[-1].startswith("REPRODUCED")


def test_a_pair_that_is_not_recorded_ends_in_a_line_with_both_faults(folder: Path) -> None:
    (folder / "stubborn.py").write_text(STUBBORN)
    (folder / ".harness").write_text("not a directory")
    done = sweep(folder, "stubborn.py", "--calls", "write", "--faults", "ENOSPC", "--pairs")
    words = shlex.split(done.stdout.splitlines()[-2].partition("repeat: harness ")[2])
    assert [words[2], words[4]] == ["main:write=ENOSPC", "main:write#2=ENOSPC"]
    again = harness(*words, cwd=folder)
    assert (again.returncode, again.stdout) == (0, "")


@pytest.mark.parametrize(("bad", "findings"), [("z", 0), ("m", 1)])
def test_of_a_loop_only_so_much_is_tried_as_tells_something(
    folder: Path, bad: str, findings: int
) -> None:
    """Without a bug each turn is as the others; with one, those from some turn on are not, and the
    first of these is found."""
    (folder / "data").write_text("abcdefghijklmnopqrst")
    (folder / "bytewise.py").write_text(BYTEWISE % bad)
    options = ("--calls", "write", "--faults", "ENOSPC", "--format", "json")
    pruned, every = (
        json.loads(sweep(folder, "bytewise.py", *options, *more).stdout)
        for more in (["--prune"], [])
    )
    assert (every["trials"], every["pruned"], len(every["findings"])) == (20, 0, findings)
    assert pruned["trials"] + pruned["pruned"] == 20
    assert pruned["pruned"] > 10
    assert pruned["complete"] is True
    assert pruned["points"]["covered"] == pruned["trials"]
    for kind in pruned["kinds"]:
        assert kind["calls"] == kind["tried"] + kind["pruned"]
    assert [(found["what"], found["fault"]) for found in pruned["findings"]] == [
        (found["what"], found["fault"]) for found in every["findings"]
    ]


def test_the_first_finding_ends_it_if_so_asked(folder: Path) -> None:
    """The first in the order in which they are run, however many runners there are."""
    one, three = (
        sweep(folder, "careless.py", *OWN, "-x", "--format", "json", "-j", jobs)
        for jobs in ("1", "3")
    )
    told, again = json.loads(one.stdout), json.loads(three.stdout)
    assert (one.returncode, told["complete"]) == (1, False), one
    assert [found["others"] for found in told["findings"]] == [[]]
    assert (told["findings"], told["trials"]) == (again["findings"], again["trials"])


def test_a_budget_gives_up_the_trial_that_runs() -> None:
    """Else it would end only with the deadline, which is in two hours. Some seconds are left when
    the run without a fault has been judged for the second time, for its variants come then."""
    judged = list[float]()

    def clock() -> float:
        return 7.0 + time.monotonic() - judged[0] if judged else 0.0

    def judge(outcome: Outcome, golden: Outcome | None) -> list[str]:
        if golden is not None:
            judged.append(time.monotonic())
        return []

    code = "import os\ntry:\n    os.write(1, b'x')\nexcept OSError:\n    while True: pass\n"
    result = run_sweep(
        plan(*python(code), deadline_s=7200.0, step_limit=999999999),
        kinds=("ENOSPC",),
        calls="write",
        budget_s=10.0,
        clock=clock,
        oracles=(judge,),
        store=None,
    )
    assert (result.trials, result.findings, result.inconclusive) == (0, (), ())
    assert [kind.left_out for kind in result.kinds] == [1]


# ---- What cannot be swept ------------------------------------------------------------------------


_SPINS = ("sh", "-c", "while :; do :; done")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--calls", "kill", "--", "true"], "no fault point"),
        (["--faults", "short", "--calls", "execve", "--", "true"], "no fault point"),
        (["--faults", "short", "--calls", "openat", "--", "true"], "nothing that short could do"),
        (["--roles", "nobody", "--", "true"], "there were main"),
        (["--", "false"], "without any fault it fails already"),
        (["--deadline", "200ms", "--", *_SPINS], "does not end before the deadline"),
        (["--", "/nonexistent/program"], "no such program"),
        (["--"], "no command"),
        (["--faults", "ernno", "--", "true"], "did you mean 'errno'"),
        (["--faults", "", "--", "true"], "unknown kind of fault"),
        (["--calls", "opennat", "--", "true"], "did you mean 'openat'"),
        (["--jobs", "0", "--", "true"], "above 0"),
        (["--oracle", "nothing", "--", "true"], "MODULE:FUNCTION"),
        (["--oracle", "no.such.module:f", "--", "true"], "cannot be imported"),
        (["--oracle", "json:nothing", "--", "true"], "has no function 'nothing'"),
    ],
)  # fmt: skip
def test_what_cannot_be_swept_is_one_line(words: list[str], told: str, tmp_path: Path) -> None:
    done = harness("sweep", "-q", *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, ""), done
    assert told in one_line(done.stderr)
    assert os.listdir(tmp_path) == []


# The processor time of a process with a number is real (-6: pid 0, which is itself), and so never
# the same.


def test_a_program_that_goes_another_way_each_time_is_told_where(tmp_path: Path) -> None:
    some = "1 + time.clock_gettime_ns(-6) % 65536"
    code = f"import os, time\nfor _ in range({some}): os.access('x', 0)"
    done = harness("sweep", "--", PYTHON, "-I", "-S", "-c", code, cwd=tmp_path)
    assert done.returncode == 2
    assert re.search(r"are not the same: event \d+ is main ", one_line(done.stderr))


def test_a_program_that_prints_something_else_each_time_is_told_what(tmp_path: Path) -> None:
    code = "import time; print(time.clock_gettime_ns(-6))"
    done = harness("sweep", "--", PYTHON, "-I", "-S", "-c", code, cwd=tmp_path)
    assert done.returncode == 2
    assert "do not give the same: main: exits 0 with another output" in one_line(done.stderr)


def test_a_random_name_of_a_temporary_file_moves_no_fault_point(folder: Path) -> None:
    done = harness("sweep", "--faults", "space", "--", "sed", "-i", "s/h/j/", "data", cwd=folder)
    assert done.returncode == 0, done


# ---- Where it is kept ----------------------------------------------------------------------------


def test_what_cannot_be_kept_is_said_once_and_still_printed(folder: Path) -> None:
    (folder / ".harness").write_text("not a directory")
    done = sweep(folder, "careless.py", *OWN)
    assert done.returncode == 1
    assert "1 of 1 findings are not recorded: .harness: " in one_line(done.stderr)
    assert "FAIL main: exits 0 with another" in done.stdout
    last = done.stdout.splitlines()[-2]
    assert re.match(r"  repeat: harness run --fault '?main:(read|write)", last)


def test_a_full_disk_is_said_once_and_what_was_found_still_printed(folder: Path) -> None:
    """In a mount namespace of its own, on a disk that has no room for a recording."""
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("unshare -rm does not work here; fix: see `harness doctor`")
    (folder / ".harness").mkdir()
    script = (
        "mount -t tmpfs -o size=4k none .harness && "
        f'exec "{sys.executable}" -m harness sweep -q {" ".join(OWN)} -- '
        f'"{PYTHON}" -I -S -B careless.py'
    )
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )
    assert done.returncode == 1, done
    assert "No space left on device" in one_line(done.stderr)
    assert "FAIL main: exits 0 with another" in done.stdout
    assert SUMMARY.fullmatch(done.stdout.splitlines()[-1])


def test_two_sweeps_of_one_directory_do_not_hurt_each_other(folder: Path) -> None:
    words = [sys.executable, "-m", "harness", "sweep", *OWN, "--", PYTHON, "-I", "-S", "-B"]
    both = [
        subprocess.Popen(
            [*words, "careless.py"],
            cwd=folder,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [one.communicate(timeout=60)[0].splitlines()[:-1] for one in both]
    assert [one.returncode for one in both] == [1, 1]
    assert said[0] == said[1]
    done = harness("replay", cwd=folder)
    assert done.stdout.count("REPRODUCED") == 1
    assert sorted(os.listdir(folder / ".harness")) == sorted(
        [os.readlink(folder / ".harness" / "latest"), "latest"]
    )


# ---- Its end -------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_who_ends_it_early_is_told_what_was_found_until_then(
    folder: Path, number: signal.Signals
) -> None:
    """The program hangs once it is held, so the sweep is in the middle of a trial for sure."""
    (folder / "checks.py").write_text(
        "import os, signal\n"
        "def ends_the_sweep(outcome, golden):\n"
        "    if golden and any(outcome.fired):\n"
        f"        os.kill(os.getpid(), {int(number)})\n"
        "        return ['found before the end']\n"
        "    return []\n"
    )
    token = {"HARNESS_TEST_TOKEN": f"sweep-{number.name}-{os.getpid()}"}
    done = subprocess.run(
        [sys.executable, "-m", "harness", "sweep", "-q", "-j1", *OWN,
         "--oracle", "checks.py:ends_the_sweep", "--", PYTHON, "-I", "-S", "-B", "careful.py"],
        cwd=folder,
        env=clean_environment() | token,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )  # fmt: skip
    assert done.returncode == 128 + number, done
    assert one_line(done.stderr).startswith("interrupted")
    covered, there, *_ = counts(Completed([], 0, done.stdout, ""))
    assert covered < there
    assert processes_with(token["HARNESS_TEST_TOKEN"]) == []


def test_progress_on_a_terminal_is_one_line_that_is_wiped_away(folder: Path) -> None:
    pexpect = pytest.importorskip("pexpect")
    child = pexpect.spawn(
        sys.executable,
        ["-m", "harness", "sweep", "--calls", "fs", "--", "cat", "data"],
        cwd=str(folder),
        env=clean_environment(),
        timeout=60,
        encoding="utf-8",
        dimensions=(24, 200),
    )
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    text = child.before
    assert re.search(r"\r\d+/\d+ trials, \d+/s, points \d+/\d+, 0 findings, \d+ s left", text)
    assert re.search(r"\r\x1b\[Kpoints \d+/\d+, .*\r\n$", text), repr(text[-200:])


def test_who_ends_it_in_the_middle_of_a_trial_does_not_wait_for_that(folder: Path) -> None:
    """The trial works for ever; when it has begun, the second golden run has been judged."""
    (folder / "sleeps.py").write_text(
        "import os, time\ntry:\n    os.write(1, b'x')\nexcept OSError:\n    while True: pass\n"
    )
    (folder / "checks.py").write_text(
        "def tells(outcome, golden):\n"
        "    if golden:\n"
        "        print('the golden run is judged', flush=True)\n"
        "    return []\n"
    )
    token = {"HARNESS_TEST_TOKEN": f"sweep-in-the-middle-{os.getpid()}"}
    with subprocess.Popen(
        [sys.executable, "-m", "harness", "sweep", "-q", "--deadline", "2h", "--calls", "write",
         "--faults", "device", "--oracle", "checks.py:tells", "--",
         PYTHON, "-I", "-S", "-B", "sleeps.py"],
        cwd=folder,
        env=clean_environment() | token,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as sweeping:  # fmt: skip
        assert sweeping.stdout is not None
        assert sweeping.stdout.readline() == "the golden run is judged\n"
        sweeping.send_signal(signal.SIGINT)
        _, errors = sweeping.communicate(timeout=60)
    assert sweeping.returncode == 130
    assert one_line(errors).startswith("interrupted")
    assert processes_with(token["HARNESS_TEST_TOKEN"]) == []
