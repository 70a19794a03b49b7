"""A data transfer done in part, on behalf of a parked task: the fault `short(n)`.

The kernel cannot be told to do less of a call, so its work is done here: on a duplicate of the
caller's descriptor, from or into the caller's memory, at most n bytes. File position, O_APPEND and
all else that belongs to the open file is the kernel's work through the duplicate.

Never blocks: what would wait is `wait`, and is tried again later. Never sends a signal: `sigpipe`
asks for it. Never makes up an errno that the kernel would not give. What it cannot do as the
kernel would have done it is `continue`, and then the kernel does the whole call:

- nothing to shorten: no more than n bytes are asked for, or arguments that the kernel refuses;
- records, not bytes: sockets that are no streams, writes of packets into a pipe, directories,
  O_DIRECT, eventfd and its like; and any device that may wait (terminals);
- MSG_PEEK, MSG_TRUNC, MSG_OOB, MSG_ERRQUEUE, MSG_EOR, MSG_FASTOPEN, MSG_ZEROCOPY and unknown flags
  (MSG_WAITALL is shortened: a signal would do so too, and a caller has to expect that);
- SO_RCVLOWAT above 1, and a wait that SO_RCVTIMEO or SO_SNDTIMEO would end;
- control data but SCM_RIGHTS: credentials and time stamps would be ours, or of our namespaces;
- where it matters who calls: writes into /proc, /sys and cgroups, reads of /proc/sys and cgroups,
  files under an RLIMIT_FSIZE; and FUSE, whose server may itself be parked.

Two things show through. On a unix stream a receiver with SO_PASSCRED sees the supervisor's pid. The
reader of a pipe in packet mode cannot be told from others: the rest of the packet comes next.

The process that uses this ignores SIGPIPE, as Python does. Source: the man page of each call.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socket import (
    MSG_CMSG_CLOEXEC,
    MSG_CONFIRM,
    MSG_CTRUNC,
    MSG_DONTROUTE,
    MSG_DONTWAIT,
    MSG_MORE,
    MSG_NOSIGNAL,
    MSG_PEEK,
    MSG_WAITALL,
    SCM_RIGHTS,
    SOL_SOCKET,
)
from typing import Literal, NamedTuple

from .._kernel import message, process
from .._kernel.memory import Memory
from .._kernel.message import ControlMessage, msghdr
from ..calls import Call
from .caller import Caller, End, Leave, Span


class Transfer(NamedTuple):
    """What became of the attempt.

    `answer`: *value* bytes were moved. `fail`: errno *value*, and SIGPIPE for the caller if
    *sigpipe*. `wait`: nothing yet, the caller blocks. `continue`: the kernel has to do it.
    """

    kind: Literal["answer", "fail", "wait", "continue"]
    value: int = 0
    sigpipe: bool = False


Args = tuple[int, ...]

_CONTROL_MAX = 4096  # more than SCM_MAX_FD descriptors need
_RECEIVE_FLAGS = MSG_DONTWAIT | MSG_NOSIGNAL | MSG_WAITALL | MSG_CMSG_CLOEXEC
_SEND_FLAGS = MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE | MSG_CONFIRM | MSG_DONTROUTE
_RWF_NOSIGNAL = 0x100  # <linux/fs.h>, since Linux 6.18
_SPLICE_FLAGS = 0xF
_RIGHTS = (SOL_SOCKET, SCM_RIGHTS)


def _is_ready(fd: int, events: int) -> bool:
    poll = select.poll()
    poll.register(fd, events)
    return bool(poll.poll(0))


def _not_ready() -> OSError:
    return BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))


@contextmanager
def _own_pipe() -> Iterator[tuple[int, int]]:
    try:
        ends = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        raise Leave from None
    try:
        yield ends
    finally:
        for end in ends:
            os.close(end)


# One transfer on a duplicate, without waiting


def _take(source: End, size: int, position: int | None = None, flags: int = 0) -> bytes:
    """Read up to *size* bytes; empty at the end of the file."""
    fd, kind = source
    if position is None and kind in (stat.S_IFSOCK, stat.S_IFIFO):
        if flags & ~os.RWF_NOWAIT:
            raise Leave
        if kind == stat.S_IFSOCK:
            return message.recv_message(fd, size, 0, MSG_DONTWAIT)[0]
        # Through a pipe of ours: RWF_NOWAIT works for pipe(2), but not for a FIFO with a name.
        with _own_pipe() as (out, into):
            done = os.splice(fd, into, size, flags=os.SPLICE_F_NONBLOCK)
            return os.read(out, done) if done else b""
    if kind == stat.S_IFREG and not _is_ready(fd, select.POLLIN):
        raise _not_ready()  # a few files of /proc wait
    buffer = bytearray(size)
    done = _at_once(kind, flags, lambda f: os.preadv(fd, [buffer], _at(position), f))
    return bytes(buffer[:done])


def _put(sink: End, data: bytes, position: int | None = None, flags: int = 0) -> int:
    """Write some of *data*; how many bytes."""
    fd, kind = sink
    if kind == stat.S_IFSOCK and position is None:
        if flags & ~(os.RWF_NOWAIT | _RWF_NOSIGNAL):
            raise Leave
        return message.send_message(fd, data, b"", b"", MSG_DONTWAIT | MSG_NOSIGNAL)
    if kind == stat.S_IFIFO and position is None:
        data = data[: select.PIPE_BUF]
        try:
            return os.pwritev(fd, [data], -1, flags | os.RWF_NOWAIT)
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
        # A FIFO with a name: where there is room for any byte there is room for PIPE_BUF of them.
        if not _is_ready(fd, select.POLLOUT):
            raise _not_ready()
        return os.pwritev(fd, [data], -1, flags & ~os.RWF_NOWAIT)
    return _at_once(kind, flags, lambda f: os.pwritev(fd, [data], _at(position), f))


def _at(position: int | None) -> int:
    return -1 if position is None else position  # -1: the file's own, preadv2(2)


def _at_once(kind: int, flags: int, act: Callable[[int], int]) -> int:
    """A device is used only if it promises not to wait; a file waits for its disk at the most."""
    if kind != stat.S_IFCHR:
        return act(flags)
    try:
        return act(flags | os.RWF_NOWAIT)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            raise Leave from None
        raise


def _carry(source: End, sink: End, size: int, position: int | None) -> int:
    """Copy when one end is a socket: look, hand on, and only then take away what was accepted.

    Not splice(2) itself: on a socket it may wait in spite of SPLICE_F_NONBLOCK.
    """
    if source.kind == stat.S_IFSOCK:
        data = message.recv_message(source.fd, size, 0, MSG_PEEK | MSG_DONTWAIT)[0]
    else:
        data = _peek(source, size, position)
    if not data:
        return 0
    done = _put(sink, data)
    if source.kind != stat.S_IFREG:
        _take(source, done)
    elif position is None:
        os.lseek(source.fd, done, os.SEEK_CUR)
    return done


def _peek(source: End, size: int, position: int | None) -> bytes:
    with _own_pipe() as (out, into):
        if source.kind == stat.S_IFIFO:
            done = message.tee(source.fd, into, size, os.SPLICE_F_NONBLOCK)
        else:
            # Not a plain read: some files cannot be spliced, and the kernel says so with EINVAL.
            start = os.lseek(source.fd, 0, os.SEEK_CUR) if position is None else position
            done = os.splice(source.fd, into, size, start, flags=os.SPLICE_F_NONBLOCK)
        return os.read(out, done) if done else b""


# The calls


def _signed(word: int) -> int:
    return word - (1 << 64) if word >> 63 else word


def _where(caller: Caller, name: str, args: Args) -> tuple[list[Span], int | None, int]:
    """Memory, position and flags of a call named read or write, with p before, v or v2 after."""
    spans = caller.vector(args[1], args[2]) if "v" in name else [(args[1], args[2])]
    position = _signed(args[3]) if name.startswith("p") else None
    flags = args[5] & 0xFFFFFFFF if name.endswith("v2") else 0
    if name.endswith("v2") and position == -1:
        position = None
    if position is not None and position < 0:
        raise Leave
    caller.nonblocking |= bool(flags & os.RWF_NOWAIT)
    caller.quiet = bool(flags & _RWF_NOSIGNAL)
    return caller.wanted(spans), position, flags


def _read(caller: Caller, name: str, args: Args) -> int:
    source = caller.end(args[0], writing=False)
    spans, position, flags = _where(caller, name, args)
    size = len(caller.look(spans, "w"))
    return caller.fill(_take(source, size, position, flags), spans)


def _write(caller: Caller, name: str, args: Args) -> int:
    sink = caller.end(args[0], writing=True)
    spans, position, flags = _where(caller, name, args)
    return _put(sink, caller.look(spans, "r"), position, flags)


def _recvfrom(caller: Caller, _name: str, args: Args) -> int:
    source = caller.socket(args[0], writing=False)
    flags = caller.message_flags(args[3], _RECEIVE_FLAGS)
    spans = caller.wanted([(args[1], args[2])])
    room = 0
    if args[4]:
        caller.require(args[5], 4)
        room = _name_room(caller, args[4], struct.unpack("=i", caller.memory.read(args[5], 4))[0])
    size = len(caller.look(spans, "w"))
    data, _, _, address = message.recv_message(source, size, 0, flags & ~MSG_WAITALL | MSG_DONTWAIT)
    if args[4]:
        caller.memory.write(args[4], address[:room])
        caller.memory.write(args[5], struct.pack("=i", len(address)))
    return caller.fill(data, spans)


def _name_room(caller: Caller, address: int, length: int) -> int:
    if length < 0:
        raise Leave
    room = min(length, message.SOCKADDR_STORAGE_SIZE)
    caller.require(address, room)
    return room


def _recvmsg(caller: Caller, _name: str, args: Args) -> int:
    source = caller.socket(args[0], writing=False)
    flags = caller.message_flags(args[2], _RECEIVE_FLAGS)
    header = _header(caller, args[1])
    spans = caller.wanted(caller.vector(header.msg_iov, header.msg_iovlen))
    caller.require(args[1], len(bytes(header)))
    name_room = _name_room(caller, header.msg_name, header.msg_namelen) if header.msg_name else 0
    room = min(header.msg_controllen, _CONTROL_MAX)
    if room:
        caller.require(header.msg_control, room)
    size = len(caller.look(spans, "w"))
    if room:
        _leave_other_control(source, room)
    data, control, told, address = message.recv_message(
        source, size, room, flags & ~MSG_WAITALL | MSG_DONTWAIT | MSG_CMSG_CLOEXEC
    )
    handed, cut = _hand_over(caller, control, bool(flags & MSG_CMSG_CLOEXEC))
    told = told & ~MSG_CMSG_CLOEXEC | flags & MSG_CMSG_CLOEXEC | (MSG_CTRUNC if cut else 0)
    used = min(len(handed) + -len(handed) % 8, room)

    def set_field(field: int, value: bytes) -> None:
        caller.memory.write(args[1] + field, value)

    if header.msg_name:
        caller.memory.write(header.msg_name, address[:name_room])
        set_field(msghdr.msg_namelen.offset, struct.pack("=i", len(address)))
    if handed:
        caller.memory.write(header.msg_control, handed)
    set_field(msghdr.msg_controllen.offset, struct.pack("=Q", used))
    set_field(msghdr.msg_flags.offset, struct.pack("=I", told))
    return caller.fill(data, spans)


def _header(caller: Caller, address: int) -> msghdr:
    header = msghdr.from_buffer_copy(caller.memory.read(address, 56))
    if header.msg_namelen < 0 or bool(header.msg_controllen) > bool(header.msg_control):
        raise Leave
    return header


def _leave_other_control(source: int, room: int) -> None:
    """Leave the call when the next bytes come with more than descriptors."""
    control = message.recv_message(source, 1, room, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC)[1]
    message.close_received(control)
    if any((level, kind) != _RIGHTS for level, kind, _ in message.parse_control(control)):
        raise Leave


def _hand_over(caller: Caller, control: bytes, cloexec: bool) -> tuple[bytes, bool]:
    """Give the caller the descriptors that we received.

    Returns the control data with its numbers, and whether some were lost: as in the kernel, the
    first that does not go in is the last that is tried.
    """
    handed = []
    cut = False
    try:
        for level, kind, data in message.parse_control(control):
            numbers = b""
            if (level, kind) == _RIGHTS:
                try:
                    for (fd,) in struct.iter_unpack("=i", data):
                        numbers += struct.pack("=i", caller.give(fd, cloexec))
                except OSError:
                    pass
            cut |= len(numbers) < len(data)
            if numbers:
                handed.append(ControlMessage(level, kind, numbers))
    finally:
        message.close_received(control)
    return message.build_control(handed), cut


def _sendto(caller: Caller, _name: str, args: Args) -> int:
    sink = caller.socket(args[0], writing=True)
    flags = caller.message_flags(args[3], _SEND_FLAGS)
    spans = caller.wanted([(args[1], args[2])])
    length = args[5] & 0xFFFFFFFF
    if args[4] and length > message.SOCKADDR_STORAGE_SIZE:
        raise Leave
    address = caller.memory.read(args[4], length) if args[4] else b""
    return _send(caller, sink, spans, b"", address, flags)


def _sendmsg(caller: Caller, _name: str, args: Args) -> int:
    sink = caller.socket(args[0], writing=True)
    flags = caller.message_flags(args[2], _SEND_FLAGS)
    header = _header(caller, args[1])
    spans = caller.wanted(caller.vector(header.msg_iov, header.msg_iovlen))
    length = min(header.msg_namelen, message.SOCKADDR_STORAGE_SIZE) if header.msg_name else 0
    address = caller.memory.read(header.msg_name, length) if length else b""
    if header.msg_controllen > _CONTROL_MAX:
        raise Leave
    control = b""
    if header.msg_controllen:
        control = caller.memory.read(header.msg_control, header.msg_controllen)
    return _send(caller, sink, spans, _ours(caller, control), address, flags)


def _send(
    caller: Caller, sink: int, spans: list[Span], control: bytes, address: bytes, flags: int
) -> int:
    data = caller.look(spans, "r")
    flags |= MSG_DONTWAIT | MSG_NOSIGNAL
    return message.send_message(sink, data, control, address, flags)


def _ours(caller: Caller, control: bytes) -> bytes:
    """Control data that passes the caller's descriptors, with the numbers of our duplicates."""
    messages = []
    try:
        for level, kind, data in message.parse_control(control):
            if (level, kind) != _RIGHTS or len(data) % 4 or len(data) > 4 * message.SCM_MAX_FD:
                raise Leave
            numbers = [caller.duplicate(number)[0] for (number,) in struct.iter_unpack("=I", data)]
            messages.append(ControlMessage(level, kind, struct.pack(f"={len(numbers)}i", *numbers)))
    except ValueError:
        raise Leave from None
    return message.build_control(messages)


