"""PID 1 of fresh namespaces, made by a process that the test executes."""

import errno
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.servant import ROOT, Servant, Teller, command, wait_readable

SIX = ("user", "pid", "mnt", "net", "ipc", "uts")


@pytest.fixture
def servant() -> Iterator[Servant]:
    with Servant() as servant:
        yield servant


@pytest.fixture
def inmate(servant: Servant) -> Iterator[Teller]:
    try:
        with servant.inmate() as inmate:
            yield inmate
    except OSError as error:
        skip_without_user_namespaces(error)


def skip_without_user_namespaces(error: OSError) -> None:
    if error.errno in (errno.EPERM, errno.ENOSPC, errno.EUSERS, errno.EACCES):
        pytest.skip(f"no user namespaces: {error}; fix: harness doctor says how")
    raise error


@pytest.fixture(scope="module", autouse=True)
def _machine() -> None:
    with Servant() as servant:
        try:
            with servant.inmate() as inmate:
                inmate.ask("1")
        except OSError as error:
            skip_without_user_namespaces(error)


def spaces_of(pid: int | str) -> dict[str, str]:
    return {kind: os.readlink(f"/proc/{pid}/ns/{kind}") for kind in SIX}


def test_it_is_pid_1_of_six_namespaces_of_its_own(servant: Servant, inmate: Teller) -> None:
    assert inmate.ask("os.getpid()") == 1
    assert inmate.ask("os.getppid()") == 0
    ours, theirs = spaces_of("self"), spaces_of(servant.ask("inmate_pid"))
    assert [kind for kind in SIX if ours[kind] == theirs[kind]] == []
    assert spaces_of(servant.pid) == ours


def test_the_hosts_network_is_kept_when_asked(servant: Servant) -> None:
    with servant.inmate(own_network=False):
        ours, theirs = spaces_of("self"), spaces_of(servant.ask("inmate_pid"))
    assert [kind for kind in SIX if ours[kind] == theirs[kind]] == ["net"]


def test_whoever_runs_it_is_user_0_inside_and_may_make_files(
    servant: Servant, inmate: Teller, tmp_path: Path
) -> None:
    assert inmate.ask("(os.getuid(), os.getgid())") == [0, 0]
    inmate.ask(f"os.mkdir({str(tmp_path / 'made')!r})")  # without maps: EOVERFLOW
    status = (tmp_path / "made").stat()
    assert (status.st_uid, status.st_gid) == (os.geteuid(), os.getegid())


def test_root_maps_all_that_it_has_and_a_user_itself(servant: Servant, inmate: Teller) -> None:
    pid = servant.ask("inmate_pid")
    for kind, ours in ("uid", os.geteuid()), ("gid", os.getegid()):
        lines = Path(f"/proc/{pid}/{kind}_map").read_text().split("\n")[:-1]
        ranges = [tuple(map(int, line.split())) for line in lines]
        if os.geteuid() == 0:
            own = Path(f"/proc/self/{kind}_map").read_text().split("\n")[:-1]
            assert [(a, c) for a, _, c in ranges] == [
                (int(line.split()[0]), int(line.split()[2])) for line in own
            ]
        else:
            assert ranges == [(0, ours, 1)]
    denied = Path(f"/proc/{pid}/setgroups").read_text().strip()
    assert denied == ("allow" if os.geteuid() == 0 else "deny")


def test_root_that_may_not_even_map_itself_is_eperm(servant: Servant) -> None:
    if os.geteuid() != 0:
        pytest.skip("for root only; an ordinary user always maps itself")
    set_capabilities = "ctypes.CDLL(None, use_errno=True).syscall(126, head, none)"
    servant.do("""
        head = (ctypes.c_uint32 * 2)(0x20080522, 0)  # capset(2): version 3, ourselves
        none = (ctypes.c_uint32 * 6)()
    """)
    assert servant.ask(set_capabilities) == 0
    with servant.inmate(mapped=False), pytest.raises(PermissionError):
        servant.ask("namespaces.write_maps(inmate_pid)")


