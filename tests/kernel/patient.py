"""A process whose memory and descriptors a test uses, as if a task of it were parked in a call."""

import array
import contextlib
import errno
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

from harness._kernel.memory import Memory
from harness._kernel.message import iovec, msghdr
from harness._supervisor.emulate import Transfer, is_ready, shorten
from harness.calls import CALLS

#: Where in the patient's buffer the parts of a call lie; data come first.
VECTOR, HEADER, CONTROL, NAME, OFFSETS = 0x8000, 0x9000, 0xA000, 0xB000, 0xC000
SIZE = 0x10000
NOWHERE = 4096  # below what is ever mapped

CONTINUE = Transfer("continue")
WAIT = Transfer("wait")

# It says where its buffer is, then takes descriptors as `g` and closes them as `c`.
_PROGRAM = f"""
import ctypes, os, socket, struct, sys
buffer = ctypes.create_string_buffer({SIZE})
control = socket.socket(fileno=int(sys.argv[1]))
control.send(struct.pack("=Q", ctypes.addressof(buffer)))
while True:
    command, fds, _, _ = socket.recv_fds(control, 5, 1)
    if not command:
        break
    if command[:1] == b"g":
        control.send(struct.pack("=i", fds[0]))
    else:
        os.close(*struct.unpack("=i", command[1:]))
        control.send(b"closed")
"""


class Patient:
    """One process with a buffer of SIZE bytes, which lives until the test's module is done."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-c", _PROGRAM, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self.base: int = struct.unpack("=Q", self._control.recv(8))[0]
        self.pid = self.process.pid
        self.memory = Memory(self.pid)
        self._held: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._control.close()
        self.process.wait()
        self.memory.close()

    def take(self, fd: int) -> int:
        """Move *fd* to the patient: it is closed here, and its number there is returned."""
        rights = array.array("i", [fd])
        self._control.sendmsg([b"g"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        os.close(fd)
        number: int = struct.unpack("=i", self._control.recv(4))[0]
        self._held.append(number)
        return number

    def drop(self, number: int) -> None:
        """Have the patient close one of its descriptors."""
        self._control.send(b"c" + struct.pack("=i", number))
        assert self._control.recv(6) == b"closed"
        self._held.remove(number)

    def forget(self) -> None:
        """Have it close all that it was given, and clear its buffer."""
        for number in list(self._held):
            self.drop(number)
        self.memory.write(self.base, bytes(SIZE))

    # Its buffer

    def put(self, at: int, data: bytes) -> int:
        """Write *data* at an offset of the buffer; the address."""
        self.memory.write(self.base + at, data)
        return self.base + at

    def get(self, at: int, size: int) -> bytes:
        """Read back from an offset of the buffer."""
        return self.memory.read(self.base + at, size)

    def vector(self, *spans: tuple[int, int]) -> tuple[int, int]:
        """Write an array of struct iovec for (address, length); its address and count."""
        array_ = b"".join(bytes(iovec(address, length)) for address, length in spans)
        return self.put(VECTOR, array_), len(spans)

    def header(
        self, *spans: tuple[int, int], control: bytes = b"", room: int = 0, name: int = 0
    ) -> int:
        """Write a struct msghdr; its address. *room* or *name* is the size to receive into."""
        address, count = self.vector(*spans)
        self.put(CONTROL, control)
        header = msghdr(
            self.base + NAME if name else 0,
            name,
            address,
            count,
            self.base + CONTROL if room or control else 0,
            room or len(control),
            0xFFFF,
        )
        return self.put(HEADER, bytes(header))

    def told(self) -> msghdr:
        """The struct msghdr as it is now."""
        return msghdr.from_buffer_copy(self.get(HEADER, 56))

    def read_only(self) -> int:
        """The address of memory that it may read but not write."""
        maps = Path(f"/proc/{self.pid}/maps").read_text().splitlines()
        return next(int(line.split("-")[0], 16) for line in maps if " r--p " in line)

    # Its calls

    def short(
        self,
        name: str,
        *args: int,
        count: int = 2,
        give: Callable[[int, bool], int] | None = None,
    ) -> Transfer:
        """`shorten` for call *name*; checks that it keeps no descriptor of ours."""
        before = os.listdir("/proc/self/fd")
        done = shorten(
            CALLS[name],
            _words(args),
            count,
            memory=self.memory,
            tgid=self.pid,
            give=give or _never,
        )
        assert os.listdir("/proc/self/fd") == before, "a descriptor was left open"
        return done

    def is_ready(self, name: str, *args: int) -> bool:
        """`is_ready` for call *name*."""
        return is_ready(CALLS[name], _words(args), tgid=self.pid)


def _words(args: Sequence[int]) -> tuple[int, ...]:
    return tuple(word & (1 << 64) - 1 for word in (*args, *[0] * (6 - len(args))))


def _never(fd: int, cloexec: bool) -> int:
    raise AssertionError("no descriptor was to be given")


def answer(count: int) -> Transfer:
    """*count* bytes were moved."""
    return Transfer("answer", count)


def fail(name: str, *, sigpipe: bool = False) -> Transfer:
    """It failed with the errno *name*."""
    return Transfer("fail", getattr(errno, name), sigpipe)


class Gifts:
    """Stands for SECCOMP_IOCTL_NOTIF_ADDFD: numbers from 100 on, *limit* of them at the most."""

    def __init__(self, limit: int = 1000) -> None:
        self.given: list[tuple[os.stat_result, bool]] = []
        self._limit = limit

    def __call__(self, fd: int, cloexec: bool) -> int:
        if len(self.given) == self._limit:
            raise OSError(errno.EMFILE, "too many open files")
        self.given.append((os.fstat(fd), cloexec))
        return 99 + len(self.given)


Ends = tuple[socket.socket, socket.socket]


def file(path: Path, content: bytes = b"", flags: int = os.O_RDWR) -> int:
    """A descriptor on a new file."""
    path.write_bytes(content)
    return os.open(path, flags)


def fill_up(end: socket.socket) -> None:
    """Send until nothing more goes in."""
    end.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            end.send(bytes(4096))
    end.setblocking(True)


@contextlib.contextmanager
def unix() -> Iterator[Ends]:
    """Two ends of a stream within the machine."""
    one, two = socket.socketpair()
    with one, two:
        yield one, two


@contextlib.contextmanager
def tcp() -> Iterator[Ends]:
    """Two ends of a connection through the loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
    with client, accepted:
        yield client, accepted


def arguments(
    patient: Patient, name: str, fd: int, *spans: tuple[int, int], flags: int = 0
) -> tuple[int, ...]:
    """The arguments of any call that moves data between one descriptor and memory."""
    if name.endswith("msg"):
        return fd, patient.header(*spans), flags
    if name in ("recvfrom", "sendto"):
        return fd, *spans[0], flags
    if "v" in name:
        position = -1 if name.endswith("v2") else 0  # -1: the file's own
        return fd, *patient.vector(*spans), position, 0, flags
    return fd, *spans[0], 0
