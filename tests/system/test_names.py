"""Ports and abstract names that the kernel would choose: the same in each trial, and otherwise all
is as the kernel does it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from harness._engine.runner import Runner
from harness._engine.trial import TrialResult
from tests.system.support import PYTHON, exit_status, harness, plan, python

FIRST = 32768  # net.ipv4.ip_local_port_range

#: Every way in which a socket gets a name that nobody asked for, and what is no such way.
_SOCKETS = """
import ctypes, os, socket, struct
from socket import AF_INET, AF_INET6, AF_UNIX, SOCK_DGRAM, SOCK_STREAM

NO_PORT, PASSCRED = (socket.IPPROTO_IP, 24, 1), (socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
kept = []
def made(family=AF_INET, kind=SOCK_STREAM, option=None):
    one = socket.socket(family, kind)
    kept.append(one)
    if option: one.setsockopt(*option)
    return one
def show(what, one): print(what, one.getsockname())
def refused(what, call, *args):
    try: call(*args); print(what, "done")
    except OSError as error: print(what, error.strerror)

server = made(); server.bind(("127.0.0.1", 0)); show("bind", server); server.listen()
here = server.getsockname()
client = made(); client.connect(here); show("connect", client)
print(server.accept()[1] == client.getsockname())
client = made(); client.setblocking(False); client.connect_ex(here); show("later", client)
one = made(); one.listen(); show("listen", one)
one = made(); one.listen(); one.listen(); show("listen twice", one)
one = made(option=NO_PORT); one.bind(("127.0.0.2", 0)); show("no port", one)
one.connect(here); show("connect", one)
one = made(); one.bind(("127.0.0.3", 0)); one.connect(here); show("bound", one)
one = made(AF_INET, SOCK_DGRAM); one.bind(("", 0)); show("udp bind", one)
there = ("127.0.0.1", one.getsockname()[1])
one = made(AF_INET, SOCK_DGRAM); one.connect(there); show("udp connect", one)
one = made(AF_INET, SOCK_DGRAM); one.sendto(b"x", there); show("udp sendto", one)
one.sendto(b"x", there); show("again", one)
one = made(AF_INET, SOCK_DGRAM); one.sendmsg([b"x"], (), 0, there); show("udp sendmsg", one)
refused("bind again", one.bind, ("127.0.0.1", 0))
refused("not ours", made().bind, ("8.8.8.8", 0))
refused("unreachable", made().connect, ("127.0.0.1", 1))
refused("no such descriptor", socket.socket.bind, made(), ("127.0.0.256", 0))

six = made(AF_INET6); six.bind(("::1", 0)); show("v6 bind", six); six.listen()
one = made(AF_INET6); one.connect(six.getsockname()); show("v6 connect", one)
one = made(AF_INET6); one.connect(("::ffff:127.0.0.1", here[1])); show("v4 in v6", one)
one = made(AF_INET6, SOCK_DGRAM); one.sendto(b"x", ("::1", 9)); show("v6 sendto", one)
refused("v4 to v6", made(AF_INET6).connect, ("::1", 1))

for kind in SOCK_STREAM, SOCK_DGRAM:
    unix = made(AF_UNIX, kind); unix.bind(""); show("unix bind", unix)
    name = unix.getsockname()
    if kind == SOCK_STREAM: unix.listen()
    unix.bind("") if kind == SOCK_DGRAM else None; show("unix again", unix)
    one = made(AF_UNIX, kind, PASSCRED); one.connect(name); show("unix connect", one)
    one = made(AF_UNIX, kind); one.connect(name); show("unix without", one)
one = made(AF_UNIX, SOCK_DGRAM, PASSCRED); one.sendto(b"x", name); show("unix sendto", one)
a, b = socket.socketpair(); a.sendmsg([b"x"]); show("pair", a)

libc = ctypes.CDLL(None, use_errno=True)
def raw(what, fd, address, size):
    result = libc.bind(fd, address, size)
    print(what, result, os.strerror(ctypes.get_errno()) if result else "")
inet = struct.pack("=HH4s8x", AF_INET, 0, bytes(4))
raw("no address", made().fileno(), None, 16)
raw("a short one", made().fileno(), inet, 4)
raw("a long one", made().fileno(), inet.ljust(200, b"\\0"), 200)
raw("another family", made(AF_INET6).fileno(), inet, 16)
raw("no family", made().fileno(), inet, 1)
raw("no socket", os.open("/dev/null", os.O_RDONLY), inet, 16)
raw("nothing", 999, inet, 16)
"""


def without_numbers(text: str) -> str:
    """*text* with P for each port and N for each name that was chosen."""
    text = re.sub(r"\b(3[3-9]|[45]\d)\d\d\d\b|\b32[789]\d\d\b|\b60\d\d\d\b", "P", text)
    return re.sub(r"x00[0-9a-f]{5}'", "N'", text)


def run(runner: Runner, code: str, **more: object) -> TrialResult:
    result = runner.run(plan(*python(code), **more))  # type: ignore[arg-type]
    assert exit_status(result) == 0, result.outcome
    return result


def said(runner: Runner, code: str, **more: object) -> str:
    return run(runner, code, **more).outcome.stdout.head


def test_names_are_the_same_in_each_trial_and_all_else_is_the_kernels(runner: Runner) -> None:
    done = subprocess.run(
        [PYTHON, "-I", "-S", "-c", _SOCKETS], capture_output=True, text=True, timeout=60, check=True
    )
    found = said(runner, _SOCKETS)
    assert without_numbers(found) == without_numbers(done.stdout)
    assert without_numbers(found).count("P") == 16
    assert without_numbers(found).count("N'") >= 6
    assert said(runner, _SOCKETS) == found
    assert found.splitlines()[0] == f"bind ('127.0.0.1', {FIRST})"


def test_a_service_sees_its_clients_at_the_same_ports_in_each_trial(runner: Runner) -> None:
    service = """
import socket
with socket.create_server(("127.0.0.1", 8000)) as server:
    for _ in range(3): print(server.accept()[1][1])
"""
    client = "import socket; socket.create_connection(('127.0.0.1', 8000)).recv(1)"
    clients = {name: python(client) for name in ("a", "b", "c")}
    trial = plan(*python(service), clients=clients, ready=":8000")
    one, other = (runner.run(trial).outcome.stdout.head.split() for _ in range(2))
    assert one == other
    assert sorted(map(int, one)) == [FIRST, FIRST + 1, FIRST + 2]


def test_a_port_that_is_taken_is_passed_over(runner: Runner) -> None:
    code = f"""
import socket
taken = [socket.create_server(("", {FIRST} + n)) for n in range(3)]
one = socket.socket(); one.bind(("127.0.0.1", 0)); print(one.getsockname()[1])
"""
    assert int(said(runner, code)) == FIRST + 3


def test_an_abstract_name_that_is_taken_is_passed_over(runner: Runner) -> None:
    code = """
import socket
taken = socket.socket(socket.AF_UNIX); taken.bind(b"\\0" + b"00000")
one = socket.socket(socket.AF_UNIX); one.bind(""); print(one.getsockname())
"""
    assert said(runner, code) == "b'\\x0000001'\n"


def test_nobody_is_connected_with_itself(runner: Runner) -> None:
    code = f"""
import socket
try: socket.create_connection(("127.0.0.1", {FIRST}))
except OSError as error: print(error.strerror)
"""
    assert said(runner, code) == "Connection refused\n"


@pytest.mark.parametrize("call", ["bind", "listen", "connect"])
def test_a_call_that_fails_by_a_fault_names_no_socket(runner: Runner, call: str) -> None:
    code = f"""
import socket
one = socket.socket()
args = {{"bind": (("127.0.0.1", 0),), "listen": (), "connect": (("127.0.0.1", 1),)}}["{call}"]
try: one.{call}(*args)
except OSError as error: print(error.strerror, one.getsockname())
"""
    found = said(runner, code, faults=[f"{call}#1=ENOBUFS"])
    assert found == "No buffer space available ('0.0.0.0', 0)\n"


def test_the_hosts_network_and_free_mode_leave_it_to_the_kernel(tmp_path: Path) -> None:
    code = "import socket; o = socket.socket(); o.bind(('', 0)); print(o.getsockname()[1])"
    for options in ("--net", "host"), ("--mode", "free"):
        found = {harness("run", "-q", *options, "--", *python(code)).stdout for _ in range(3)}
        assert len(found) > 1, options
