"""The plugin in pytest's own ways: how it is loaded, chosen, run in parallel, interrupted."""

from __future__ import annotations

import contextlib
import inspect
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from coverage import Coverage

from tests.kernel.servant import Servant
from tests.plugin.conftest import Inner, replay_lines
from tests.system.support import PATIENCE_S, PROJECT, clean_environment

PASSES, FINDS = "::test_golden_run_is_made_once", "::test_found_by_trial"
SUMMARY = r"harness: (points \d+/\d+, )?\d+ trials?, \d+ findings?, \d+\.\d s"


# Loaded, and silent


def test_loading_it_imports_nothing_else_of_ours() -> None:
    program = (
        "import pytest, sys; before = set(sys.modules); import harness._pytest.plugin; "
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    ours = ("plugin", "sections", "tally")
    expected = ["harness", "harness._pytest", *(f"harness._pytest.{name}" for name in ours)]
    assert done.stdout.split() == expected, done.stderr


def test_pytest_finds_it_by_its_entry_point(inner: Inner) -> None:
    listed = inner.pytest("--fixtures").stdout
    for name in "trial", "sweep", "explore":
        listed.fnmatch_lines([f"{name} -- *"])


def test_it_can_be_left_out(inner: Inner) -> None:
    result = inner.pytest("-p", "no:harness", "::test_plain", PASSES)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["E * fixture 'trial' not found"])


def test_it_says_nothing_where_it_is_not_used(inner: Inner) -> None:
    result = inner.pytest("::test_plain")
    assert "harness: " not in result.stdout.str()


def test_at_the_end_it_says_what_was_done(inner: Inner) -> None:
    inner.pytest(PASSES, "::test_unchecked").stdout.re_match_lines([SUMMARY])


def test_collecting_starts_nothing(inner: Inner) -> None:
    result = inner.pytest("--co", "-q")
    assert result.ret == 0
    assert "harness: " not in result.stdout.str()


# Chosen


