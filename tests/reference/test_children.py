"""A child's life: its streams, its statuses, its end, and what becomes of what it leaves."""

from __future__ import annotations

import os
import signal
import stat
from pathlib import Path

import pytest

from tests.reference.support import Raw, Service, ask, is_gone

# Codes at which a mistake in passing on would show; the whole range is in test_load.py.
CODES = [0, 1, 2, 127, 128, 129, 254, 255]
FATAL = [
    one
    for one in (*signal.Signals, signal.SIGRTMIN, signal.SIGRTMAX)
    if one.name not in ("SIGCHLD", "SIGCONT", "SIGURG", "SIGWINCH", "SIGSTOP", "SIGTSTP")
    if one.name not in ("SIGTTIN", "SIGTTOU")
]


@pytest.mark.parametrize("code", CODES)
def test_an_exit_status_arrives_as_it_is(shared: Service, code: int) -> None:
    child = shared.spawn("exit", str(code))
    assert child.communicate() == (b"", b"")
    assert child.returncode == code


@pytest.mark.parametrize("number", FATAL, ids=str)
def test_a_fatal_signal_arrives_as_it_is(shared: Service, number: signal.Signals) -> None:
    child = shared.spawn("crash", str(int(number)))
    child.communicate()
    assert child.returncode == -number


def test_a_large_input_comes_back_whole_and_in_two_streams(shared: Service) -> None:
    lines = [b"%d %d %s\n" % (1 + n % 3 % 2, n, b"x" * (n % 90)) for n in range(20_000)]
    child = shared.spawn("replay")
    out, err = child.communicate(b"".join(lines))
    assert child.returncode == 0
    assert out == b"".join(line[2:] for line in lines if line.startswith(b"1"))
    assert err == b"".join(line[2:] for line in lines if line.startswith(b"2"))


def test_the_smallest_smart_server_answers_each_hello(shared: Service) -> None:
    child = shared.spawn("lp-serve", "--inet", "12")
    for _ in range(3):
        child.stdin.write(b"hello\n")
        assert child.stdout.readline() == b"ok\x012\n"
    child.stdin.close()
    assert child.wait() == 0
    child.communicate()


@pytest.mark.parametrize(
    ("argv", "status"),
    [
        (["no-such-command"], 127),
        (["exit", "256"], 2),
        (["exit"], 2),
        (["crash", "NOTHING"], 2),
        (["crash", "0"], 2),
        (["crash", "CHLD"], 1),
        (["sleep", "long"], 2),
        (["lp-serve"], 2),
        (["replay", "x"], 0),
        (["sleep", "0"], 0),
    ],
)
def test_a_bad_command_says_so_and_exits(shared: Service, argv: list[str], status: int) -> None:
    child = shared.spawn(*argv)
    out, err = child.communicate()
    assert (out, child.returncode, bool(err)) == (b"", status, status != 0)


def test_a_smart_server_that_does_not_understand_says_so(shared: Service) -> None:
    child = shared.spawn("lp-serve", "--inet", "12")
    out, err = child.communicate(b"hello\nwhat\n")
    assert (out, child.returncode) == (b"ok\x012\n", 1)
    assert err == b"lp-serve: unknown request: b'what\\n'\n"


def test_a_line_that_cannot_be_replayed_is_an_error(shared: Service) -> None:
    child = shared.spawn("replay")
    out, err = child.communicate(b"1 one\n3 three\n")
    assert (out, child.returncode) == (b"one\n", 1)
    assert b"b'3 three\\n'" in err


OTHERS = """
import sys
def raises(argv, stdin, stdout, stderr):
    stdout.write("before\\n")
    raise ValueError("on purpose")
def leaves(argv, stdin, stdout, stderr):
    sys.exit("a message")
def ends(argv, stdin, stdout, stderr):
    sys.exit()
def lies(argv, stdin, stdout, stderr):
    return 256
def fills(argv, stdin, stdout, stderr):
    stdout.write("x" * 200_000)
    stdin.read()
    return 0
def closes(argv, stdin, stdout, stderr):
    stdout.write("all\\n")
    stdout.close()
    return 0
def reads(argv, stdin, stdout, stderr):
    print(ascii(input()))
    return 0
COMMANDS = {one.__name__: one for one in (raises, leaves, ends, lies, fills, closes, reads)}
"""


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A module with commands of someone else's; it can be imported by services."""
    folder = tmp_path_factory.mktemp("others")
    (folder / "others.py").write_text(OTHERS)
    return str(folder)


def run(service: Service, *argv: str, input: bytes = b"") -> tuple[bytes, bytes, int]:
    child = service.spawn(*argv)
    out, err = child.communicate(input)
    assert child.returncode is not None
    return out, err, child.returncode


