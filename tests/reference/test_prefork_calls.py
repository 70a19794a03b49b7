"""Calls of a script, under each launcher: what a caller gives arrives, what the script does comes
back, and nothing is left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import pexpect
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import Effort
from tests.reference.prefork import FATAL, Place, run, wait_for_end
from tests.reference.support import PATIENCE_S, environment


@pytest.fixture(scope="module")
def tells(shared_place: Place) -> str:
    return shared_place.script("tells.py")


def some(everything: range, effort: Effort, step: int) -> list[int]:
    return list(everything) if effort == "full" else [*everything[::step], everything[-1]]


def test_the_exit_status_is_the_scripts(shared_place: Place, tells: str, effort: Effort) -> None:
    codes = some(range(256), effort, 51)
    assert [shared_place.call(tells, "exit", str(code)).returncode for code in codes] == codes


def test_a_signal_is_passed_on_or_told(shared_place: Place, tells: str, effort: Effort) -> None:
    fatal = [n for n in signal.valid_signals() if n not in (17, 18, 19, 20, 21, 22, 23, 28)]
    for number in fatal if effort == "full" else [*FATAL, signal.SIGUSR1]:
        done = shared_place.call(tells, "die", str(int(number)), preexec_fn=_no_core)
        if number in FATAL:
            assert done.returncode == -number, number
        else:
            assert done.returncode == 127, number
            assert b"signal %d" % number in done.stderr


def _no_core() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def test_a_script_may_end_without_pythons_own_end(shared_place: Place, tells: str) -> None:
    for words in (shared_place.words(tells), shared_place.inside(sys.executable, tells)):
        done = run([*words, "leave", "7"])
        assert done.returncode == 7
        assert done.stdout == b"said\nin a thread\nat the end\n"


def test_what_could_not_be_written_is_said_then(shared_place: Place, tells: str) -> None:
    env = {name: value for name, value in environment().items() if name != "PYTHONUNBUFFERED"}
    # Its own server: how streams are buffered is asked for when it starts.
    with open("/dev/full", "wb") as full:
        done = shared_place.call(
            tells,
            "leave",
            "7",
            options=["-Gbuffered"],
            env=env,
            stdout=full,
            stderr=subprocess.PIPE,
        )
    assert done.returncode == 120
    why = b"prefork: what was printed is lost: [Errno 28] No space left on device\n"
    assert done.stderr == b"%s: %s" % (tells.encode(), why)


def test_an_exception_is_seen_by_the_caller(shared_place: Place, tells: str) -> None:
    done = shared_place.call(tells, "raise")
    assert done.returncode == 1
    assert done.stderr.endswith(b"RuntimeError: so it is\n")


words = st.binary(max_size=30).map(lambda data: data.replace(b"\0", b""))


@settings(max_examples=max(1, (settings.default.max_examples if settings.default else 100) // 10))
@given(st.lists(words, max_size=6))
def test_arguments_are_any_bytes(shared_place: Place, tells: str, given_words: list[bytes]) -> None:
    words = [os.fsencode(word) for word in shared_place.words(tells, "arguments")]
    assert run([*words, *given_words]).stdout == b"\0".join(given_words)


names = words.map(lambda data: b"N" + data.replace(b"=", b""))


@settings(max_examples=max(1, (settings.default.max_examples if settings.default else 100) // 10))
@given(names, words)
def test_variables_are_any_bytes(
    shared_place: Place, tells: str, name: bytes, value: bytes
) -> None:
    env = {os.fsencode(k): os.fsencode(v) for k, v in environment().items()}
    line = [*map(os.fsencode, shared_place.words(tells, "variable")), name]
    assert run(line, env=env | {name: value}).stdout == value


def test_output_is_complete_when_the_caller_returns(shared_place: Place, tells: str) -> None:
    assert shared_place.call(tells, "write", "1000000").stdout == b"x" * 1_000_000


def test_standard_streams_are_the_callers(shared_place: Place, tells: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ours, theirs = socket.socketpair()
    with ours, theirs, out.open("wb") as file:
        done = shared_place.call(
            tells, "streams", stdin=theirs, stdout=file, stderr=subprocess.DEVNULL
        )
    first, second, third = out.read_text().splitlines()
    assert first.startswith("0 socket:[")
    assert second == f"1 {out}"
    assert third == "2 /dev/null"
    assert done.returncode == 0
    copied = shared_place.call(tells, "copy", input=b"one\ntwo\n")
    assert (copied.stdout, copied.stderr) == (b"one\ntwo\n", b"ONE\nTWO\n")


def test_a_script_talks_to_the_terminal_of_its_caller(shared_place: Place, tells: str) -> None:
    words = shared_place.words(tells, "wait")
    with pexpect.spawn(words[0], words[1:], env=environment(), timeout=PATIENCE_S) as terminal:
        terminal.expect_exact("waits\r\n")
        terminal.sendline("so")
        terminal.expect_exact("so\r\n")  # the terminal's echo, and then what it prints
        terminal.expect_exact("so\r\n")
        terminal.expect(pexpect.EOF)
    assert terminal.exitstatus == 0


def test_what_the_setup_says_goes_once_to_the_first_callers_standard_error(place: Place) -> None:
    setup = 'print("set up", repr(sys.stdin.read()))\nSTARTED_IN ='
    tells = place.script("tells.py", **{"STARTED_IN =": setup})
    first, second = (place.call(tells, "you", input=b"not for the setup") for _ in range(2))
    assert (first.stdout, first.stderr) == (b"hello you\n", b"set up ''\n")
    assert (second.stdout, second.stderr) == (b"hello you\n", b"")


def test_nothing_but_its_own_descriptors_is_seen_by_a_script(
    shared_place: Place, tells: str
) -> None:
    first = shared_place.call(tells, "descriptors").stdout
    assert first == shared_place.call(tells, "descriptors").stdout
    assert b"socket" not in first
    assert b"pipe" not in first


def test_each_call_has_a_process_of_its_own_and_draws_other_numbers(
    shared_place: Place, tells: str
) -> None:
    started = {shared_place.call(tells, "who").stdout for _ in range(3)}
    assert len(started) == 1
    assert started.pop().endswith(b" False\n")
    assert len({shared_place.call(tells, "random").stdout for _ in range(3)}) == 3


def test_signals_are_as_a_call_needs_them(place: Place) -> None:
    tells = place.script("tells.py")

    def deafen() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])

    assert place.call(tells, "signals", preexec_fn=deafen).stdout == b"SIG_DFL SIG_DFL\n"
    assert place.call(tells, "die", "2").returncode == -2


def started(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdout is not None
    assert process.stdout.readline()
    return process.stdout


@pytest.mark.parametrize("what", ["wait", "linger"])
def test_a_caller_that_is_killed_takes_its_call_with_it(place: Place, what: str) -> None:
    tells = place.script("tells.py")
    assert place.call(tells).returncode == 0
    before = set(place.processes())
    with place.start(tells, what, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        out = started(process)
        launcher = next(
            pid
            for pid, line in place.processes().items()
            if pid not in before
            and "nsenter" not in line
            and os.getpgid(pid) == os.getpgid(process.pid)
        )
        os.kill(launcher, signal.SIGKILL)
        # All that has it open has ended.
        assert out.read() == b""
    for pid in set(place.processes()) - before:
        wait_for_end(pid)
    assert place.call(tells).stdout == b"hello\n"


def test_what_a_script_leaves_running_ends_with_its_call(place: Place) -> None:
    tells = place.script("tells.py")
    done = place.call(tells, "linger", input=b"")
    assert (done.returncode, done.stdout) == (0, b"lingers\n")


@pytest.mark.parametrize("servers", ["1", "4", "-1"])
def test_many_callers_at_once_are_served_by_one_server(
    place: Place, servers: str, effort: Effort
) -> None:
    tells = place.script("tells.py")
    env = environment() | {"MAX_SERVERS": servers}
    callers = 200 if effort == "full" else 12

    def one(number: int) -> tuple[int, bytes]:
        done = place.call(tells, "exit" if number % 2 else "who", *["7"] * (number % 2), env=env)
        return done.returncode, done.stdout

    with ThreadPoolExecutor(callers) as pool:
        results = list(pool.map(one, range(callers)))
    assert [status for status, _ in results] == [7 if n % 2 else 0 for n in range(callers)]
    assert len({out for _, out in results if out}) == 1
    place.server(tells)


def test_a_changed_script_is_seen_by_the_next_call(place: Place) -> None:
    tells = place.script("tells.py")
    assert place.call(tells).stdout == b"hello\n"
    old = place.server(tells)
    place.script("tells.py", hello="good-bye")
    assert place.call(tells).stdout == b"good-bye\n"
    wait_for_end(old)
    place.kill(tells)
    place.until_nothing_runs()
    assert place.names() == []


def test_a_fresh_server_replaces_the_old_one(place: Place) -> None:
    tells = place.script("tells.py")
    first = place.call(tells, "who").stdout
    old = place.server(tells)
    assert place.call(tells, "who", options=["-f"]).stdout != first
    wait_for_end(old)
    place.server(tells)


def test_after_kill_nothing_of_a_server_is_left(place: Place) -> None:
    tells = place.script("tells.py")
    place.kill(tells)
    assert place.call(tells).returncode == 0
    assert len(place.names()) == 2
    place.kill(tells)
    place.until_nothing_runs()
    assert place.names() == []


def test_an_idle_server_leaves_nothing(place: Place) -> None:
    tells = place.script("tells.py", **{"max_servers=": "idle_timeout=0.05, max_servers="})
    assert place.call(tells).returncode == 0
    place.until_nothing_runs()
    assert place.names() == []


def test_the_identity_is_told_apart_by_what_it_is_given(place: Place) -> None:
    tells = place.script("tells.py")
    env = environment() | {"HERE": "1"}
    kinds: list[list[str]] = [[], ["-G", "a"], ["-G", "b"], ["-E", "HERE"], ["-g", "named"]]
    outs = [place.call(tells, "who", options=kind, env=env).stdout for kind in kinds]
    assert outs == [place.call(tells, "who", options=kind, env=env).stdout for kind in kinds]
    other = place.call(tells, "who", options=["-E", "HERE"], env=env | {"HERE": "2"}).stdout
    assert len({*outs, other}) == 6
    assert {"snamed", "lnamed"} <= set(place.names())


def test_options_and_interpreter_may_be_one_word(place: Place) -> None:
    tells = place.script("tells.py")
    env = environment() | {"PATH": f"{os.path.dirname(sys.executable)}:/usr/bin:/bin"}
    for joined in ("-U,-Gx,python3", "-U -Gx python3"):
        assert run(place.launch(joined, tells, "a"), env=env).stdout == b"hello a\n"


def test_a_script_run_plainly_serves_itself(place: Place) -> None:
    tells = place.script("tells.py")
    done = run(place.inside(sys.executable, tells, "who"))
    assert done.stdout.endswith(b" True\n")
    assert place.names() == []