@pytest.mark.parametrize(
    ("words", "passed", "failed"),
    [
        (["-k", "test_plain or golden"], 2, 0),
        pytest.param(["-m", "harness", PASSES, "::test_plain"], 1, 0, marks=pytest.mark.full),
        (["-m", "not harness", PASSES, "::test_plain"], 1, 0),
        (["-x", FINDS, PASSES], 0, 1),
        pytest.param(
            ["-W", "error", "--strict-markers", "--strict-config", PASSES],
            *(1, 0),
            marks=pytest.mark.full,
        ),
        (["-W", "error", "-n2", PASSES, FINDS, "::test_sweep_gives_what_it_did"], 2, 1),
        pytest.param(["--import-mode=prepend", PASSES], 1, 0, marks=pytest.mark.full),
        pytest.param(["--import-mode=append", PASSES], 1, 0, marks=pytest.mark.full),
        (["-p", "no:terminal", PASSES], 0, 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_it_keeps_to_the_ways_of_pytest(
    inner: Inner, words: list[str], passed: int, failed: int
) -> None:
    result = inner.pytest(*words)
    if passed + failed:
        counted = result.parseoutcomes()
        assert (counted.get("passed", 0), counted.get("failed", 0)) == (passed, failed)
    assert result.ret == (1 if failed else 0)
    assert result.stderr.str() == ""


def test_workloads_are_found_by_their_files_where_names_are_no_help(inner: Inner) -> None:
    """Under importlib nothing is put into sys.path, and here two modules have one name."""
    for folder, word in ("a", "Ann"), ("b", "Bob"):
        (inner.root / folder).mkdir()
        (inner.root / folder / "test_it.py").write_text(
            "from harness import Subject\n"
            f"def greets(): print({word!r})\n"
            "def test_it(trial):\n"
            f"    assert trial(Subject.process(greets)).outcome.stdout.head == '{word}\\n'\n"
        )
    inner.pytest("--import-mode=importlib", "a", "b").assert_outcomes(passed=2)


def test_it_goes_with_coverage(inner: Inner) -> None:
    pytest.importorskip("pytest_cov", reason="no pytest-cov here; fix: pip install pytest-cov")
    inner.pytest("--cov=greeter", PASSES).assert_outcomes(passed=1)


def test_workers_add_up_what_they_did(inner: Inner) -> None:
    result = inner.pytest("-n2", PASSES, "::test_sweep_gives_what_it_did")
    result.stdout.fnmatch_lines(["harness: points 1/1, 4 trials, 0 findings, *"])


def test_coverage_of_what_its_trials_run(inner: Inner) -> None:
    words = ("-n2", "::test_trial_gives_what_it_was", "::test_plain", "--harness-coverage=cov")
    result = inner.pytest(*words)
    assert result.ret == 0
    combined = Coverage(data_file=str(inner.root / "combined"), config_file=False)
    combined.combine([str(path) for path in (inner.root / "cov").iterdir()], keep=True)
    numbers = combined.get_data().lines(str(inner.root / "greeter.py")) or []
    source = (inner.root / "greeter.py").read_text().splitlines()
    lines = {source[number - 1].strip() for number in numbers}
    assert '_serve(path, lambda name: b"hello " + name)' in lines
    assert 'with open("/trial/visits", "ab", buffering=0) as file:' not in lines


# Told


@pytest.mark.parametrize(
    ("words", "setting", "said"),
    [
        (["--harness-jobs=0"], {}, "harness_jobs: '0' is not a whole number above 0"),
        ([], {"HARNESS_JOBS": "many"}, "harness_jobs: 'many' is not a whole number above 0"),
        (["-o", "harness_jobs=-1"], {}, "harness_jobs: '-1' is not a whole number above 0"),
        (
            ["--harness-coverage=test_cases.py"],
            {},
            "harness_coverage: */test_cases.py: no directory for coverage: File exists",
        ),
        (
            ["--harness-require=usernsx"],
            {},
            "harness_require: unknown ability 'usernsx'; did you mean 'userns'?",
        ),
    ],
)
def test_what_it_is_told_is_checked_before_any_test(
    inner: Inner, words: list[str], setting: dict[str, str], said: str
) -> None:
    result = inner.pytest("::test_plain", *words, **setting)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {said}"])


def test_an_option_goes_before_the_environment_and_that_before_the_configuration(
    inner: Inner,
) -> None:
    (inner.root / "pytest.ini").write_text("[pytest]\nharness_jobs = configured\n")
    assert "'configured'" in inner.pytest("::test_plain").stderr.str()
    told = inner.pytest("::test_plain", HARNESS_JOBS="environment")
    assert "'environment'" in told.stderr.str()
    assert inner.pytest("::test_plain", "--harness-jobs=2", HARNESS_JOBS="environment").ret == 0


@pytest.mark.parametrize("name", ["trial", "sweep", "explore"])
def test_the_reference_has_every_option_of_a_fixture_and_no_other(name: str) -> None:
    from harness._pytest import exploring, fixtures

    module = exploring if name == "explore" else fixtures
    call = getattr(module, name.capitalize()).__call__
    parameters = inspect.signature(call).parameters.values()
    options = {one.name for one in parameters if one.kind is inspect.Parameter.KEYWORD_ONLY}
    page = (PROJECT / "docs/reference/pytest-plugin.md").read_text()
    section = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    first_cells = re.findall(r"^\| (`\w+=.*?) \|", section, re.MULTILINE)
    assert set(re.findall(r"`(\w+)=", " ".join(first_cells))) == options


# On a machine that cannot


def test_the_words_for_abilities_are_those_of_the_doctor() -> None:
    from harness._pytest.abilities import ABILITIES, word_for
    from harness.doctor import check

    assert [word_for(ability) for ability in check()] == [*ABILITIES]


def test_an_ability_that_nobody_knows_is_an_error(inner: Inner) -> None:
    result = inner.pytest("::test_ability")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*unknown ability 'fues'; did you mean 'fuse'?"])


@pytest.fixture
def without_namespaces(inner: Inner) -> Iterator[object]:
    """Run pytest where there can be no other user namespace: really so, for the limit belongs to
    one of them, the test's own."""
    with Servant() as servant, servant.inmate() as inmate:
        inmate.do("open('/proc/sys/user/max_user_namespaces', 'w').write('0')")

        def run(*words: str) -> tuple[int, str]:
            command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rs", *words]
            told = (
                f"[done := subprocess.run({command!r}, cwd={str(inner.root)!r}, stdout=-1, "
                f"stdin=-3, text=True, env={clean_environment()!r}), "
                "(done.returncode, done.stdout)][1]"
            )
            status, text = inmate.ask(told)
            return status, text

        yield run


TESTS = ("test_cases.py::test_requires_trials", f"test_cases.py{PASSES}")


def test_without_the_ability_a_test_is_skipped_with_the_fix(without_namespaces) -> None:  # type: ignore[no-untyped-def]
    status, text = without_namespaces(*TESTS)
    assert status == 0
    assert "2 skipped" in text
    fix = r"this machine lacks user-namespaces \(ENOSPC: .*\); fix: sysctl -w user\.max_user_.*"
    assert re.search(fix, text), text


def test_what_is_required_fails_instead(without_namespaces) -> None:  # type: ignore[no-untyped-def]
    status, text = without_namespaces("--harness-require=userns,fuse", *TESTS)
    assert status == 1
    assert "1 failed, 1 error" in text
    assert "required, but this machine lacks user-namespaces" in text


# Interrupted


def _tree(pid: int) -> list[int]:
    """*pid* and all that descend from it."""
    found = [pid]
    for each in found:
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{each}/task"):
                text = Path(f"/proc/{each}/task/{thread}/children").read_text()
                found += map(int, text.split())
    return found


def _is_in_a_trial(pid: int) -> bool:
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text()
        return len(re.findall(r"^NSpid:(.*)$", status, re.MULTILINE)[0].split()) > 1
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("words", [[], ["-n2"]], ids=["alone", "workers"])
def test_however_pytest_ends_nothing_is_left(
    inner: Inner, number: signal.Signals, words: list[str]
) -> None:
    case = "test_cases.py::test_spins_for_a_minute"
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words, case],
        cwd=inner.root,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + PATIENCE_S
    while not any(map(_is_in_a_trial, tree := _tree(process.pid))):
        assert time.monotonic() < end, "no trial begins"
        assert process.poll() is None
    with contextlib.ExitStack() as stack:
        ends = []
        for pid in tree:
            with contextlib.suppress(ProcessLookupError):
                ends.append(os.pidfd_open(pid))
                stack.callback(os.close, ends[-1])
        process.send_signal(number)
        for pidfd in ends:
            assert select.select([pidfd], [], [], max(0.0, end - time.monotonic()))[0]
    process.wait()
    assert not (inner.root / ".harness").exists()


def test_what_a_sweep_had_found_is_said_when_it_is_interrupted(inner: Inner) -> None:
    """The second trial that fails is when Ctrl-C comes."""
    (inner.root / "conftest.py").write_text(
        "import pytest\n"
        "from harness._engine.sweep_tally import Tally\n"
        "@pytest.fixture(autouse=True)\n"
        "def impatient(monkeypatch):\n"
        "    seen, take = [], Tally.take\n"
        "    def taking(*words):\n"
        "        told = take(*words)\n"
        "        seen.append(words)\n"
        "        if len(seen) == 3:\n"
        "            raise KeyboardInterrupt\n"
        "        return told\n"
        "    monkeypatch.setattr(Tally, 'take', taking)\n"
    )
    result = inner.pytest("::test_found_by_sweep")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["interrupted: test_cases.py::test_found_by_sweep", "FAIL *"])
    assert replay_lines(result)
