"""`harness explore` from the command line: what it finds, claims, says, keeps, and leaves."""

from __future__ import annotations

import json
import re
import signal
import time
from itertools import combinations
from math import comb
from pathlib import Path
from typing import Any

import pytest

from harness._engine.explore import ExploreResult, explore
from tests.system.support import PYTHON, Completed, harness, one_line, plan, python

STRATEGIES = ("mixed", "random", "pct", "pos", "bounded", "delay")
SUMMARY = re.compile(
    r"(\d+) trials?(?:, (\d+) more to shrink)?, (\d+) distinct interleavings?, (\d+) findings?"
    r"(?:, (\d+) inconclusive)?(?:, complete: (.*))?, [0-9.]+ s"
)
#: Each is a race, with what is wrong in it, and the same with that mended.
RACES = {
    "a lost update": (
        "echo 0 >n; add() { read v <n; echo $((v+1)) >n; }; add & add & wait; read v <n; echo $v",
        "echo 0 >n; add() { read v <n; echo $((v+1)) >n; }; add & wait; add & wait; read v <n;"
        " echo $v",
    ),
    "a lock file that is looked for before it is made": (
        "take() { if [ -e lock ]; then echo taken; else : >lock; echo mine >>log; fi >/dev/null; };"
        " take & take & wait; while read l; do echo $l; done <log",
        "set -C; take() { if : >lock; then echo mine >>log; fi 2>/dev/null; };"
        " take & take & wait; while read l; do echo $l; done <log",
    ),
    "a child that reads before its parent has written": (
        "(read v <f; echo got $v) 2>/dev/null & echo 1 >f; wait",
        "echo 1 >f; (read v <f; echo got $v) 2>/dev/null & wait",
    ),
}
#: The child may end before the handler is there; then nobody is told.
LOST_SIGCHLD = """\
import os, signal
ended = []
def note(number, frame):
    ended.append(number)
{before}
pid = os.fork()
if pid == 0:
    os._exit(0)
os.stat("/")
{after}
os.waitpid(pid, 0)
print(len(ended))
"""
HANDLER = "signal.signal(signal.SIGCHLD, note)"


@pytest.fixture
def trials(effort: str) -> str:
    """How many, where many are better than few."""
    return "300" if effort == "full" else "20"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "race.sh").write_text(RACES["a lost update"][0])
    (tmp_path / "fair.sh").write_text(RACES["a lost update"][1])
    return tmp_path


def explored(folder: Path, *words: str, **more: Any) -> Completed:
    return harness("explore", "-q", *words, cwd=folder, **more)


def numbers(done: Completed) -> tuple[int, int, int, str]:
    """Trials, interleavings, findings, claim: of the summary, which is the last line."""
    found = SUMMARY.fullmatch(done.stdout.splitlines()[-1])
    assert found, done
    return int(found[1]), int(found[3]), int(found[4]), found[6] or ""


# ---- What it finds -------------------------------------------------------------------------------


@pytest.mark.parametrize("what", RACES)
def test_a_race_is_found_and_shrunk_to_one_switch(folder: Path, what: str, trials: str) -> None:
    racy, fair = RACES[what]
    done = explored(folder, "--trials", trials, "--", "sh", "-c", racy)
    assert done.returncode == 1, done
    fail, cause, *_, last, _ = done.stdout.splitlines()
    assert fail.startswith("FAIL main: exits 0 with another "), done.stdout
    assert re.fullmatch(r"  main(/[01])? goes before main(/[01])?: \w+#\d+", cause)
    assert "; shrunk: 0 faults and 1 switch" in done.stdout
    again = harness("replay", *last.split()[3:], cwd=folder)
    assert again.stdout.splitlines()[-1].startswith("REPRODUCED: main: exits 0 with another ")

    done = explored(folder, "--trials", trials, "--", "sh", "-c", fair)
    assert (done.returncode, numbers(done)[2]) == (0, 0), done


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_each_strategy_finds_a_lost_update(folder: Path, strategy: str, trials: str) -> None:
    done = explored(
        folder, "-j1", "--strategy", strategy, "--trials", trials, "--", "sh", "race.sh"
    )
    assert done.returncode == 1, done
    assert "; shrunk: 0 faults and 1 switch" in done.stdout