def _sendfile(caller: Caller, _name: str, args: Args) -> int:
    sink = caller.end(args[0], writing=True)
    source = caller.end(args[1], writing=False)
    size = caller.size(args[3])
    position = caller.offset(args[2])
    if source.kind != stat.S_IFREG:
        raise Leave
    if sink.kind == stat.S_IFSOCK:
        done = _carry(source, sink, size, position)
    elif sink.kind == stat.S_IFIFO:
        done = os.splice(source.fd, sink.fd, size, position, flags=os.SPLICE_F_NONBLOCK)
    elif sink.kind == stat.S_IFREG:
        done = os.sendfile(sink.fd, source.fd, position, size)
    else:
        raise Leave
    caller.advance(args[2], position, done)
    return done


def _splice(caller: Caller, _name: str, args: Args) -> int:
    source = caller.end(args[0], writing=False)
    sink = caller.end(args[2], writing=True)
    size = caller.size(args[4])
    flags = args[5] & 0xFFFFFFFF
    start, end = caller.offset(args[1]), caller.offset(args[3])
    kinds = (source.kind, sink.kind)
    if flags & ~_SPLICE_FLAGS or stat.S_IFIFO not in kinds or stat.S_IFCHR in kinds:
        raise Leave
    caller.nonblocking |= bool(flags & os.SPLICE_F_NONBLOCK)
    if stat.S_IFSOCK in kinds:
        if start is not None or end is not None:
            raise Leave
        done = _carry(source, sink, size, None)
    else:
        flags |= os.SPLICE_F_NONBLOCK
        done = os.splice(source.fd, sink.fd, size, start, end, flags)
    caller.advance(args[1], start, done)
    caller.advance(args[3], end, done)
    return done


