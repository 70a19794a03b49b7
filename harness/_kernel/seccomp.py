"""The seccomp filter with its listener, and the supervisor's side of it. Source: seccomp(2),
seccomp_unotify(2)."""

from __future__ import annotations

import ctypes
import os
import struct
from fcntl import ioctl

from .libc import kernel_call, syscall
from .uapi import (
    SECCOMP_ADDFD_FLAG_SEND,
    SECCOMP_ADDFD_FLAG_SETFD,
    SECCOMP_FILTER_FLAG_NEW_LISTENER,
    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
    SECCOMP_GET_ACTION_AVAIL,
    SECCOMP_GET_NOTIF_SIZES,
    SECCOMP_IOCTL_NOTIF_ADDFD,
    SECCOMP_IOCTL_NOTIF_ID_VALID,
    SECCOMP_IOCTL_NOTIF_RECV,
    SECCOMP_IOCTL_NOTIF_SEND,
    SECCOMP_IOCTL_NOTIF_SET_FLAGS,
    SECCOMP_NOTIF,
    SECCOMP_NOTIF_ADDFD,
    SECCOMP_NOTIF_RESP,
    SECCOMP_RET_USER_NOTIF,
    SECCOMP_SET_MODE_FILTER,
    SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP,
    SECCOMP_USER_NOTIF_FLAG_CONTINUE,
    SYS_seccomp,
    sock_fprog,
)

#: id, pid, flags, nr, arch, instruction_pointer, args[0..5] of struct seccomp_notif
Notification = tuple[int, int, int, int, int, int, int, int, int, int, int, int]
#: Where the call's arguments start in one.
ARGS = 6

_EMPTY = bytes(SECCOMP_NOTIF.size)


@kernel_call
def install(program: bytes) -> int:
    """Install *program* on this thread and return the listener (close-on-exec).

    WAIT_KILLABLE_RECV, so that a call already received sees only fatal signals: without it every
    SIGCHLD aborts the notification and the call restarts. Errors: EINVAL (kernel before 5.19),
    EBUSY (a listener exists above us), EACCES (neither CAP_SYS_ADMIN in this user namespace nor
    no_new_privs), EPERM (a container's profile forbids it).
    """
    fprog = sock_fprog(len(program) // 8, program)
    flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, fprog)


@kernel_call
def check_user_notification() -> None:
    """Raise `OSError` where the kernel has no user notification or other structure sizes than
    ours."""
    action = ctypes.create_string_buffer(struct.pack("=I", SECCOMP_RET_USER_NOTIF), 4)
    syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, action)
    sizes = ctypes.create_string_buffer(6)
    syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, sizes)
    notif, resp, _data = struct.unpack("=HHH", sizes.raw)
    if (notif, resp) != (SECCOMP_NOTIF.size, SECCOMP_NOTIF_RESP.size):
        raise OSError(22, f"struct seccomp_notif has {notif} bytes here, not {SECCOMP_NOTIF.size}")


class Listener:
    """The supervisor's end: receives calls and answers them. Owns its descriptor.

    Any method may raise `OSError` ENOENT: the task died in between; that is normal.
    """

    __slots__ = ("_notif", "_resp", "fd")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._notif = bytearray(SECCOMP_NOTIF.size)
        self._resp = bytearray(SECCOMP_NOTIF_RESP.size)

    @kernel_call
    def wake_synchronously(self) -> bool:
        """SYNC_WAKE_UP, which makes a notification six times cheaper; False before Linux 6.6."""
        try:
            ioctl(self.fd, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP)
        except OSError:
            return False
        return True

    @kernel_call
    def receive(self) -> Notification:
        """The next waiting call; blocks while there is none, so poll for POLLIN first."""
        notif = self._notif
        notif[:] = _EMPTY  # the kernel refuses a buffer that is not zero
        ioctl(self.fd, SECCOMP_IOCTL_NOTIF_RECV, notif)
        return SECCOMP_NOTIF.unpack(notif)

    @kernel_call
    def proceed(self, ident: int) -> None:
        """Let the kernel carry the call out."""
        resp = self._resp
        SECCOMP_NOTIF_RESP.pack_into(resp, 0, ident, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE)
        ioctl(self.fd, SECCOMP_IOCTL_NOTIF_SEND, resp)

    @kernel_call
    def answer(self, ident: int, value: int, error: int = 0) -> None:
        """The call is not carried out and returns *value*, or fails with *error* (positive;
        ERESTART* restart it)."""
        resp = self._resp
        SECCOMP_NOTIF_RESP.pack_into(resp, 0, ident, value, -error, 0)
        ioctl(self.fd, SECCOMP_IOCTL_NOTIF_SEND, resp)

    @kernel_call
    def is_alive(self, ident: int) -> bool:
        """Whether the caller still waits: to be asked after reading its memory and before acting on
        what was read."""
        try:
            ioctl(self.fd, SECCOMP_IOCTL_NOTIF_ID_VALID, struct.pack("=Q", ident))
        except FileNotFoundError:
            return False
        return True

    @kernel_call
    def add_fd(
        self,
        ident: int,
        fd: int,
        *,
        at: int | None = None,
        cloexec: bool = False,
        send: bool = False,
    ) -> int:
        """Give the caller a copy of *fd*, at number *at* if given (closing what was there); return
        its number there.

        With *send* (Linux 5.14) the call returns that number at once.
        """
        flags = (SECCOMP_ADDFD_FLAG_SETFD if at is not None else 0) | (
            SECCOMP_ADDFD_FLAG_SEND if send else 0
        )
        request = bytearray(
            SECCOMP_NOTIF_ADDFD.pack(ident, flags, fd, at or 0, os.O_CLOEXEC if cloexec else 0)
        )
        return int(ioctl(self.fd, SECCOMP_IOCTL_NOTIF_ADDFD, request))

    def close(self) -> None:
        """Give up the listener: every call still trapped answers ENOSYS, so the tasks should be
        dead by now."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