def test_a_lost_signal_is_found(folder: Path) -> None:
    for before, after, findings in (("", HANDLER, 1), (HANDLER, "", 0)):
        code = LOST_SIGCHLD.format(before=before, after=after)
        done = explored(folder, "--strategy", "bounded", "--bound", "1", "--", *python(code))
        assert (done.returncode, numbers(done)[2]) == (findings, findings), done
        assert numbers(done)[3].startswith("all ")


RACE_IN_C = """
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
/* Each child makes the directory unless it is there: and if it comes after the look? */
static int child(void) {
    struct stat st;
    if (stat("made", &st) == 0) return 0;
    if (CHECKED) { mkdir("made", 0755); return 0; }
    return mkdir("made", 0755) == 0 ? 0 : 7;
}
int main(void) {
    int bad = 0, status;
    for (int i = 0; i < 2; i++) if (fork() == 0) _exit(child());
    while (wait(&status) > 0) bad |= status;
    return bad ? 1 : 0;
}
"""


def test_between_a_look_and_what_is_done_upon_it_another_may_come(
    folder: Path, c_program: Any
) -> None:
    for checked, findings in (("0", 1), ("1", 0)):
        program = c_program(RACE_IN_C, f"-DCHECKED={checked}")
        done = explored(
            folder, "--bind", program, "--strategy", "bounded", "--bound", "1", "--", program
        )
        assert (done.returncode, numbers(done)[2]) == (findings, findings), done


# ---- What it claims ------------------------------------------------------------------------------

TWO_TASKS = """\
import os
child = os.fork() == 0
for _ in range({calls}):
    os.stat("/")
os._exit(0)
"""


def preemptions(order: list[int]) -> int:
    """How often one of two tasks loses its turn with calls left; the first turn is the parent's."""
    count, before = 0, 0
    for step, who in enumerate(order):
        count += who != before and before in order[step:]
        before = who
    return count


def run_explore(calls: int, bound: int) -> ExploreResult:
    subject = plan(*python(TWO_TASKS.format(calls=calls)))
    return explore(subject, strategy="bounded", bound=bound, trials_max=2000, jobs=2, store=None)


def calls_after_the_fork(result: ExploreResult) -> tuple[int, int]:
    events = [one for one in result.golden.trace.counted() if one.role != "-"]
    fork = max(i for i, one in enumerate(events) if "clone" in one.call or "fork" in one.call)
    child = [one for one in events if one.role == "main/0"]
    return len(events) - fork - 1 - len(child), len(child)


@pytest.mark.parametrize("bound", [0, 1, 2, 99])
def test_the_claim_is_what_brute_force_counts(bound: int) -> None:
    result = run_explore(2, bound)
    ours, theirs = calls_after_the_fork(result)
    assert ours >= 3
    assert theirs >= 3
    every = [
        [0 if step in places else 1 for step in range(ours + theirs)]
        for places in combinations(range(ours + theirs), ours)
    ]
    wanted = sum(preemptions(order) <= bound for order in every)
    assert result.trials == result.interleavings == wanted
    assert result.findings == ()
    if bound == 99:
        assert wanted == comb(ours + theirs, ours)
        assert result.claim == f"all {wanted} interleavings"
    else:
        plural = "s" * (bound != 1)
        orders = f"all {wanted} interleavings" if wanted > 1 else "the only interleaving"
        assert result.claim == f"{orders} with at most {bound} preemption{plural}"


def test_a_program_of_one_task_has_one_order(folder: Path) -> None:
    done = explored(folder, "--", "true")
    assert (done.returncode, numbers(done)) == (0, (1, 1, 0, "the only interleaving"))


# ---- Independence --------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["mixed", "bounded"])
def test_what_is_found_does_not_depend_on_the_number_of_runners(
    folder: Path, strategy: str, trials: str
) -> None:
    words = ("--strategy", strategy, "--trials", trials, "--format", "json", "--", "sh", "race.sh")
    one, other = (json.loads(explored(folder, "-j", jobs, *words).stdout) for jobs in ("1", "3"))
    for found in one, other:
        del found["seconds"], found["shrinking_trials"]
    assert one == other
    assert one["findings"][0]["shrunk"]