def test_commands_of_others_run_and_end_honestly(
    others: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", others)
    with Service("--commands", "others") as service:
        out, err, status = run(service, "raises")
        assert (out, status) == (b"before\n", 1)
        assert err.startswith(b"Traceback ")
        assert err.endswith(b"ValueError: on purpose\n")
        assert run(service, "leaves") == (b"", b"a message\n", 1)
        assert run(service, "ends") == (b"", b"", 0)
        assert run(service, "lies") == (b"", b"exit status 256 is not one: 255\n", 255)
        assert run(service, "closes") == (b"all\n", b"", 0)
        assert run(service, "reads", input=b"\xff\n") == (b"'\\udcff'\n", b"", 0)
        assert run(service, "reads")[2] == 1  # EOFError
        # Its reader goes before it has written all: output that is lost is no success.
        child = service.spawn("fills")
        child.stdout.close()
        child.stdin.close()
        assert child.wait() == 1
        child.communicate()
        assert ask(service, b"hello\n").startswith(b"ok\n")


def test_what_installed_packages_offer_can_be_run(
    others: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = tmp_path / "others-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 1\n")
    (about / "entry_points.txt").write_text(
        "[reference.forking_service.commands]\nends = others:ends\nlost = others:no_such\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([others, str(tmp_path)]))
    with Service() as service:
        assert run(service, "ends") == (b"", b"", 0)
        assert run(service, "lost")[2] == 127
        assert service.stop() == 0
        assert "cannot load the command 'lost' (others:no_such): " in service.read


def test_the_fifos_are_private_and_go_when_the_client_has_come(shared: Service) -> None:
    with Raw(shared) as raw:
        _, directory = raw.send(b"fork replay\n").started()
        assert os.path.basename(directory).startswith("lp-forking-service-child-")
        assert stat.S_IMODE(os.stat(directory).st_mode) == 0o700
        assert sorted(os.listdir(directory)) == ["stderr", "stdin", "stdout"]
        for name in os.listdir(directory):
            assert stat.filemode(os.stat(f"{directory}/{name}").st_mode) == "prw-------"
        with (
            open(f"{directory}/stdin", "wb", buffering=0) as stdin,
            open(f"{directory}/stdout", "rb", buffering=0) as stdout,
            open(f"{directory}/stderr", "rb", buffering=0),
        ):
            stdin.write(b"1 x\n")
            assert stdout.readline() == b"x\n"
            assert not os.path.exists(directory)
        assert raw.rest().startswith(b"exited\n")


def test_nobody_comes_and_the_child_says_so_and_ends() -> None:
    with Service("--connect-timeout", "0.05") as service, Raw(service) as raw:
        pid, directory = raw.send(b"fork rocks\n").started()
        assert raw.rest() == b"exited\n256\n"
        assert is_gone(pid)
        assert not os.path.exists(directory)
        service.until(rf"child {pid}: nobody opened {directory} in time")


def test_a_connect_timeout_is_for_children_forked_later(service: Service) -> None:
    with Raw(service) as early, Raw(service) as late:
        early_pid, directory = early.send(b"fork rocks\n").started()
        assert ask(service, b"child_connect_timeout 0\n") == b"ok\n"
        late.send(b"fork rocks\n").started()
        assert late.rest() == b"exited\n256\n"
        assert not is_gone(early_pid)
        os.kill(early_pid, signal.SIGKILL)
        assert early.rest() == b"exited\n9\n"
        assert not os.path.exists(directory)


def test_a_client_blocked_in_open_is_let_go_when_the_child_dies(shared: Service) -> None:
    with Raw(shared) as raw:
        pid, directory = raw.send(b"fork rocks\n").started()
        os.kill(pid, signal.SIGSTOP)
        os.kill(pid, signal.SIGKILL)
        # Either it is let go, or the directory has gone before it came.
        try:
            os.close(os.open(f"{directory}/stdout", os.O_RDONLY))
        except FileNotFoundError:
            pass
        assert raw.rest() == b"exited\n9\n"


def test_a_child_that_is_killed_before_its_client_comes_leaves_nothing(shared: Service) -> None:
    with Raw(shared) as raw:
        pid, directory = raw.send(b"fork rocks\n").started()
        os.kill(pid, signal.SIGKILL)
        assert raw.rest() == b"exited\n9\n"
        assert is_gone(pid)
        assert not os.path.exists(directory)


def test_a_child_holds_no_descriptor_of_the_service(shared: Service) -> None:
    first, second = shared.spawn("replay"), shared.spawn("replay")
    for child in (first, second):
        child.stdin.write(b"2 here\n")
        assert child.stderr.readline() == b"here\n"
        opened = {int(path.name) for path in Path(f"/proc/{child.pid}/fd").iterdir()}
        assert opened == {0, 1, 2}
    first.communicate()
    second.communicate()


def test_no_more_children_than_allowed() -> None:
    with Service("--max-children", "1") as service:
        first = service.spawn("replay")
        assert ask(service, b"fork rocks\n") == b"FAILURE\ntoo many children: 1 are running\n"
        first.communicate()
        assert run(service, "rocks") == (b"It sure does!\n", b"", 0)


def test_what_cannot_be_made_is_told_and_leaves_nothing(service: Service) -> None:
    moved = service.place + "-moved"
    os.rename(service.place, moved)
    try:
        with Raw(f"{moved}/s") as raw:
            reply = raw.send(b"fork rocks\n").rest()
    finally:
        os.rename(moved, service.place)
    assert reply.startswith(b"FAILURE\ncannot make the FIFOs: [Errno 2] ")
    assert run(service, "rocks") == (b"It sure does!\n", b"", 0)


def test_an_end_is_told_to_a_client_that_reads_late(shared: Service) -> None:
    with Raw(shared) as raw:
        raw.send(b"fork exit 3\n")
        pid, directory = raw.started()
        for stream, flag in (("stdin", os.O_WRONLY), ("stdout", 0), ("stderr", 0)):
            os.close(os.open(f"{directory}/{stream}", flag))
        assert run(shared, "rocks")[2] == 0
        assert raw.rest() == b"exited\n768\n"
        assert is_gone(pid)


def test_a_client_that_leaves_before_it_has_come_does_not_keep_its_child(service: Service) -> None:
    with Raw(service) as raw:
        pid, directory = raw.send(b"fork rocks\n").started()
    service.until(rf"child {pid}: nobody opened {directory} in time")
    service.until(rf"child {pid}: ended with status 256")
