"""The program that is a child of the service, for whoever can only run programs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import IO

import pexpect
import pytest

from tests.reference.support import PATIENCE_S, Service, environment

CONNECT = [sys.executable, "-m", "reference.forking_service.connect"]


def connect(
    service: Service, *words: str, input: bytes = b"", **env: str
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*CONNECT, "--path", service.path, *words],
        input=input,
        capture_output=True,
        env=environment() | env,
        timeout=PATIENCE_S,
    )


def test_it_is_the_command_to_whoever_runs_it(shared: Service) -> None:
    done = connect(shared, "replay", input=b"1 one\n2 two\n1 three")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"one\nthree", b"two\n")


@pytest.mark.parametrize(
    ("words", "status"),
    [(("exit", "7"), 7), (("crash", "TERM"), 128 + 15), (("no-such",), 127), (("rocks",), 0)],
)
def test_its_exit_status_is_the_commands(
    shared: Service, words: tuple[str, ...], status: int
) -> None:
    assert connect(shared, *words).returncode == status


def test_words_of_the_command_are_not_its_own_options(shared: Service) -> None:
    done = connect(shared, "lp-serve", "--inet", "7", input=b"hello\n")
    assert (done.returncode, done.stdout) == (0, b"ok\x012\n")


def test_variables_are_passed_on_when_they_are_named(shared: Service) -> None:
    assert connect(shared, "--env", "BZR_EMAIL=me", "whoami").stdout == b"me\n"
    assert connect(shared, "--env", "BZR_EMAIL", "whoami", BZR_EMAIL="you").stdout == b"you\n"
    assert connect(shared, "--env", "BZR_EMAIL", "whoami").returncode == 1
    assert connect(shared, "whoami", BZR_EMAIL="you").returncode == 1


def test_much_data_passes_both_ways_at_once(shared: Service) -> None:
    lines = [b"%d %d %s\n" % (1 + n % 3 % 2, n, b"x" * (n % 90)) for n in range(20_000)]
    done = connect(shared, "replay", input=b"".join(lines))
    assert done.returncode == 0
    assert done.stdout == b"".join(line[2:] for line in lines if line.startswith(b"1"))
    assert done.stderr == b"".join(line[2:] for line in lines if line.startswith(b"2"))


def started(service: Service, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*CONNECT, "--path", service.path, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        env=environment(),
    )


def test_it_answers_in_turns(shared: Service) -> None:
    with started(shared, "lp-serve", "--inet", "7") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(3):
            process.stdin.write(b"hello\n")
            assert process.stdout.read(5) == b"ok\x012\n"
        process.stdin.close()
        assert process.wait(PATIENCE_S) == 0


def test_a_reader_that_goes_is_felt_by_the_command(shared: Service) -> None:
    with started(shared, "replay") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"1 x\n")
        assert process.stdout.read(2) == b"x\n"
        process.stdout.close()
        with pytest.raises(BrokenPipeError):
            write_for_ever(process.stdin)
        assert process.wait(PATIENCE_S) == 1


def write_for_ever(stream: IO[bytes]) -> None:
    while True:
        stream.write(b"1 x\n" * 1000)


def test_a_signal_is_passed_on(shared: Service) -> None:
    with started(shared, "replay") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"1 x\n")
        assert process.stdout.read(2) == b"x\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 128 + signal.SIGTERM


def test_without_a_service_it_says_so_or_runs_it_itself() -> None:
    away = [*CONNECT, "--path", "/no/such"]
    done = subprocess.run([*away, "rocks"], env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (125, "", 1)
    assert "no forking service at /no/such: No such file" in done.stderr
    plainly = [*away, "--or-plain", "--env", "BZR_EMAIL=me", "whoami"]
    done = subprocess.run(plainly, env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "me\n", "")


@pytest.mark.parametrize("words", [[], ["rocks"], ["--path", "s", "a\nb"], ["--timeout", "x", "a"]])
def test_a_command_line_that_cannot_be_is_one_line(words: list[str]) -> None:
    done = subprocess.run([*CONNECT, *words], env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_on_a_terminal(service: Service) -> None:
    terminal = pexpect.spawn(
        sys.executable,
        [*CONNECT[1:], "--path", service.path, "replay"],
        env=environment(),
        timeout=PATIENCE_S,
        encoding="utf-8",
        echo=False,
    )
    terminal.sendline("1 from you")
    terminal.expect_exact("from you\r\n")
    terminal.sendline("2 an error")
    terminal.expect_exact("an error\r\n")
    terminal.sendintr()
    terminal.expect_exact("KeyboardInterrupt")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 130


def test_the_service_itself_on_a_terminal(service: Service) -> None:
    path = os.path.join(service.place, "t")
    terminal = pexpect.spawn(
        sys.executable,
        ["-m", "reference.forking_service", "--path", path, "--directory", service.place],
        env=environment(),
        timeout=PATIENCE_S,
        encoding="utf-8",
    )
    terminal.expect_exact(f"Listening on socket: {path}\r\n")
    answered = subprocess.run(
        [*CONNECT, "--path", path, "rocks"], env=environment(), stdout=subprocess.PIPE
    )
    assert answered.stdout == b"It sure does!\n"
    terminal.sendintr()
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 0
    assert not os.path.exists(path)
