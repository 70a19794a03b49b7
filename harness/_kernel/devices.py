"""The /dev and /proc of a view: what reaches the host's hardware, terminals or kernel is not in
them.

A read-only mount keeps nobody from writing a disk through its device, and the kernel's settings
below /proc/sys ask only whether the writer is user 0: that is root's when root runs the harness.
"""

from __future__ import annotations

import os

from . import mount, namespaces
from .uapi import MS_NODEV, MS_NOEXEC, MS_NOSUID

_PROCESSES_MAX = 2000  # at once
#: Devices that hold nothing. fuse and net/tun give whoever opens them something of their own.
_HARMLESS = ("null", "zero", "full", "random", "urandom", "tty", "fuse", "net/tun")
_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
#: What is the machine's below /proc, and not the trial's. The network's settings are the trial's.
_MACHINE = ("acpi", "bus", "driver", "fs", "irq", "mtrr", "scsi", "sys", "sysrq-trigger", "tty")
_OWN = "sys/net"
#: In /dev, out of everybody's way: a whole /proc, without which nobody can mount one in a sandbox
#: within. Source: mount_too_revealing in the kernel's fs/namespace.c.
_WHOLE_PROC = ".proc"


def show_devices(target: str) -> None:
    """Mount a /dev at *target*: harmless devices, terminals of its own, an empty shm."""
    mount.mount("dev", target, "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755")
    for name in _HARMLESS:
        source, shown = f"/dev/{name}", f"{target}/{name}"
        if os.path.exists(source):
            os.makedirs(os.path.dirname(shown), exist_ok=True)
            os.close(os.open(shown, os.O_CREAT | os.O_CLOEXEC, 0o666))
            mount.bind(source, shown, read_only=False)
    for name, there in _LINKS.items():
        os.symlink(there, f"{target}/{name}")
    for name in "pts", "shm", _WHOLE_PROC:
        os.mkdir(f"{target}/{name}")
    options = "newinstance,ptmxmode=0666,mode=0620"
    mount.mount("devpts", f"{target}/pts", "devpts", MS_NOSUID | MS_NOEXEC, options)
    mount.make_read_only(target, recursive=False)


def is_shown(path: str) -> bool:
    """Whether the host's *path* in /dev is in the view's too."""
    return path.removeprefix("/dev/") in _HARMLESS


def show_processes(target: str, devices: str) -> None:
    """Mount a /proc at *target*, after the /dev at *devices*. For root, what is the machine's in it
    is read-only; for anyone else it is so by its permissions."""
    mount.mount("proc", target, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    try:
        namespaces.limit_processes(_PROCESSES_MAX, target)
    except OSError:
        pass  # then a fork bomb in free mode is the machine's, until the trial's deadline
    if not _is_real_root():
        return
    whole = f"{devices}/{_WHOLE_PROC}"
    mount.mount("proc", whole, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    own = os.open(f"{target}/{_OWN}", os.O_PATH | os.O_CLOEXEC)
    for name in _MACHINE:
        path = f"{target}/{name}"
        if os.path.exists(path):
            mount.bind(path, path, read_only=True)
    mount.bind(f"/proc/self/fd/{own}", f"{target}/{_OWN}", read_only=False)
    os.close(own)


def _is_real_root() -> bool:
    """Whether user 0 in here is user 0 outside. Source: user_namespaces(7)."""
    with open("/proc/self/uid_map") as file:
        return any(line.split()[:2] == ["0", "0"] for line in file)
