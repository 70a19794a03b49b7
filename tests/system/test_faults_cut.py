"""Faults that cut a connection: eof and reset; met by real programs, in both modes."""

from __future__ import annotations

import pytest

from harness._engine.runner import Runner
from harness.report.unfired import why_not
from tests.system.support import (
    MODES,
    calls,
    exit_status,
    harness,
    killed_by,
    needs,
    plan,
    python,
    shell,
)

both_modes = pytest.mark.parametrize("mode", MODES)

_CUT = """
import select, signal, socket, os
def made(kind):
    if kind == "unix": return socket.socketpair()
    if kind == "packets": return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if kind == "tcp6":  # a client for IPv4 at a server for both
        listener = socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    else:
        listener = socket.create_server(("127.0.0.1", 0))
    one = socket.create_connection(("127.0.0.1", listener.getsockname()[1]))
    return one, listener.accept()[0]
def what(act, *args):
    try: got = act(*args)
    except OSError as error: got = type(error).__name__
    print(got.decode() or "end" if type(got) is bytes else got, end=" ")
def polled(one):
    poll = select.poll()
    poll.register(one, select.POLLIN | select.POLLRDHUP)
    return ",".join(n for n in ("POLLIN", "POLLRDHUP", "POLLHUP")
                    if dict(poll.poll(0)).get(one.fileno(), 0) & getattr(select, n))
peer, one = made({kind!r})
peer.send(b"123"); peer.send(b"45")
{acts}
print(flush=True)
os._exit(0)
"""


def _cut(kind: str, *acts: str) -> tuple[str, ...]:
    return python(_CUT.format(kind=kind, acts="\n".join(f"what({act})" for act in acts)))


@both_modes
@pytest.mark.parametrize("kind", ["unix", "packets", "tcp"])
def test_after_an_end_every_read_agrees_and_so_does_poll(
    kind: str, mode: str, runner: Runner
) -> None:
    """What had been sent and not read is lost: it has never been sent."""
    code = _cut(
        kind,
        "one.recv, 9",
        "one.recv, 9",
        "os.read, one.fileno(), 9",
        "polled, one",
        "one.send, b'answer'",
        "peer.recv, 9",
        "one.close",
        "peer.recv, 9",
    )
    result = runner.run(plan(*code, faults=["recvfrom=eof"], mode=mode))
    assert result.outcome.stdout.head == "end end end POLLIN,POLLRDHUP 6 answer None end \n"
    assert (exit_status(result), result.outcome.fired) == (0, (1,))
    assert calls(result, "main", "recvfrom")[0].split()[2] == "eof"


@both_modes
@pytest.mark.parametrize("kind", ["unix", "packets", "tcp", "tcp6"])
def test_the_other_end_finds_that_nobody_reads_and_what_it_wrote_is_lost(
    kind: str, mode: str, runner: Runner
) -> None:
    code = _cut(kind, "one.recv, 9", "peer.send, b'x'", "one.recv, 9")
    result = runner.run(plan(*code, faults=["recvfrom=eof"], mode=mode))
    assert result.outcome.stdout.head == "end BrokenPipeError end \n"


@both_modes
def test_a_connection_that_nobody_has_accepted_yet_ends_too(mode: str, runner: Runner) -> None:
    code = """
import os, socket
listener = socket.create_server(("127.0.0.1", 0))
one = socket.create_connection(listener.getsockname())
os._exit(len(one.recv(9)))
"""
    result = runner.run(plan(*python(code), faults=["recvfrom=eof"], mode=mode))
    assert (exit_status(result), result.outcome.fired) == (0, (1,))


@both_modes
@pytest.mark.parametrize("kind", ["unix", "packets", "tcp"])
def test_a_write_finds_that_nobody_reads_and_the_other_end_reads_to_the_end(
    kind: str, mode: str, runner: Runner
) -> None:
    code = _cut(
        kind,
        "one.send, b'x'",
        "one.send, b'y'",
        "os.write, one.fileno(), b'z'",
        "peer.recv, 9",
        "one.recv, 3",
    )
    result = runner.run(plan(*code, faults=["sendto#3=eof"], mode=mode))
    broken = "BrokenPipeError " * 3
    assert result.outcome.stdout.head == f"{broken}end 123 \n"


