"""Where sockets and locks are: private to the user, on this machine."""

from __future__ import annotations

import errno
import os
import pwd
import stat

from reference.prefork_interpreter.names import Names, close_descriptor

USER_DIRECTORIES = "/var/run/user"
NAME = "prefork-interp"
#: How many servers' names are kept; the least recently called go first.
ENTRIES_MAX = 100
_NODE_MAX = 32

_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM})


class RunDirectoryError(Exception):
    """There is no directory that could be used; its text says why."""


def find(uid: int, user_directories: str = USER_DIRECTORIES) -> tuple[str, str]:
    """The path, and a warning, or nothing, when it is not the usual one."""
    own = f"{user_directories}/{uid}"
    try:
        about = os.lstat(own)
    except OSError as error:
        if error.errno not in _NOT_THERE:
            raise RunDirectoryError(f"cannot look at {own}: {error.strerror}") from None
        return home_directory(uid), ""
    why = unfit(about, uid)
    if why:
        return home_directory(uid), f"{own} {why}, falling back to ~"
    return f"{own}/{NAME}", ""


def unfit(about: os.stat_result, uid: int) -> str:
    """Why no socket may be there; nothing when it may."""
    if not stat.S_ISDIR(about.st_mode):
        return "is not a directory"
    if about.st_uid != uid:
        return f"is not owned by uid {uid}"
    if about.st_mode & 0o077:
        return f"is open to group or others (mode {stat.S_IMODE(about.st_mode):04o})"
    return ""


def home_directory(uid: int) -> str:
    """`~/.prefork-interp/HOST`: a home may be shared by machines."""
    try:
        # Not HOME: it may be anyone's.
        home = pwd.getpwuid(uid).pw_dir
    except KeyError:
        raise RunDirectoryError(f"there is no user {uid}, who would have a home") from None
    node = os.uname().nodename.partition(".")[0][:_NODE_MAX]
    return f"{home}/.{NAME}/{node}"


def make(path: str, uid: int) -> None:
    """Make *path*, if it is not there. RunDirectoryError when it cannot be, or must not be used."""
    try:
        try:
            os.mkdir(path, 0o700)
        except FileNotFoundError:
            try:
                os.mkdir(os.path.dirname(path), 0o700)
            except FileExistsError:
                pass  # another call has just made it
            os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    except OSError as error:
        fix = ""
        if error.errno in _NOT_THERE:
            fix = (
                f"; fix: a home that you may write, or {USER_DIRECTORIES}/{uid} of your own (0700)"
            )
        raise RunDirectoryError(f"cannot make {path}: {error.strerror}{fix}") from None
    try:
        why = unfit(os.lstat(path), uid)
    except OSError as error:
        why = f"cannot be looked at: {error.strerror}"
    if why:
        raise RunDirectoryError(f"{path} {why}; remove it")


def clean(path: str, entries_max: int = ENTRIES_MAX) -> None:
    """Remove the names of all but the *entries_max* servers that were called last.

    One whose lock is held is left. What cannot be removed stays; so OSError is not raised.
    """
    try:
        idents = {name[1:] for name in os.listdir(path) if name[:1] in ("l", "s")}
    except OSError:
        return
    if len(idents) <= entries_max:
        return
    ages = sorted((_called_ns(path, ident), ident) for ident in idents)
    for called_ns, ident in ages[: len(idents) - entries_max]:
        names = Names.of(path, ident)
        try:
            lock = names.take(waits=False)
            if lock is None:
                continue
            try:
                if _called_ns(path, ident) == called_ns:
                    names.remove()
            finally:
                close_descriptor(lock)
        except OSError:
            continue


def _called_ns(path: str, ident: str) -> int:
    """When the server was last called: connect(2) is an access. A lock alone is of no use."""
    try:
        return os.lstat(Names.of(path, ident).socket).st_atime_ns
    except OSError:
        return 0
