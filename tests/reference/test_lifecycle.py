"""Start and end of the service: its socket, its signals, its predecessors and its command line."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import pytest

from reference.forking_service.client import ForkingServiceClient
from tests.reference.support import PATIENCE_S, Raw, Service, ask, command, environment, is_gone


@pytest.fixture
def place() -> Iterator[str]:
    """A directory with a short name."""
    with tempfile.TemporaryDirectory(prefix="fs-") as made:
        yield made


def fails(*words: str) -> tuple[int, str]:
    """Exit status and standard error of a service that does not start."""
    done = subprocess.run(
        command(*words), env=environment(), capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_nothing_is_left(number: signal.Signals) -> None:
    with Service() as service:
        service.send_signal(number)
        assert service.end() == 0
        assert os.listdir(service.place) == []


def test_quit_is_answered_and_ends_it() -> None:
    with Service() as service:
        assert ask(service, b"quit\n") == b"ok\nquit command requested... exiting\n"
        assert service.end() == 0
        assert os.listdir(service.place) == []


@pytest.mark.parametrize(("words", "mode"), [((), 0o660), (("--perms", "0600"), 0o600)])
def test_the_socket_has_its_permissions(words: tuple[str, ...], mode: int) -> None:
    with Service(*words) as service:
        assert stat.S_IMODE(os.stat(service.path).st_mode) == mode


def test_while_it_waits_for_children_a_successor_starts_and_both_are_right() -> None:
    with Service() as old:
        child = old.spawn("replay")
        with Raw(old) as waiting, Raw(old) as asking:
            _, directory = waiting.send(b"fork rocks\n").started()
            asking.send(b"hel")
            assert ask(old, b"hello\n").startswith(b"ok\n")
            old.send_signal(signal.SIGTERM)
            assert asking.rest() == b"FAILURE\nthe service is stopping\n"
            with Service(place=old.place) as new:
                assert os.path.isdir(directory), "a live service's directory was taken for stale"
                successor = new.spawn("rocks")
                assert successor.communicate() == (b"It sure does!\n", b"")
                assert child.communicate(b"1 x\n") == (b"x\n", b"")
                assert child.returncode == 0
                for name, flag in (("stdin", os.O_WRONLY), ("stdout", 0), ("stderr", 0)):
                    os.close(os.open(f"{directory}/{name}", flag))
                assert waiting.rest().startswith(b"exited\n")
                assert old.end() == 0
                assert os.path.exists(new.path), "it has removed its successor's socket"


def test_all_who_wait_to_be_accepted_when_it_stops_are_told_so() -> None:
    with Service() as service:
        service.send_signal(signal.SIGSTOP)
        waiting: list[Raw] = []
        # As many as there is room for: the next one would have to wait.
        while len(waiting) < 200 and (one := connected_at_once(service.path)) is not None:
            waiting.append(one)
        service.send_signal(signal.SIGTERM)
        service.send_signal(signal.SIGCONT)
        for one in waiting:
            with one:
                assert one.rest() == b"FAILURE\nthe service is stopping\n"
        assert len(waiting) > 64
        assert service.end() == 0


def connected_at_once(path: str) -> Raw | None:
    """A connection; None where there is no room for another."""
    try:
        return Raw(path, timeout_s=0)
    except BlockingIOError:
        return None


def test_children_that_do_not_end_in_time_are_interrupted() -> None:
    with Service("--children-timeout", "0") as service:
        child = service.spawn("sleep", "1000")
        service.send_signal(signal.SIGTERM)
        assert child.wait() == 130
        child.communicate()
        assert service.end() == 0


def test_a_second_signal_does_not_wait_for_children() -> None:
    with Service() as service:
        child = service.spawn("sleep", "1000")
        with Raw(service) as raw:
            service.send_signal(signal.SIGTERM)
            # Until it has stopped listening, a second one might be the same as the first.
            service.until("^stopping; waiting for 1 children")
            assert raw.rest() == b"FAILURE\nthe service is stopping\n"
        service.send_signal(signal.SIGTERM)
        assert child.wait() == -signal.SIGKILL
        child.communicate()
        assert service.end() == 0
        assert is_gone(child.pid)


def test_a_child_that_ignores_everything_is_killed() -> None:
    with Service("--children-timeout", "0") as service:
        child = service.spawn("replay")
        child.stdin.write(b"1 x\n")
        assert child.stdout.readline() == b"x\n"
        child.send_signal(signal.SIGSTOP)
        service.send_signal(signal.SIGTERM)
        assert child.wait() == -signal.SIGKILL
        child.communicate()
        assert service.end() == 0


def test_a_service_that_was_killed_is_replaced_and_what_it_left_removed(place: str) -> None:
    old = Service(place=place)
    with Raw(old) as raw, Raw(old) as gone:
        pid, _ = raw.send(b"fork rocks\n").started()
        gone.send(b"fork rocks\n").started()
        pidfd = os.pidfd_open(pid)
        old.process.kill()
        old.end()
        old.clear()
        assert raw.rest() == b""
        # Its unconnected children go with it: nobody else would ever end them.
        with os.fdopen(pidfd) as ended:
            wait_until_readable(ended.fileno())
    assert len(os.listdir(place)) == 3
    with Service(place=place) as new:
        assert new.directories() == []
        assert ask(new, b"hello\n").startswith(b"ok\n")
        assert new.stop() == 0
    assert os.listdir(place) == []


def wait_until_readable(descriptor: int) -> None:
    assert select.select([descriptor], [], [], PATIENCE_S)[0]


def test_a_live_service_is_not_replaced() -> None:
    with Service() as service:
        status, said = fails("--path", service.path, "--directory", service.place)
        assert status == 1
        assert said == (
            f"forking-service: cannot listen on {service.path}: "
            "another service is listening there\n"
        )
        assert ask(service, b"hello\n").startswith(b"ok\n")


def test_a_file_that_is_no_socket_is_not_replaced(place: str) -> None:
    path = os.path.join(place, "s")
    with open(path, "w") as file:
        file.write("precious")
    status, said = fails("--path", path, "--directory", place)
    assert (status, said.count("\n")) == (1, 1)
    assert said.endswith("it exists and is not a socket\n")
    assert os.listdir(place) == ["s"]


def test_a_stale_socket_is_replaced(place: str) -> None:
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(os.path.join(place, "s"))
    stale.close()
    with Service(place=place) as service:
        assert ask(service, b"hello\n").startswith(b"ok\n")


def test_directories_of_others_are_left_alone(place: str) -> None:
    foreign = os.path.join(place, "lp-forking-service-child-x")
    os.mkdir(foreign)
    with open(os.path.join(foreign, "precious"), "w"):
        pass
    with open(os.path.join(place, "lp-forking-service-child-file"), "w"):
        pass
    with Service(place=place) as service:
        service.send_signal(signal.SIGTERM)
        assert service.end() == 0
    assert sorted(os.listdir(place)) == [
        "lp-forking-service-child-file",
        "lp-forking-service-child-x",
    ]


@pytest.mark.parametrize(
    ("words", "status", "why"),
    [
        ((), 2, "the following arguments are required: --path"),
        (("--path", "s", "--wrong"), 2, "unrecognized arguments: --wrong"),
        (("--path", "s", "--perms", "rw"), 2, "permissions are octal digits, as 0660, not 'rw'"),
        (("--path", "s", "--perms", "7777"), 2, "permissions are 0 to 0777, not 0o7777"),
        (("--path", ""), 2, "the path of the socket is empty or holds a NUL"),
        (("--path", "s", "--request-timeout", "-1"), 2, "the request timeout is 0 to 1e9 seconds"),
        (("--path", "s", "--children-timeout", "nan"), 2, "the children timeout is 0 to 1e9"),
        (("--path", "s", "--max-children", "-1"), 2, "the most children are 0 (no limit) or more"),
        (("--path", "s", "--preload", "x", "--no-preload"), 2, "not allowed with argument"),
        (("--path", "s", "--commands", "json"), 1, "json has no mapping COMMANDS"),
        (("--path", "s", "--commands", "no.such"), 1, "cannot load commands from no.such"),
        (("--path", "s", "--log-file", "/no/such/file"), 1, "cannot write the log file"),
        (("--path", "/no/such/place/s"), 1, "cannot listen on /no/such/place/s: No such file"),
        (("--path", "/tmp/" + "s" * 200), 1, "too long"),
    ],
)
def test_a_bad_start_is_one_line_and_nothing_else(
    words: tuple[str, ...], status: int, why: str, place: str
) -> None:
    found, said = fails(*words, "--directory", place)
    assert (found, said.count("\n")) == (status, 1)
    assert why in said
    assert os.listdir(place) == []


def test_what_serve_cannot_take_is_one_line(place: str) -> None:
    code = (
        "import sys; from reference.forking_service.server import serve; "
        "sys.exit(serve(sys.argv[1] + '/s', directory=''))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, place], env=environment(), capture_output=True, text=True
    )
    said = "forking-service: the directory is empty, or holds a line's end or a NUL\n"
    assert (done.returncode, done.stderr) == (2, said)
    assert os.listdir(place) == []


def test_one_that_is_started_without_standard_streams_gives_each_child_its_own(place: str) -> None:
    words = command("--path", f"{place}/s", "--directory", place)
    closes = ["sh", "-c", 'exec "$@" <&- >&-', "sh", *words]
    with subprocess.Popen(closes, env=environment(), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == f"Listening on socket: {place}/s\n"
        child = ForkingServiceClient(f"{place}/s").spawn(["replay"])
        assert child.communicate(b"1 one\n2 two\n") == (b"one\n", b"two\n")
        assert child.returncode == 0
        process.terminate()
        process.stderr.read()
    assert process.returncode == 0
    assert os.listdir(place) == []


def test_help_teaches() -> None:
    done = subprocess.run(command("--help"), env=environment(), capture_output=True, text=True)
    assert done.returncode == 0
    for word in ("fork-env", "--children-timeout", "SIGTERM", "exit status", "example"):
        assert word in done.stdout


def test_preloading_is_announced_and_survives_what_fails(place: str) -> None:
    with Service("--preload", "json,no.such.module", "--log-file", f"{place}/log") as service:
        assert service.read.startswith("Preloading 2 modules\nListening on socket: ")
        with open(f"{place}/log") as log:
            assert "cannot preload no.such.module: ModuleNotFoundError" in log.read()


def test_a_log_that_nobody_reads_does_not_end_it() -> None:
    with Service() as service:
        assert service.process.stderr is not None
        service.process.stderr.close()
        for _ in range(3):
            assert ask(service, b"hello\n").startswith(b"ok\n")
        service.process.terminate()
        assert service.process.wait(PATIENCE_S) == 0
        assert os.listdir(service.place) == []


THREAD = """
import sys, threading
from reference.forking_service.client import ForkingServiceClient
from reference.forking_service.options import Options
from reference.forking_service.service import ForkingService
service = ForkingService(Options(path=sys.argv[1] + "/s", directory=sys.argv[1]))
service.start()
thread = threading.Thread(target=service.serve_until_stopped)
thread.start()
child = ForkingServiceClient(sys.argv[1] + "/s").spawn(["rocks"])
print(child.communicate()[0].decode(), child.returncode)
service.stop()
thread.join()
service.finish()
"""


def test_a_service_in_a_thread_is_ended_by_its_stop(place: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", THREAD, place],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert (done.returncode, done.stdout) == (0, "It sure does!\n 0\n"), done.stderr
    assert os.listdir(place) == []


def test_serve_takes_what_json_can_say(place: str) -> None:
    arguments = {"path": f"{place}/s", "directory": place, "perms": "0600", "max_children": 3}
    code = (
        "import json, sys; from reference.forking_service.server import serve; "
        "sys.exit(serve(**json.loads(sys.argv[1])))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, json.dumps(arguments)],
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr is not None
        assert process.stderr.readline() == f"Listening on socket: {place}/s\n"
        process.terminate()
        process.stderr.read()
    assert process.returncode == 0
    assert os.listdir(place) == []