@both_modes
@pytest.mark.parametrize("how", ["default", "nosignal", "ignored"])
def test_a_write_to_a_socket_that_has_ended_raises_sigpipe_as_ever(
    how: str, mode: str, runner: Runner
) -> None:
    code = f"""
import os, signal, socket
signal.signal(signal.SIGPIPE, signal.SIG_{"IGN" if how == "ignored" else "DFL"})
one, peer = socket.socketpair()
try: one.send(b"x", {"socket.MSG_NOSIGNAL" if how == "nosignal" else 0})
except BrokenPipeError: os._exit(5)
"""
    result = runner.run(plan(*python(code), faults=["sendto=eof"], mode=mode))
    assert exit_status(result) == (killed_by("PIPE") if how == "default" else 5)


@both_modes
@pytest.mark.parametrize("kind", ["unix", "packets", "tcp"])
@pytest.mark.parametrize("act", ["one.recv, 9", "one.send, b'x'"])
def test_a_reset_is_told_once_and_the_connection_is_gone(
    act: str, kind: str, mode: str, runner: Runner
) -> None:
    code = _cut(kind, act, "one.recv, 9", "one.send, b'x'", "os.read, one.fileno(), 9")
    call = "recvfrom" if "recv" in act else "sendto#3"
    result = runner.run(plan(*code, faults=[f"{call}=reset"], mode=mode))
    assert result.outcome.stdout.head == "ConnectionResetError end BrokenPipeError end \n"
    assert (exit_status(result), result.outcome.fired) == (0, (1,))


@both_modes
@pytest.mark.parametrize(
    ("kind", "expected"),
    [("unix", "end BrokenPipeError"), ("tcp", "ConnectionResetError BrokenPipeError")],
)
def test_the_other_end_finds_the_connection_cut(
    kind: str, expected: str, mode: str, runner: Runner
) -> None:
    code = _cut(kind, "one.recv, 9", "peer.recv, 9", "peer.send, b'x'")
    result = runner.run(plan(*code, faults=["recvfrom=reset"], mode=mode))
    assert result.outcome.stdout.head == f"ConnectionResetError {expected} \n"


# Pipes

_WRITES = "import os\nfor n in range(9): os.write(1, b'%d' % n)"


@both_modes
def test_a_reader_of_a_pipe_reads_to_the_end_and_its_writer_is_told(
    mode: str, runner: Runner
) -> None:
    needs("perl")
    code = """
pipe(my $r, my $w); $SIG{PIPE} = 'IGNORE';
if (!fork) { close $w; my $n = sysread $r, my $data, 9; my $m = sysread $r, $data, 9;
             syswrite STDOUT, "$n$m "; close $r; exit }
close $r; wait; my $n = syswrite $w, "x"; syswrite STDOUT, defined $n ? "written" : "$!";
"""
    golden = runner.run(plan("perl", "-e", code, deadline_s=2.0))
    nth = len(calls(golden, "main/0", "read"))
    result = runner.run(plan("perl", "-e", code, faults=[f"main/0:read#{nth}=eof"], mode=mode))
    assert result.outcome.stdout.head == "00 Broken pipe"


@both_modes
def test_a_pipe_that_has_ended_is_so_for_poll_and_stays_as_it_was_opened(
    mode: str, runner: Runner
) -> None:
    code = """
import fcntl, os, select
r, w = os.pipe2(os.O_NONBLOCK)
os.set_inheritable(r, True)
before = fcntl.fcntl(r, fcntl.F_GETFD), fcntl.fcntl(r, fcntl.F_GETFL)
os.readv(r, [bytearray(1)])
poll = select.poll(); poll.register(r, select.POLLIN)
print(poll.poll(0) == [(r, select.POLLHUP)], os.readv(r, [bytearray(1)]),
      before == (fcntl.fcntl(r, fcntl.F_GETFD), fcntl.fcntl(r, fcntl.F_GETFL)), flush=True)
"""
    result = runner.run(plan(*python(code), faults=["readv=eof"], mode=mode))
    assert result.outcome.stdout.head == "True 0 True\n"


