"""Which calls share a server: those with the same identity.

It is drawn as prefork-interp(1) draws it, to the byte, so that both launchers find each other's
servers.
"""

from __future__ import annotations

import hashlib
import os
import struct

from reference.prefork_interpreter.arguments import Arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: The bytes of a field of struct utsname (uname(2)).
_FIELD = 65
#: The most bytes of a socket's path (unix(7)), and what is kept free of them.
_PATH_MAX = 108
_SPARE = 12
#: A name with fewer digits is not told apart from others well enough.
_DIGITS_MIN = 33


class IdentityError(Exception):
    """There is no room for a name; its text says so."""


def machine() -> bytes:
    """struct utsname, as uname(2) fills it."""
    names = list(os.uname())
    try:
        with open("/proc/sys/kernel/domainname", encoding="utf-8") as file:
            names.append(file.read().rstrip("\n"))
    except OSError:
        names.append("(none)")
    return b"".join(name.encode().ljust(_FIELD, b"\0") for name in names)


def directory(path: str) -> bytes:
    """Device and inode of *path*. OSError as stat(2)."""
    about = os.stat(path)
    return b"%s%si%s" % (path.encode()[:1], _word(about.st_dev), _word(about.st_ino))


def digest(
    arguments: Arguments,
    variables: Mapping[bytes, bytes],
    *,
    machine: bytes,
    directories: Iterable[bytes],
) -> str:
    """The identity in hexadecimal digits (SHA-256)."""
    drawn = hashlib.sha256(b"\1u%su%s" % (_word(len(machine)), machine))
    for one in directories:
        drawn.update(one)
    for letter, value in arguments.items:
        drawn.update(letter + value + b"\0")
        if letter == b"E":
            given = variables.get(value)
            drawn.update(b"\0" if given is None else b"v" + given + b"\0")
    drawn.update(b"i" + arguments.interpreter + b"\0")
    if arguments.script is not None:
        drawn.update(b"s" + arguments.script + b"\0")
    return drawn.hexdigest()


def name(arguments: Arguments, variables: Mapping[bytes, bytes], run_directory: str) -> str:
    """The name of the server in *run_directory*, as long as the path of a socket allows.

    IdentityError when that is too short, or the name that was given is too long or has a `/`.
    """
    room = _PATH_MAX - len(os.fsencode(run_directory)) - _SPARE
    if arguments.ident is not None:
        ident = os.fsdecode(arguments.ident)
        if len(arguments.ident) > room:
            raise IdentityError(
                f"base directory {run_directory} plus ident {ident} is too long for a socket"
                f" (at most {max(room, 0)} bytes of ident)"
            )
        if "/" in ident:
            raise IdentityError(f"the ident {ident} has a '/'")
        return ident
    if room < _DIGITS_MIN:
        raise IdentityError(
            f"base directory {run_directory} leaves only {room} characters for the socket's name,"
            f" which is too little (< {_DIGITS_MIN})"
        )
    directories = (directory("."), directory("/"))
    return digest(arguments, variables, machine=machine(), directories=directories)[:room]


def _word(number: int) -> bytes:
    return struct.pack("=Q", number)
