"""What a parked call touches, as far as the supervisor can see: by the descriptors and the names
that it is given.

Rather too much than too little is said to be touched: whoever draws an order by it then draws a
little more often than needed. All sockets count as one thing, since which two belong together is
not to be seen from one of them; so does what threads share in memory, which is only known to be
waited for by futex(2). The numbers of descriptors are a thing of each process: a thread that opens
gets the one that another has closed.
"""

from __future__ import annotations

import contextlib
import os
import stat

from .._kernel.seccomp import ARGS, Notification
from ..calls import BY_NR, NR, Call, numbers
from .decisions import Footprint
from .decode import PATHS, read_pointed
from .tasks import Task

_O_CREAT_O_TRUNC = 0o100 | 0o1000
_AT_FDCWD = -100
#: They end a task, close what it holds, reach any other, or wait for several things at once.
_EVERYTHING = numbers(
    "exit exit_group execve execveat kill tkill tgkill rt_sigqueueinfo rt_tgsigqueueinfo "
    "pidfd_send_signal close_range poll ppoll select pselect6 epoll_wait epoll_pwait epoll_pwait2 "
    "unshare setns ptrace process_vm_readv process_vm_writev mount umount2 pivot_root chroot"
)
#: They change nothing that another call could notice.
_LOOKS = numbers(
    "access faccessat faccessat2 stat lstat fstat newfstatat statx statfs fstatfs readlink "
    "readlinkat getdents getdents64 pread64 preadv preadv2 getsockname getpeername getsockopt "
    "getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr getcwd"
)
#: They take a number of a descriptor, or give it back.
_NUMBERS = numbers(
    "open openat openat2 creat close dup dup2 dup3 pipe pipe2 socket socketpair accept accept4 "
    "epoll_create epoll_create1 eventfd eventfd2 signalfd signalfd4 timerfd_create inotify_init "
    "inotify_init1 memfd_create pidfd_open pidfd_getfd"
)
#: Where the flags stand in those calls that may only look.
_OPENS = {NR["open"]: 1, NR["openat"]: 2}
_FUTEX = numbers("futex futex_waitv futex_wake futex_wait futex_requeue")
_NOTHING = Footprint()
_UNKNOWN = Footprint(everything=True)


def touches(task: Task) -> Footprint:
    """What the call touches that *task* is parked with."""
    notif = task.call
    assert notif is not None
    nr = notif[3]
    call = BY_NR.get(nr)
    if call is None or nr in _EVERYTHING:
        return _UNKNOWN
    if nr in _FUTEX:
        return Footprint(frozenset({"memory"}))
    flags = _OPENS.get(nr)
    looks = nr in _LOOKS or (flags is not None and not notif[ARGS + flags] & _O_CREAT_O_TRUNC)
    found = _Found(looks)
    try:
        _descriptors(task, call, notif, found)
        _names(task, notif, found)
    except OSError:
        return _UNKNOWN  # it is gone: whatever it was about to do, it does not do
    if not (found.changed or found.looked) and "process" in call.families:
        found.changed.add("processes")
    if nr in _NUMBERS:
        found.changed.add(f"descriptors:{task.tgid}")
    return Footprint(frozenset(found.changed), frozenset(found.looked))


class _Found:
    """What a call is found to touch; *looks*: it changes nothing.

    Two who make names in one directory do not meet, but who lists it, or asks for it, meets both.
    So he is taken for the one who changes it, and they for those who look."""

    def __init__(self, looks: bool) -> None:
        self.looks = looks
        self.changed = set[str]()
        self.looked = set[str]()

    def thing(self, name: str) -> None:
        (self.looked if self.looks else self.changed).add(name)

    def file(self, status: os.stat_result) -> None:
        is_directory = stat.S_ISDIR(status.st_mode)
        (self.looked if self.looks and not is_directory else self.changed).add(_inode(status))

    def directory_of(self, status: os.stat_result) -> None:
        self.looked.add(_inode(status))


def _inode(status: os.stat_result) -> str:
    return f"{status.st_dev}:{status.st_ino}"


def _descriptors(task: Task, call: Call, notif: Notification, found: _Found) -> None:
    for index, letter in enumerate(call.args):
        fd = notif[ARGS + index] & 0xFFFFFFFF
        if letter == "f" and fd != _AT_FDCWD & 0xFFFFFFFF:
            with contextlib.suppress(FileNotFoundError):  # it is closed
                _descriptor(f"/proc/{task.tid}/fd/{fd}", found)


def _descriptor(link: str, found: _Found) -> None:
    text = os.readlink(link)
    if text.startswith("socket:"):
        found.thing("socket")
    elif text.startswith("pipe:"):
        found.thing(text)
    else:
        found.file(os.stat(link))


def _names(task: Task, notif: Notification, found: _Found) -> None:
    """The file that each path leads to, and the name itself, which may not lead anywhere yet; of a
    call that may change what names there are, the directory too."""
    if notif[3] not in PATHS:
        return
    for path in read_pointed(notif, task.memory()):
        if path is None:
            continue
        text = os.fsdecode(path)
        # Relative to a directory that is open it may be another name; the file is found by it all
        # the same, through the descriptor.
        base = "root" if text.startswith("/") else "cwd"
        full = f"/proc/{task.tid}/{base}/{text}"
        found.thing(f"name:{os.path.basename(text.rstrip('/'))}")
        with contextlib.suppress(OSError):
            found.file(os.stat(full))
        if not found.looks:
            with contextlib.suppress(OSError):
                found.directory_of(os.stat(os.path.dirname(full.rstrip("/"))))
