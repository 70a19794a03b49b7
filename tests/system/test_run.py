"""`harness run`, as its user meets it: output, faults, exit statuses, options."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from harness._engine.runner import Runner
from tests.system.support import (
    MODES,
    PYTHON,
    calls,
    digest,
    exit_status,
    harness,
    killed_by,
    one_line,
    plan,
    python,
    roles,
    shell,
)

# Faults


def test_a_full_disk_is_met_with_the_shells_own_message() -> None:
    script = "echo hi"
    with open("/dev/full", "wb") as full:
        real = subprocess.run(
            ["sh", "-c", script], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    done = harness("run", "-q", "--fault", "write#1=ENOSPC", "--", "sh", "-c", script)
    assert (done.returncode, done.stdout, done.stderr) == (real.returncode, "", real.stderr)
    assert real.returncode != 0
    assert "echo" in real.stderr


@pytest.mark.parametrize("mode", MODES)
def test_a_file_read_byte_by_byte_arrives_whole(mode: str, tmp_path: Path) -> None:
    content = bytes(range(256)) * 2
    (tmp_path / "FILE").write_bytes(content)
    command = ("run", "-q", "--mode", mode, "--fault", "read#*=short(1)", "--", "cat", "FILE")
    done = harness(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.encode("utf-8", "surrogateescape") == content


def test_one_byte_at_a_time_is_in_the_trace_and_the_loaders_reads_too(runner: Runner) -> None:
    text = b"twenty bytes of text"
    result = runner.run(plan("/bin/cat", faults=["read#*=short(1)"], stdin=text))
    assert result.outcome.stdout.head == text.decode()
    reads = [line.split() for line in calls(result, "main", "read")]
    own = [words for words in reads if words[3] == "0"]  # from descriptor 0
    assert [words[2] for words in own] == ["short:1"] * (len(text) + 1)  # the last meets the end
    # The loader asks for a library's ELF header with one read, and again for what it did not get.
    loader = [words for words in reads if words[3] == "3"]
    assert [words[2] for words in loader[:64]] == ["short:1"] * 64
    assert [int(words[4]) for words in loader[:3]] == [832, 831, 830]
    assert result.outcome.fired == (len([w for w in reads if w[2] == "short:1"]),)


@pytest.mark.parametrize("mode", MODES)
def test_a_held_call_ends_at_the_deadline_with_a_report_and_124(mode: str) -> None:
    fault = "exit_group=hold"
    done = harness("run", "--mode", mode, "--deadline", "1s", "--fault", fault, "--", "true")
    assert done.returncode == 124
    first, *_, summary = done.stderr.splitlines()
    assert first == "main is held at exit_group#1 0"
    assert "    main exit_group#1 hold 0" in done.stderr.splitlines()
    assert summary.startswith("harness: main ")
    assert "deadline of 1 s" in summary


@pytest.mark.parametrize("mode", MODES)
def test_a_crash_is_the_exit_status_of_a_kill(mode: str) -> None:
    done = harness("run", "--mode", mode, "--fault", "exit_group=crash", "--", "true")
    assert done.returncode == killed_by("KILL") == 137
    assert "main dies of SIGKILL; main:exit_group=crash fired 1 time" in one_line(done.stderr)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("write=ENOSPC", "main made 0 write calls"),
        ("exit_group#2=crash", "main made 1 exit_group call"),
        ("execve@stop=EIO", "main made 0 execve calls"),
        ("main/3:read=EIO", "main/3 made 0 read calls: no such role; there were main"),
        ("*/0:read=EIO", "*/0 made 0 read calls; main did"),
    ],
)
def test_a_fault_that_did_not_fire_says_how_many_calls_there_were(fault: str, said: str) -> None:
    done = harness("run", "-q", "--fault", fault, "--", "true")
    assert done.returncode == 3
    message = one_line(done.stderr)
    assert f"did not fire ({said})" in message
    assert fault in message


@pytest.mark.parametrize(
    ("fault", "script", "said"),
    [
        ("open=ENOENT", "cat /dev/null", "main made 0 open calls; it made openat)"),
        ("fork=EAGAIN", "(:); (:)", "main made 0 fork calls; it made clone)"),
        ("mkdir=EIO", "(mkdir /trial/a); (:); :", "main made 0 mkdir calls; main/0 did)"),
        ("main/1:mkdir=EIO", "mkdir /trial/a; (:); :", "main/1 made 0 mkdir calls; main/0 did)"),
    ],
)
def test_a_fault_that_did_not_fire_says_where_the_call_went(
    fault: str, script: str, said: str
) -> None:
    done = harness("run", "-q", "--fault", fault, "--", *shell(script))
    assert done.returncode == 3
    assert f"did not fire ({said}" in one_line(done.stderr)


def test_every_fault_that_did_not_fire_is_named(runner: Runner) -> None:
    faults = ("--fault", "write=EIO", "--fault", "access#1=ENOENT", "--fault", "mkdir=EIO")
    done = harness("run", *faults, "--", "cat", "/dev/null")
    assert done.returncode == 3
    assert "main:access=ENOENT fired 1 time" in done.stderr
    unfired = [line for line in done.stderr.splitlines() if "did not fire" in line]
    assert [line.split()[1] for line in unfired] == ["main:write=EIO", "main:mkdir=EIO"]


def test_a_pattern_fires_in_each_role(runner: Runner) -> None:
    script = "(cat /dev/null); (cat /dev/null); cat /dev/null"
    result = runner.run(plan(*shell(script), faults=["main/*:exit_group=crash"]))
    assert result.outcome.fired == (3,)
    assert exit_status(result) == 137


# Exit statuses


@pytest.mark.parametrize("mode", MODES)
def test_the_exit_status_is_the_commands_own(mode: str, runner: Runner, effort: str) -> None:
    some = (0, 1, 2, 3, 63, 64, 123, 124, 125, 126, 127, 128, 129, 137, 254, 255)
    for status in some if effort == "ci" else range(256):
        result = runner.run(plan(*shell(f"exit {status}"), mode=mode))
        assert (result.outcome.end, exit_status(result)) == ("exited", status)


@pytest.mark.parametrize("name", ["HUP", "INT", "QUIT", "KILL", "SEGV", "PIPE", "TERM", "USR1"])
def test_a_signals_end_is_128_and_its_number(name: str, runner: Runner) -> None:
    for mode in MODES:
        result = runner.run(plan(*shell(f"kill -{name} $$"), mode=mode))
        assert exit_status(result) == killed_by(name)


def test_the_command_line_exits_as_the_command_does() -> None:
    assert harness("run", "--", "sh", "-c", "exit 42").returncode == 42
    assert harness("run", "--", "sh", "-c", "kill -TERM $$").returncode == 143


def test_the_summary_is_one_line_with_a_digest_that_repeats() -> None:
    one, two = (harness("run", "--", "sh", "-c", "exit 5") for _ in range(2))
    assert one_line(one.stderr).startswith("main exits 5; ")
    assert digest(one) == digest(two)


def test_what_is_not_there_is_127_and_what_is_not_a_program_126(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no program\n")
    missing, text, directory = (
        harness("run", "--", name, cwd=tmp_path) for name in ("./missing", "./text", "./")
    )
    assert (missing.returncode, text.returncode, directory.returncode) == (127, 126, 126)
    assert "chmod +x ./text" in one_line(text.stderr)
    assert "no such program" in one_line(missing.stderr)
    assert "is a directory" in one_line(directory.stderr)


def test_a_missing_command_is_125() -> None:
    done = harness("run")
    assert done.returncode == 125
    assert "no command" in one_line(done.stderr)


# What it reads


@pytest.mark.parametrize("mode", MODES)
def test_it_reads_our_standard_input_as_it_comes(mode: str) -> None:
    text = "".join(f"line {n}\n" for n in range(5000))
    assert harness("run", "-q", "--mode", mode, "--", "cat", input=text).stdout == text


def test_it_reads_the_file_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "given").write_text("from a file\n")
    done = harness("run", "-q", "--stdin", "given", "--", "cat", cwd=tmp_path, input="from a pipe")
    assert done.stdout == "from a file\n"


def test_its_environment_is_small_and_what_was_given() -> None:
    given = ("--env", "ASKED", "--env", "SET=a=b c", "--env", "LANG", "--env", "NOT_THERE")
    own = {"ASKED": "from here", "OTHER": "hidden", "LANG": "xx_YY"}
    done = harness("run", "-q", *given, "--", "env", env=own)
    shown = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert shown["ASKED"] == "from here"
    assert shown["SET"] == "a=b c"
    assert shown["LANG"] == "xx_YY"
    assert shown["HOME"] == "/trial"
    assert not {"OTHER", "NOT_THERE", "HARNESS_TEST_TOKEN"} & shown.keys()


# How it ends when it does not end


@pytest.mark.parametrize("mode", MODES)
def test_a_deadline_that_passes_is_124_and_says_who_waits_for_what(mode: str) -> None:
    # In controlled mode a sleep is over at once; only work takes real time.
    script, told = {
        "free": ("sleep 1000 & wait", "main/0 is blocked in"),
        "controlled": ("while :; do :; done & wait", "main is blocked in rt_sigsuspend#1"),
    }[mode]
    done = harness("run", "--mode", mode, "--deadline", "1s", "--", "sh", "-c", script)
    assert done.returncode == 124
    assert told in done.stderr
    assert "harness: main did not end before its deadline of 1 s" in done.stderr


def test_a_trial_in_which_nobody_can_go_on_ends_at_once(runner: Runner) -> None:
    result = runner.run(plan(*shell("mkfifo f; cat f"), deadline_s=1000))
    assert result.outcome.end == "stuck"
    assert exit_status(result) == 124
    report = result.outcome.report
    assert "main/1 is blocked in openat#" in report
    assert '"f"' in report


def test_a_program_that_never_stops_calling_ends_at_the_step_limit() -> None:
    done = harness("run", "--steps", "200", "--", "sh", "-c", "while :; do kill -0 $$; done")
    assert done.returncode == 124
    assert "main did not end within 200 calls" in done.stderr


# Limits


@pytest.mark.parametrize("mode", MODES)
def test_a_limit_holds_for_the_role_that_it_names(mode: str, runner: Runner) -> None:
    script = "(ulimit -n); (ulimit -n); ulimit -n"
    limits = ("NOFILE=77", "main/1:NOFILE=33")
    with_limit = runner.run(plan(*shell(script), limits=limits, mode=mode))
    assert with_limit.outcome.stdout.head.split() == ["77", "33", "77"]


@pytest.mark.parametrize("mode", MODES)
def test_a_file_size_limit_is_met_by_the_program(mode: str) -> None:
    done = harness(
        *("run", "--mode", mode, "--limit", "FSIZE=1000"),
        *("--", *python("with open('/trial/f', 'wb') as file: file.write(bytes(5000))")),
    )
    assert done.returncode == 1
    assert "File too large" in done.stderr


# A service and its clients

_SERVER = """
import os, signal, socket, sys
def bye(number, frame):
    print("stopped by", signal.Signals(number).name, flush=True)
    os._exit(0)