def _copy_file_range(caller: Caller, _name: str, args: Args) -> int:
    source = caller.end(args[0], writing=False)
    sink = caller.end(args[2], writing=True)
    size = caller.size(args[4])
    start, end = caller.offset(args[1]), caller.offset(args[3])
    if args[5] & 0xFFFFFFFF or {source.kind, sink.kind} != {stat.S_IFREG}:
        raise Leave
    done = os.copy_file_range(source.fd, sink.fd, size, start, end)
    caller.advance(args[1], start, done)
    caller.advance(args[3], end, done)
    return done


_CALLS: dict[str, Callable[[Caller, str, Args], int]] = {
    **dict.fromkeys(("read", "pread64", "readv", "preadv", "preadv2"), _read),
    **dict.fromkeys(("write", "pwrite64", "writev", "pwritev", "pwritev2"), _write),
    "recvfrom": _recvfrom,
    "recvmsg": _recvmsg,
    "sendto": _sendto,
    "sendmsg": _sendmsg,
    "sendfile": _sendfile,
    "splice": _splice,
    "copy_file_range": _copy_file_range,
}


def shorten(
    call: Call,
    args: Args,
    count: int,
    *,
    memory: Memory,
    tgid: int,
    give: Callable[[int, bool], int],
) -> Transfer:
    """Do at most *count* bytes of *call*, which a task of process *tgid* is parked with.

    *args* are its six arguments as unsigned 64-bit words. `give(fd, cloexec)` puts a copy of our
    descriptor into the caller and returns its number there.
    """
    caller = Caller(memory, tgid, give, count)
    try:
        return Transfer("answer", _CALLS[call.name](caller, call.name, args))
    except Leave:
        return Transfer("continue")
    except OSError as error:
        if error.errno != errno.EAGAIN or caller.nonblocking:
            broken = error.errno == errno.EPIPE and not caller.quiet
            return Transfer("fail", error.errno or errno.EIO, broken)
        return Transfer("continue" if caller.waits_with_a_limit() else "wait")
    finally:
        caller.close()


#: Which arguments are descriptors, and what each has to be ready for, where there are two.
_ENDS: dict[str, tuple[tuple[int, int], ...]] = {
    "sendfile": ((0, select.POLLOUT),),  # the other is a file
    "splice": ((0, select.POLLIN), (2, select.POLLOUT)),
}


def is_ready(call: Call, args: Args, *, tgid: int) -> bool:
    """Whether a transfer that had to wait is worth another attempt; also when that will fail."""
    default = ((0, select.POLLIN if call.short == "in" else select.POLLOUT),)
    try:
        pidfd = process.open_pidfd(tgid)
    except OSError:
        return True
    try:
        return all(
            _ready_end(pidfd, args[n], events) for n, events in _ENDS.get(call.name, default)
        )
    finally:
        os.close(pidfd)


def _ready_end(pidfd: int, number: int, events: int) -> bool:
    try:
        fd = process.get_fd(pidfd, number & 0xFFFFFFFF)
    except OSError:
        return True
    try:
        return _is_ready(fd, events)
    finally:
        os.close(fd)
