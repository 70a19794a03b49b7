"""What a parked call touches, as far as the supervisor can see: by the descriptors and the names
that it is given.

Rather too much than too little is said to be touched: whoever draws an order by it then draws a
little more often than needed. All sockets count as one thing, since which two belong together is
not to be seen from one of them; so does what threads share in memory, which is only known to be
waited for by futex(2).
"""

from __future__ import annotations

import os

from .._kernel.seccomp import ARGS, Notification
from ..calls import BY_NR, NR, Call, numbers
from .decisions import Footprint
from .decode import PATHS, read_paths
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
#: Where the flags stand in those calls that may only look.
_OPENS = {NR["open"]: 1, NR["openat"]: 2}
_FUTEX = numbers("futex futex_waitv futex_wake futex_wait futex_requeue")
_NOTHING = Footprint(looks=True)
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
    try:
        things = _descriptors(task, call, notif) | _names(task, notif, looks=looks)
    except OSError:
        return _UNKNOWN  # it is gone: whatever it was about to do, it does not do
    if things:
        return Footprint(frozenset(things), looks)
    return Footprint(frozenset({"processes"})) if "process" in call.families else _NOTHING


def _descriptors(task: Task, call: Call, notif: Notification) -> set[str]:
    found = set()
    for index, letter in enumerate(call.args):
        fd = notif[ARGS + index] & 0xFFFFFFFF
        if letter == "f" and fd != _AT_FDCWD & 0xFFFFFFFF:
            found.add(_thing(f"/proc/{task.tid}/fd/{fd}"))
    return found - {""}


def _thing(link: str) -> str:
    """The thing behind a descriptor; empty when there is none."""
    try:
        text = os.readlink(link)
        if text.startswith("socket:"):
            return "socket"
        if text.startswith("pipe:"):
            return text
        status = os.stat(link)
    except FileNotFoundError:
        return ""
    return f"{status.st_dev}:{status.st_ino}"


def _names(task: Task, notif: Notification, *, looks: bool) -> set[str]:
    """The file that each path leads to, and the name itself, which may not lead anywhere yet; of a
    call that may change what names there are, the directory too."""
    nr = notif[3]
    found = set[str]()
    if nr not in PATHS:
        return found
    for path in read_paths(notif, task.memory()):
        if path is None:
            continue
        text = os.fsdecode(path)
        # Relative to a directory that is open it may be another name; the file is found by it all
        # the same, through the descriptor.
        base = "root" if text.startswith("/") else "cwd"
        full = f"/proc/{task.tid}/{base}/{text}"
        found.add(f"name:{os.path.basename(text.rstrip('/'))}")
        for place in [full] if looks else [full, os.path.dirname(full.rstrip("/"))]:
            try:
                status = os.stat(place)
            except OSError:
                continue
            found.add(f"{status.st_dev}:{status.st_ino}")
    return found