@both_modes
def test_a_writer_into_a_pipe_that_has_ended_dies_of_it(mode: str, runner: Runner) -> None:
    script = "trap '' PIPE; { echo one; echo two; echo three; echo $? >status; } | cat"
    result = runner.run(plan(*shell(script), faults=["main/0:write#2+=eof"], mode=mode))
    assert result.outcome.stdout.head == "one\n"
    result = runner.run(plan(*python(_WRITES), faults=["write#3=eof"], mode=mode))
    assert result.outcome.stdout.head == "01"


@both_modes
def test_a_pipeline_whose_data_end_early_ends(mode: str, runner: Runner) -> None:
    needs("socat")
    code = shell("head -c 300000 /dev/zero | socat -u - - | wc -c")
    golden = runner.run(plan(*code))
    assert golden.outcome.stdout.head.strip() == "300000"
    reads = [e for e in golden.trace.events if (e.role, e.call) == ("main/1", "read")]
    nth = [e.nth for e in reads if e.args[0] == "0"][2]
    result = runner.run(plan(*code, faults=[f"main/1:read#{nth}=eof"], mode=mode))
    assert (result.outcome.end, result.outcome.fired) == ("exited", (1,))
    assert 0 < int(result.outcome.stdout.head) < 300000


# Where it cannot be


_NO_END = {
    "a file": "os.open('f', os.O_CREAT | os.O_RDWR)",
    "a directory": "os.open('.', os.O_RDONLY)",
    "a device": "os.open('/dev/zero', os.O_RDONLY)",
    "something without another end": "os.eventfd(1)",
    "no open descriptor": "77",
    "a socket for datagrams": "(one := socket.socket(type=socket.SOCK_DGRAM)).fileno()",
    "a socket that is not connected": "(one := socket.socket()).fileno()",
}


@pytest.mark.parametrize("kind", ["eof", "reset"])
@pytest.mark.parametrize("what", _NO_END)
def test_where_there_is_no_other_end_it_does_not_fire_and_says_why(
    what: str, kind: str, runner: Runner
) -> None:
    code = f"""
import os, socket
fd = {_NO_END[what]}
if "datagrams" in {what!r}: one.setblocking(False)
try: os.readv(fd, [bytearray(9)])
except OSError: pass
"""
    trial = plan(*python(code), faults=[f"readv={kind}"])
    result = runner.run(trial)
    assert (exit_status(result), result.outcome.fired) == (0, (0,))
    said = why_not(trial, result, 0)
    assert said == f"main:readv={kind} did not fire: main readv#1 is of {what}"


def test_a_pipe_cannot_be_reset() -> None:
    code = "import os\nr, w = os.pipe()\nos.write(w, b'x')"
    done = harness("run", "--fault", "write=reset", "--", *python(code))
    assert done.returncode == 3
    said = "main:write=reset did not fire: main write#1 is of a pipe, which cannot be reset"
    assert said in done.stderr


# Determinism, sweeps


@pytest.mark.parametrize("kind", ["eof", "reset"])
def test_equal_schedules_give_equal_traces(kind: str, runner: Runner, effort: str) -> None:
    code = _cut("tcp", "one.recv, 9", "peer.send, b'x'", "peer.recv, 9", "peer.send, b'y'")
    trials = 100 if effort == "full" else 6
    digests = {
        runner.run(plan(*code, faults=[f"recvfrom={kind}"])).trace.digest for _ in range(trials)
    }
    assert len(digests) == 1
