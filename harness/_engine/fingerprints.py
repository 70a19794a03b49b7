"""Taking the fingerprint of this machine: what it is, and the files on which a trial stood."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import re
import stat
import struct
import sys
from collections.abc import Iterable, Iterator

from .._kernel import view
from ..fingerprint import Fingerprint
from ..subject import TrialPlan
from ..trace import CONTINUED, Trace

_FILES_MAX = 24
_EXECUTES = frozenset({"execve", "execveat"})
_OPENS = frozenset({"open", "openat", "openat2"})
_LIBRARY = re.compile(r".+\.so(\.[0-9.]+)?")
_PT_INTERP = 3  # <elf.h>
_HEAD = 4096  # bytes of a program, in which its first line or its ELF headers lie


def fingerprint_of(plan: TrialPlan, trace: Trace) -> Fingerprint:
    """This machine, with the files on which the trial of *plan* stood, as *trace* has them."""
    paths = dict.fromkeys(_files(plan, trace))
    digests = {path: digest for path in paths if (digest := digest_of(path))}
    return machine_now([*digests.items()][:_FILES_MAX])


def machine_now(files: Iterable[tuple[str, str]] = ()) -> Fingerprint:
    """The fingerprint of this machine with *files*."""
    return Fingerprint(
        machine=platform.machine(),
        processor=_processor(),
        processors=os.cpu_count() or 1,
        as_root=os.geteuid() == 0,
        files=tuple(files),
    )


def program_path(plan: TrialPlan) -> str:
    """The host's file that the command names first, or that has the function; empty when there is
    none."""
    name = plan.function.file if plan.function else plan.command[0]
    search = plan.environment.get("PATH", "").split(":")
    places = (
        [os.path.join(plan.cwd, name)] if "/" in name else [os.path.join(d, name) for d in search]
    )
    return next((os.path.normpath(path) for path in places if os.path.isfile(path)), "")


@functools.cache
def _processor() -> str:
    """The model's name, empty where the machine does not tell. Source: proc_cpuinfo(5)."""
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                name, _, value = line.partition(":")
                if name.strip() == "model name":
                    return value.strip()
    except OSError:
        pass
    return ""


# ---- Which files ---------------------------------------------------------------------------------


def _files(plan: TrialPlan, trace: Trace) -> Iterator[str]:
    """The most telling first: programs, then what interprets them, then libraries."""
    programs = [*_programs(plan, trace)]
    interpreters = [path for program in programs for path in _interpreters(program)]
    yield from (path for path in (*programs, *interpreters) if path)
    if plan.workloads:
        yield os.path.realpath(sys.executable)
    yield from _named(plan, trace, _OPENS)
    if plan.workloads:
        yield from _mapped_here()


def _programs(plan: TrialPlan, trace: Trace) -> Iterator[str]:
    yield program_path(plan)
    yield from _named(plan, trace, _EXECUTES)


def _named(plan: TrialPlan, trace: Trace, calls: frozenset[str]) -> Iterator[str]:
    """The host's files that *calls* named: all that were executed, but only libraries of those
    that were opened."""
    seen = view.ViewPlan(plan.cwd, plan.home, plan.bind, plan.write)
    for event in trace.events:
        if event.call not in calls or event.action != CONTINUED:
            continue
        for argument in event.args:
            if not argument.startswith('"'):
                continue
            path = os.path.normpath(os.path.join(plan.cwd, json.loads(argument)))
            is_library = _LIBRARY.fullmatch(os.path.basename(path))
            if (calls is _EXECUTES or is_library) and not view.is_hidden(seen, path):
                yield path


def _interpreters(program: str) -> Iterator[str]:
    """What the kernel runs to run *program*: of a script the file that its first line names, and
    what that needs in turn; of an ELF program its loader. Source: execve(2), elf(5)."""
    for _ in range(4):  # as the kernel's own limit for scripts that name scripts
        try:
            with open(program, "rb") as file:
                head = file.read(_HEAD)
        except (OSError, ValueError):
            return
        if not head.startswith(b"#!"):
            break
        words = head[2:].partition(b"\n")[0].split()
        if not words:
            return
        program = os.fsdecode(words[0])
        yield program
    if (loader := _loader(head)) is not None:
        yield loader


def _loader(head: bytes) -> str | None:
    if not head.startswith(b"\x7fELF\x02") or len(head) < 64:
        return None
    (headers,) = struct.unpack_from("=Q", head, 32)
    size, count = struct.unpack_from("=HH", head, 54)
    for at in range(headers, headers + size * count, size or 1):
        if at + 40 > len(head):
            return None
        kind, _flags, offset, _virtual, _physical, length = struct.unpack_from("=IIQQQQ", head, at)
        if kind == _PT_INTERP:
            return os.fsdecode(head[offset : offset + length].rstrip(b"\0")) or None
    return None


def _mapped_here() -> Iterator[str]:
    """The C library and the loader of our own interpreter, with which functions run too."""
    try:
        with open("/proc/self/maps") as maps:
            paths = {line.split()[-1] for line in maps if " r-xp " in line and "/" in line}
    except OSError:
        return
    known = re.compile(r"(ld-linux|libc[.-]|libpython).*\.so.*")
    yield from sorted(path for path in paths if known.fullmatch(os.path.basename(path)))


# ---- Their digests -------------------------------------------------------------------------------


def digest_of(path: str) -> str:
    """SHA-256 of the host's regular file at *path*; empty when there is none that we may read."""
    try:
        status = os.stat(path)
        if not path or not stat.S_ISREG(status.st_mode):
            return ""
        return _digest_of(path, (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns))
    except (OSError, ValueError):
        return ""


@functools.lru_cache(maxsize=256)
def _digest_of(path: str, _state: tuple[int, ...]) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