def test_the_maps_of_a_process_that_is_gone_are_enoent_or_esrch(servant: Servant) -> None:
    with servant.inmate(mapped=False):
        servant.do("process.kill(inmate_pid, 9); os.waitpid(inmate_pid, 0)")
        with pytest.raises(OSError, match=r".") as caught:
            servant.ask("namespaces.write_maps(inmate_pid)")
    assert caught.value.errno in (errno.ENOENT, errno.ESRCH)


def test_maps_are_written_once(servant: Servant, inmate: Teller) -> None:
    with pytest.raises(PermissionError):
        servant.ask("namespaces.write_maps(inmate_pid)")


@pytest.mark.parametrize("lacking", ["-setuid,-setgid", "-setuid", "-setgid", "-sys_admin"])
def test_root_that_may_not_map_others_maps_itself(lacking: str, tmp_path: Path) -> None:
    """As in a container that dropped the capabilities."""
    if os.geteuid() != 0:
        pytest.skip("for root only; an ordinary user always maps itself")
    if not shutil.which("setpriv"):
        pytest.skip("setpriv is missing; fix: apt install util-linux")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        poor = subprocess.Popen(
            [
                *("setpriv", f"--bounding-set={lacking}", f"--inh-caps={lacking}"),
                *command("servant", str(theirs.fileno())),
            ],
            cwd=ROOT,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        teller = Teller(ours)
        teller.do("pid = enter(True); namespaces.write_maps(pid)")
        teller.begin("hand_over(inmate.fileno())")
        _, (fd,), _, _ = socket.recv_fds(ours, 10, 1)
        teller.result()
        with socket.socket(fileno=fd) as control:
            inmate = Teller(control)
            assert inmate.ask("(os.getuid(), os.getgid())") == [0, 0]
            inmate.ask(f"os.mkdir({str(tmp_path / 'made')!r})")
    poor.wait()


# Inside


def test_its_loopback_is_down_until_it_is_brought_up(inmate: Teller) -> None:
    block = """
        with socket.create_server(("127.0.0.1", 0)) as server:
            with socket.create_connection(server.getsockname()) as client:
                accepted, _ = server.accept()
                client.sendall(b"over lo")
                assert accepted.recv(9) == b"over lo"
                accepted.close()
    """
    with pytest.raises(OSError, match=r".") as caught:
        inmate.do(block)
    assert caught.value.errno in (errno.ENETUNREACH, errno.EADDRNOTAVAIL)
    inmate.do("namespaces.bring_loopback_up()")
    inmate.do(block)
    inmate.do("namespaces.bring_loopback_up()")  # up already: nothing to do


def test_its_host_name_is_its_own(inmate: Teller) -> None:
    before = os.uname().nodename
    inmate.do("namespaces.set_host_name(b'trial')")
    assert inmate.ask("os.uname().nodename") == "trial"
    assert os.uname().nodename == before


def test_a_host_name_that_is_too_long_is_einval(inmate: Teller) -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        inmate.do("namespaces.set_host_name(b'x' * 65)")


def test_everything_in_it_ends_with_pid_1_daemons_included(
    servant: Servant, inmate: Teller
) -> None:
    inmate.do("""
        held = os.pipe()
        os.set_inheritable(held[1], True)
        twice = "setsid sh -c 'cat <&3 >/dev/null 2>&1 & echo $!' 3<&0"  # its parent ends at once
        daemon = subprocess.run(
            ["sh", "-c", twice], stdin=held[0], stdout=subprocess.PIPE, pass_fds=[held[1]]
        )
        os.kill(int(daemon.stdout), 0)
        os.close(held[1])
    """)
    reader = inmate.take_fd("held[0]")
    servant.do("process.kill(inmate_pid, 9)")
    wait_readable(reader)
    assert os.read(reader, 1) == b"", "the daemon still holds the write end"
    os.close(reader)


def test_it_dies_with_the_one_who_cloned_it(servant: Servant, inmate: Teller) -> None:
    pidfd = os.pidfd_open(servant.ask("inmate_pid"))
    servant.kill()
    wait_readable(pidfd)
    os.close(pidfd)


def test_it_takes_no_orders_beyond_its_end(servant: Servant, inmate: Teller) -> None:
    """Whoever talks to it reads the end of file, and never waits for ever."""
    servant.do("process.kill(inmate_pid, 9)")
    wait_readable(inmate.control.fileno())
    assert inmate.control.recv(1) == b""