def test_a_seed_decides_what_is_drawn(folder: Path) -> None:
    def first(seed: str) -> tuple[object, ...]:
        words = ("-j1", "--strategy", "random", "--trials", "5", "--seed", seed, "--format", "json")
        found = json.loads(explored(folder, *words, "--", "sh", "race.sh").stdout)
        return found["grams"], found["interleavings"], found["findings"]

    one = first("1")
    assert first("1") == one
    assert first("2") != one


# ---- Faults --------------------------------------------------------------------------------------


def test_a_given_fault_is_in_each_trial_and_goes_when_it_does_not_matter(folder: Path) -> None:
    words = ("--strategy", "bounded", "--trials", "30", "--fault", "**:close=EINTR")
    done = explored(folder, *words, "--", "sh", "race.sh")
    assert done.returncode == 1, done
    assert "does not matter: **:close=EINTR; " in done.stdout


def test_faults_are_drawn_beside_orders_and_then_nothing_is_claimed(
    folder: Path, trials: str
) -> None:
    words = ("--faults", "space,short", "--trials", trials, "--format", "json")
    done = explored(folder, *words, "--", "sh", "race.sh")
    found = json.loads(done.stdout)
    assert found["complete"] == ""
    assert found["findings"], "a full disk under echo, or the race"


def test_a_given_fault_that_no_trial_meets_is_said(folder: Path) -> None:
    words = ("--fault", "write#99=ENOSPC", "--trials", "5", "--", "sh", "fair.sh")
    done = explored(folder, *words)
    assert done.returncode == 3
    assert "INCONCLUSIVE main:write#99=ENOSPC did not fire in any trial" in done.stdout


# ---- Its end -------------------------------------------------------------------------------------


def test_the_budget_is_kept_though_a_trial_would_last_longer(folder: Path) -> None:
    """In some orders the parent looks for ever."""
    script = (
        "import os\nif os.fork() == 0: os.mkdir('made'); os._exit(0)\n"
        "while os.path.exists('made'): pass\nos.wait()"
    )
    began = time.monotonic()
    done = explored(
        folder, "--budget", "3s", "--deadline", "1h", "--steps", "1000000000", "--", *python(script)
    )
    assert done.returncode in (0, 1, 3), done
    assert time.monotonic() - began < 60, "the deadline would have been an hour"


def test_who_ends_it_early_is_told_what_was_found_until_then(folder: Path) -> None:
    (folder / "checks.py").write_text(
        "import os\n"
        "seen = []\n"
        "def ends_it(outcome, golden):\n"
        "    seen.append(outcome)\n"
        "    if len(seen) == 12:\n"
        f"        os.kill(os.getpid(), {int(signal.SIGTERM)})\n"
        "    return []\n"
    )
    done = explored(folder, "-j1", "--oracle", "checks.py:ends_it", "--", "sh", "race.sh")
    assert done.returncode == 128 + signal.SIGTERM
    assert one_line(done.stderr).startswith("interrupted")
    assert 0 < numbers(done)[0] < 60
    assert "; not shrunk: 0 faults and " in done.stdout
    assert " --oracle checks.py:ends_it " in done.stdout


def test_bad_input_is_one_line(folder: Path) -> None:
    for words, said in {
        ("--budget", "0", "--", "true"): "is not a time",
        ("--trials", "0", "--", "true"): "is not a whole number above 0",
        ("--strategy", "clever", "--", "true"): "invalid choice",
        ("--strategy", "delay", "--faults", "errno", "--", "true"): "draws nothing",
        ("--faults", "clever", "--", "true"): "unknown kind of fault",
        (
            "--faults",
            "processes",
            "--",
            PYTHON,
            "-I",
            "-S",
            "-c",
            "0",
        ): "nothing that processes could",
        ("--", "false"): "without any fault it fails already",
        ("--seed", "-1", "--", "true"): "is not a whole number from 0 on",
    }.items():
        done = explored(folder, *words)
        assert done.returncode == 2, done
        assert said in one_line(done.stderr)