for number in signal.SIGTERM, signal.SIGUSR1:
    signal.signal(number, bye)
if sys.argv[1].startswith(":"):
    server = socket.create_server(("127.0.0.1", int(sys.argv[1][1:])))
else:
    server = socket.socket(socket.AF_UNIX)
    server.bind(sys.argv[1])
    server.listen()
while True:
    connection, _ = server.accept()
    with connection:
        connection.sendall(b"got " + connection.recv(100))
"""
_CLIENT = """
import socket, sys
if sys.argv[1].startswith(":"):
    connection = socket.create_connection(("127.0.0.1", int(sys.argv[1][1:])))
else:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(sys.argv[1])
connection.sendall(sys.argv[2].encode())
print(connection.recv(100).decode(), flush=True)
"""
_READY = ["{dir}/s", ":7000"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("where", _READY)
def test_clients_start_when_the_service_listens(where: str, mode: str) -> None:
    clients = []
    for name in "a", "b", "c":
        words = shlex.join([*python(_CLIENT), where, name])
        clients += ["--client", f"{name}={words}" if name != "a" else words]
    done = harness(
        *("run", "--mode", mode, "--ready", where, *clients, "--", *python(_SERVER), where)
    )
    assert done.returncode == 0, done.stderr
    got = done.stdout.splitlines()
    assert got[-1] == "stopped by SIGTERM"
    assert sorted(got[:-1]) == ["got a", "got b", "got c"]
    said = one_line(done.stderr)
    for role in "client/0", "client/b", "client/c":
        assert f"{role} exited 0" in said


def test_a_service_is_stopped_by_the_signal_that_is_named() -> None:
    client = shlex.join([*python(_CLIENT), ":7000", "x"])
    done = harness(
        *("run", "-q", "--ready", ":7000", "--stop", "USR1", "--client", client),
        *("--", *python(_SERVER), ":7000"),
    )
    assert done.stdout.splitlines() == ["got x", "stopped by SIGUSR1"]


@pytest.mark.parametrize("mode", MODES)
def test_a_client_can_be_faulted(mode: str, runner: Runner) -> None:
    clients = {name: (*python(_CLIENT), ":7000", name) for name in ("a", "b")}
    result = runner.run(
        plan(
            *(*python(_SERVER), ":7000"),
            clients=clients,
            ready=":7000",
            mode=mode,
            faults=["client/a:recvfrom=ECONNRESET"],
        )
    )
    ends = {client.role: client.status for client in result.outcome.clients}
    assert ends == {"client/a": 1 << 8, "client/b": 0}
    assert "ConnectionResetError" in result.outcome.stderr.head
    assert result.outcome.fired == (1,)


@pytest.mark.parametrize("mode", MODES)
def test_each_of_many_clients_is_seen_from_its_first_call(mode: str, runner: Runner) -> None:
    clients = {str(n): shell(f"exit {n}") for n in range(8)}
    result = runner.run(plan(*shell("exit 0"), clients=clients, mode=mode))
    assert [client.status for client in result.outcome.clients] == [n << 8 for n in range(8)]
    for number in range(8):
        role = f"client/{number}"
        assert calls(result, role, "exit_group") == [f"{role} exit_group#1 - {number}"]
    assert sorted(roles(result)) == [f"client/{n}" for n in range(8)] + ["service"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("where", _READY)
def test_a_service_that_ends_before_it_is_ready_is_told(where: str, mode: str) -> None:
    client = ("--client", "echo never")
    done = harness("run", "--mode", mode, "--ready", where, *client, "--", "sh", "-c", "exit 3")
    assert (done.returncode, done.stdout) == (3, "")
    assert "service exits 3; service ended before it was ready" in one_line(done.stderr)
    done = harness("run", "--mode", mode, "--ready", where, *client, "--", "true")
    assert (done.returncode, done.stdout) == (1, ""), "its status is 0, but it did not serve"
    assert "service exits 0; service ended before it was ready" in one_line(done.stderr)


@pytest.mark.parametrize("mode", MODES)
def test_a_service_that_dies_of_the_signal_that_stops_it_has_ended_well(mode: str) -> None:
    command = ("run", "--mode", mode, "--stop", "USR1", "--client", "true", "--", "sleep", "100")
    done = harness(*command)
    assert done.returncode == 0
    assert "service dies of SIGUSR1, as it was told to; client/0 exited 0" in one_line(done.stderr)


def test_a_service_that_says_by_its_status_that_it_was_stopped_has_ended_well() -> None:
    script = "trap 'exit 143' TERM; while :; do sleep 0.01; done"
    done = harness("run", "--client", "true", "--", "sh", "-c", script)
    assert done.returncode == 0
    assert "service exits 143, as it was told to" in one_line(done.stderr)
    done = harness(
        "run", "--client", "true", "--stop", "INT", "--", "sh", "-c", script.replace("TERM", "INT")
    )
    assert done.returncode == 143


@pytest.mark.parametrize("mode", MODES)
def test_a_service_that_dies_otherwise_has_not(mode: str) -> None:
    """By another signal, or by that one before it was told to end."""
    clients = ("--client", "sleep 0.05")
    traps = "trap 'kill -KILL $$' TERM; while :; do sleep 0.01; done"
    for script, status in (traps, 137), ("kill -TERM $$", 143), ("exit 9", 9):
        done = harness("run", "--mode", mode, *clients, "--", "sh", "-c", script)
        assert done.returncode == status, done
        assert "as it was told to" not in done.stderr


def test_a_client_that_fails_is_the_status_unless_the_service_fails_too() -> None:
    clients = ("--client", "true", "--client", "sh -c 'exit 5'", "--client", "sh -c 'exit 6'")
    assert harness("run", "-q", *clients, "--", "sleep", "100").returncode == 5
    assert harness("run", "-q", *clients, "--", "true").returncode == 5
    assert harness("run", "-q", *clients, "--", "sh", "-c", "exit 9").returncode == 9
    killed = ("--client", "sh -c 'kill -HUP $$'")
    assert harness("run", "-q", *killed, "--", "true").returncode == 129


def test_a_service_that_never_listens_is_told() -> None:
    waiting = ("--ready", ":7000", "--deadline", "300ms", "--client", "echo never")
    done = harness("run", *waiting, "--", "sh", "-c", "mkfifo f; cat f")
    assert (done.returncode, done.stdout) == (124, "")
    assert "nobody has listened on :7000 yet" in done.stderr.splitlines()


# Free mode is the same trial without the turns


def test_free_mode_has_the_same_result(runner: Runner) -> None:
    script = "printf 'c\\nb\\na\\n' | sort | tee f | wc -l; mkdir d; exit 9"
    one, two = (runner.run(plan(*shell(script), mode=mode)) for mode in MODES)
    assert one.outcome == two.outcome
    assert exit_status(one) == 9


def test_the_program_is_found_in_the_trials_path(tmp_path: Path) -> None:
    program = tmp_path / "mine"
    program.write_text("#!/bin/sh\necho mine\n")
    program.chmod(0o755)
    found = harness("run", "-q", "--env", f"PATH={tmp_path}:/bin", "--", "mine", cwd=tmp_path)
    assert found.stdout == "mine\n"
    assert PYTHON in harness("run", "-q", "--", "readlink", "-f", PYTHON).stdout
