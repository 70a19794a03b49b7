"""The fixtures `trial`, `sweep` and `explore`: what they give, what they find, what they refuse."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree

import pytest

from tests.plugin.conftest import Inner, replay_lines

# What passes


@pytest.mark.parametrize(
    "name",
    [
        "trial_gives_what_it_was",
        "trial_takes_faults_as_words_and_as_values",
        "trial_draws_from_a_seed",
        "trial_draws_what_is_random_from_a_seed",
        "what_varies_by_itself_is_not_compared",
        "what_is_declared_is_not_compared",
        "sweep_gives_what_it_did",
        "sweep_lets_faults_last_and_come_in_pairs",
        "explore_gives_what_it_did",
        "unchecked",
        "golden_run_is_made_once",
        "forks_first",
    ],
)
def test_a_test_that_finds_nothing_passes(inner: Inner, name: str) -> None:
    inner.pytest(f"::test_{name}").assert_outcomes(passed=1)


# What is found


def test_a_finding_of_a_trial_is_a_report_that_ends_in_its_replay(inner: Inner) -> None:
    result = inner.pytest("::test_found_by_trial")
    result.assert_outcomes(failed=1)
    result.stdout.re_match_lines(
        [
            "FAIL service: exits 1 while it should serve",
            "  service: openat#1 fails with ENOSPC: the disk is full.*",
            "  Traceback .* No space left on device: '/trial/visits'.*",
            "  repeat: harness replay [0-9a-f]{8}",
        ],
        consecutive=True,
    )
    (ident,) = replay_lines(result)
    again = inner.harness("replay", ident)
    assert again.ret == 1
    again.stdout.fnmatch_lines(["REPRODUCED: service: exits 1 while it should serve"])


def test_each_finding_of_a_sweep_is_at_most_ten_lines_and_can_be_replayed(inner: Inner) -> None:
    result = inner.pytest("::test_found_by_sweep")
    result.assert_outcomes(failed=1)
    report = result.stdout.str().partition("\nFAIL ")[2].partition("\npoints ")[0]
    blocks = report.split("\nFAIL ")
    assert len(blocks) == len(replay_lines(result)) >= 2
    for block in blocks:
        lines = block.splitlines()
        assert len(lines) <= 10
        assert lines[-1].startswith("  repeat: harness replay ")
    again = inner.harness("replay")
    assert again.ret == 1
    assert again.stdout.str().count("REPRODUCED: ") == len(blocks)


def test_a_finding_of_an_exploration_is_shrunk_and_can_be_replayed(inner: Inner) -> None:
    result = inner.pytest("::test_found_by_explore", "--harness-jobs=1")
    result.assert_outcomes(failed=1)
    result.stdout.re_match_lines(
        [
            "FAIL main: exits 1",
            r"  main/1 goes before main/0: \w+#\d+",
            "  the golden run exits 0",
            "  in .* trials, first in trial .*; shrunk: 0 faults and 1 switch.*",
            "  repeat: harness replay [0-9a-f]{8}",
            r"30 trials, \d+ more to shrink, \d+ distinct interleavings, 1 finding, .* s",
        ],
        consecutive=True,
    )
    (ident,) = replay_lines(result)
    inner.harness("replay", ident).stdout.fnmatch_lines(["REPRODUCED: main: exits 1"])


def test_an_exploration_says_which_fault_never_fired(inner: Inner) -> None:
    result = inner.pytest("::test_explored_with_a_fault_that_does_not_fire")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["INCONCLUSIVE main:write#99=EIO did not fire in any trial"])


def test_a_finding_is_fixed_when_the_bug_is_out(inner: Inner) -> None:
    (ident,) = replay_lines(inner.pytest("::test_found_by_trial"))
    program = inner.root / "greeter.py"
    text = program.read_text()
    assert "except FileExistsError" in text
    program.write_text(text.replace("except FileExistsError", "except OSError"))
    again = inner.harness("replay", ident)
    assert again.ret == 0
    again.stdout.fnmatch_lines(["FIXED: service: exits 1 while it should serve: not any more"])


def test_what_an_oracle_of_the_tests_finds_is_replayed_with_it(inner: Inner) -> None:
    result = inner.pytest("::test_found_by_an_oracle")
    (words,) = replay_lines(result)
    assert words.startswith("--oracle test_cases.py:dislikes_faults ")
    again = inner.harness("replay", *words.split())
    again.stdout.fnmatch_lines(["REPRODUCED: a fault was met"])


def test_a_replay_says_of_an_assert_what_the_trial_said(inner: Inner) -> None:
    result = inner.pytest("::test_found_by_an_assert")
    result.stdout.fnmatch_lines(["* AssertionError: assert b'h' == b'hello Ann'*"])
    (ident,) = replay_lines(result)
    *_, last = inner.harness("replay", ident).outlines
    assert last.startswith("REPRODUCED: client/0: exits 1")  # and no difference is told


def test_started_elsewhere_the_line_names_the_recording_by_its_path(inner: Inner) -> None:
    (inner.root / "pytest.ini").write_text("[pytest]\n")
    (inner.root / "below").mkdir()
    (words,) = replay_lines(inner.pytest("../test_cases.py::test_found_by_trial", cwd="below"))
    assert words.startswith("../.harness/")
    assert inner.harness("replay", words, cwd="below").ret == 1


@pytest.mark.full
def test_results_do_not_depend_on_how_many_trials_run_at_once(inner: Inner) -> None:
    reports = [
        re.findall(
            "^(?:FAIL|  ).*", inner.pytest("::test_found_by_sweep", *words).stdout.str(), re.M
        )
        for words in (["--harness-jobs=1"], ["--harness-jobs=3"], ["-n2", "::test_plain"])
    ]
    assert reports[0]
    assert reports[0] == reports[1] == reports[2]


def test_what_is_found_is_in_the_junit_report_and_in_a_section(inner: Inner) -> None:
    result = inner.pytest("::test_found_by_sweep", "--junit-xml=junit.xml")
    names = replay_lines(result)
    case = ElementTree.parse(inner.root / "junit.xml").find(".//testcase")
    assert case is not None
    said = [(one.get("name"), one.get("value")) for one in case.iterfind(".//property")]
    assert [value for name, value in said if name == "harness-replay"] == [
        f"harness replay {name}" for name in names
    ]
    assert "harness-points" in dict(said)
    result.stdout.re_match_lines([f"-* Captured harness show {names[0]} call -*", "! .*: short 1"])


def test_the_store_is_at_the_root_and_holds_what_was_found(inner: Inner) -> None:
    (ident,) = replay_lines(inner.pytest("::test_found_by_trial"))
    recording = json.loads((inner.root / ".harness" / ident / "recording.json").read_text())
    assert recording["function"]["qualname"] == "forgets"


# What cannot be


REFUSED = {
    "never_ready": "does not end before the deadline *it is not ready until it listens on {dir}/s*",
    "dies": "service: exits 1 * (Traceback * no such setting*); it was not ready yet",
    "dies_silently": "service: exits 3 *; it was not ready yet; it says nothing on standard error",
    "background": "service: exits 0 *; its children may go on, but a service *in the foreground*",
    "never_ends": "without any fault it fails already: FAIL: main: does not end before the *",
    "asserts": "without any fault it fails already: *assert b'hello Ann' == b'hello Bob'*",
    "coin": "two runs without any fault are not the same: event * in one, * in the other; "
    "weakened: main reads how much processor time was used (clock_gettime)",
    "no_point": "no fault point: main** makes no call rmdir; there were main",
    "closure": "test_cases.py:*inner is a closure, *: move it to the top of the module *",
    "lambda": "test_cases.py:*<lambda> is a lambda, *: make it a function at the top *",
    "oracle_raises": "*INCONCLUSIVE: the oracle is_ill raised KeyError: 'no such key' *",
    "oracle_is_a_closure": "test_cases.py:*is a lambda, *",
    "thread": "importing starts_a_thread starts a thread, *",
    "no_function": "greeter.py has no function serves",
    "no_program": "no-such-program: not found in PATH=*",
    "no_subject": "sweep(<function ask *>): the first argument is the Subject, *",
    "kind": "unknown kind of fault 'erno'; did you mean 'errno'?",
    "fault": "fault 'writ=ENOSPC': unknown call 'writ'; did you mean 'write'?",
    "pattern": "may-differ 'absent' matches nothing that comes out of the run without a fault: *",
    "unfired": "service:sendto#7=ECONNRESET did not fire (service made 2 sendto calls)",
}


@pytest.fixture(scope="module")
def refusals(able: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What pytest says of each of them, all from one run."""
    result = Inner(tmp_path_factory.mktemp("refused")).pytest(
        *(f"::test_{name}" for name in REFUSED)
    )
    result.assert_outcomes(failed=len(REFUSED))
    _, *parts = re.split("^_+ test_([a-z_]+) _+$", result.stdout.str(), flags=re.MULTILINE)
    return {name: text.splitlines() for name, text in zip(parts[::2], parts[1::2], strict=True)}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_said_at_the_line_of_the_test(
    refusals: dict[str, list[str]], name: str
) -> None:
    said = pytest.LineMatcher(refusals[name])
    said.fnmatch_lines([f"E * Failed: *{REFUSED[name].replace('[', '[[]')}*"])
    said.re_match_lines([r">  .*(trial|sweep)\("])
    for frame in "harness/_pytest", "harness/_engine", "contextlib":
        said.no_fnmatch_line(f"*{frame}*")


def test_an_oracle_that_raises_in_a_sweep_is_no_success(inner: Inner) -> None:
    result = inner.pytest("::test_oracle_raises_in_a_sweep")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["INCONCLUSIVE main:mkdir=ENOSPC: the oracle is_ill_later raised KeyError*"]
    )


def test_a_fixture_of_another_scope_cannot_use_them(inner: Inner) -> None:
    result = inner.pytest("::test_scope")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["ScopeMismatch: *function scoped fixture sweep *"])
