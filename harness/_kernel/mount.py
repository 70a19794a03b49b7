"""Mounting, one thin wrapper a call. Source: mount(2), mount_setattr(2), pivot_root(2),
umount2(2)."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence

from .libc import kernel_call, syscall
from .uapi import (
    AT_FDCWD,
    AT_RECURSIVE,
    MNT_DETACH,
    MOUNT_ATTR_RDONLY,
    MS_BIND,
    MS_PRIVATE,
    MS_REC,
    SYS_mount,
    SYS_mount_setattr,
    SYS_pivot_root,
    SYS_umount2,
    mount_attr,
)


@kernel_call
def mount(
    source: str, target: str, kind: str | None = None, flags: int = 0, options: str | None = None
) -> None:
    """mount(2). Raises `OSError` with the target's path."""
    try:
        syscall(
            SYS_mount,
            os.fsencode(source),
            os.fsencode(target),
            kind.encode() if kind else None,
            flags,
            os.fsencode(options) if options else None,
        )
    except OSError as error:
        raise OSError(error.errno, f"mount {kind or 'bind'}: {error.strerror}", target) from None


@kernel_call
def make_private() -> None:
    """Nothing mounted from here on is seen by the host, nor the other way."""
    mount("none", "/", None, MS_REC | MS_PRIVATE)


@kernel_call
def bind(source: str, target: str, *, read_only: bool) -> None:
    """Show *source* and all mounted below it at *target*."""
    mount(source, target, None, MS_BIND | MS_REC)
    if read_only:
        make_read_only(target, recursive=True)


@kernel_call
def make_read_only(target: str, *, recursive: bool) -> None:
    """Nothing can be written any more through the mount at *target*, nor, if *recursive*, through
    those below it."""
    attributes = mount_attr(attr_set=MOUNT_ATTR_RDONLY)
    syscall(
        SYS_mount_setattr,
        AT_FDCWD,
        os.fsencode(target),
        AT_RECURSIVE if recursive else 0,
        attributes,
        ctypes.sizeof(attributes),
    )


@kernel_call
def overlay(lowers: Sequence[str], target: str, upper: str = "", work: str = "") -> None:
    """*lowers*, the first above the others, seen at *target*, with every change kept in *upper*.
    Source: the kernel's overlayfs.rst.

    Without *upper* nothing can be changed; then there must be two of *lowers*. `userxattr`: a user
    namespace may not write trusted attributes. Error: EINVAL when one of *lowers* holds other
    mounts.
    """
    for path in (*lowers, upper, work):
        if any(c in path for c in ",:\\"):
            raise OSError(22, "overlay: a path with a comma, colon or backslash", path)
    options = f"userxattr,lowerdir={':'.join(lowers)}"
    if upper:
        options += f",upperdir={upper},workdir={work}"
    mount("overlay", target, "overlay", 0, options)


@kernel_call
def unmount(target: str) -> None:
    """Take away what is mounted at *target*; who still uses it keeps it."""
    syscall(SYS_umount2, os.fsencode(target), MNT_DETACH)


@kernel_call
def make_root(new_root: str) -> None:
    """Make the mount *new_root* the root of this mount namespace, and let go of the old one."""
    os.chdir(new_root)
    syscall(SYS_pivot_root, b".", b".")
    syscall(SYS_umount2, b".", MNT_DETACH)
    os.chdir("/")
