"""A trial's view of the file system: the same on every machine, and nothing written in it reaches
the host.

A new tmpfs is the root; the host's top-level directories are bound into it read-only; /proc, /dev,
/tmp, /run, /var/tmp and /trial are fresh; the home and the working directory are overlays whose
upper layers lie in that tmpfs. It is built by init, in its own mount namespace, so it ends with it.
(One overlay over `/` cannot be: EINVAL in a user namespace.)
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from typing import NamedTuple

from ..verdict import FileKind
from . import devices, mount
from .uapi import MS_NODEV, MS_NOSUID

TRIAL_DIR = "/trial"
FRESH = ("/tmp", "/run", TRIAL_DIR)
FRESH_IF_THERE = ("/dev/shm", "/var/tmp")
_ALL_FRESH = FRESH + FRESH_IF_THERE
#: Directories that are the kernel's own, where an overlay makes no sense.
_KERNEL = ("/proc", "/sys", "/dev")
_BASE_CANDIDATES = ("/tmp", "/mnt", "/media")
#: Where files that are laid into a view lie while it is built: a file system of its own, so that to
#: copy from them to what the trial writes is what it is from the host's (EXDEV).
_INPUTS = "/.inputs"
#: Beside a mount point a file is copied, for it cannot be overlaid; a larger one is read-only.
_COPY_MAX = 1 << 24


class ViewPlan(NamedTuple):
    """What a trial shows: working directory, home, paths bound read-only and paths that let writes
    through; and *files* (path, mode, content) that it shows instead of the host's, or that the host
    has not."""

    cwd: str
    home: str
    bind: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    files: tuple[tuple[str, int, bytes], ...] = ()


def overlays_of(plan: ViewPlan) -> dict[str, str]:
    """Directory of the host to be overlaid -> path below it that must be made, outermost first.

    The second part is empty when the directory exists; a recording from elsewhere may name one that
    does not. Raises `NotADirectoryError` where the working directory can never be.
    """
    found: dict[str, str] = {}
    cwd, home = os.path.realpath(plan.cwd), os.path.realpath(plan.home)
    for path in sorted({cwd, home}, key=len):
        fresh = _is_below(path, _ALL_FRESH)
        if _is_below(path, _KERNEL) and not fresh:
            continue
        if fresh and not os.path.isdir(path):
            # An empty one of the same kind: a recording's directory that is gone is no other to it.
            if not _is_below(path, (TRIAL_DIR, *found)):
                found[path] = ""
            continue
        base, rest = path, ""
        while not os.path.isdir(base):
            base, name = os.path.split(base)
            rest = os.path.join(name, rest) if rest else name
        if rest and os.path.lexists(in_the_way := os.path.join(base, rest.partition("/")[0])):
            if path == cwd:
                raise NotADirectoryError(errno.ENOTDIR, "not a directory", in_the_way)
            continue
        # A directory of the new root itself is writable, and so is what lies in another overlay.
        if base != "/" and not _is_below(base, tuple(found)):
            found[base] = rest
    return found


def _is_below(path: str, tops: tuple[str, ...]) -> bool:
    return any(path == top or path.startswith(top + "/") for top in tops)


def is_hidden(plan: ViewPlan, path: str) -> bool:
    """Whether the host's *path* cannot be seen in the view, because a fresh directory hides it."""
    shown = (*overlays_of(plan), *plan.bind, *plan.write)
    if _is_below(path, shown):
        return False
    return _is_below(path, _ALL_FRESH) or (
        _is_below(path, ("/dev",)) and not devices.is_shown(path)
    )


def build(plan: ViewPlan) -> int:
    """Build the view and enter it; return a descriptor on the tmpfs behind it, for `nodes`.

    Raises `OSError` with the path that could not be shown. Run it as PID 1 of a fresh mount
    namespace only.
    """
    mount.make_private()
    overlays = overlays_of(plan)
    shown = dict.fromkeys(plan.bind, True) | dict.fromkeys(plan.write, False)
    # Links are followed here: in the new root, while it is built, they would lead to the old one.
    real = {path: os.path.realpath(path) for path in (plan.cwd, plan.home, *shown)}
    there = (*filter(os.path.isdir, overlays), *shown)
    handles = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in there}
    above = {path: os.stat(path) for path in _directories_of(plan.files) if os.path.isdir(path)}
    fresh = [
        path for path in FRESH_IF_THERE if os.path.isdir(path) and os.path.realpath(path) == path
    ]
    tops = sorted(os.scandir("/"), key=lambda entry: entry.name)
    mounts = _mount_points()

    base = next((path for path in _BASE_CANDIDATES if os.path.isdir(path)), None)
    if base is None:
        raise OSError(2, "no directory to build the view on", " or ".join(_BASE_CANDIDATES))
    before = os.open(
        base, os.O_PATH | os.O_CLOEXEC
    )  # what lies under the new tmpfs stays reachable
    mount.mount("trial", base, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755")
    place = _Place(f"{base}/root", f"{base}/layers", mounts)
    root = place.root
    os.mkdir(root, 0o755)
    os.mkdir(place.layers, 0o700)
    mount.bind(root, root, read_only=False)
    has_inputs = bool(plan.files) or overlays.keys() > handles.keys()
    if has_inputs:
        place.take(plan.files, above)
    for entry in tops:
        _show_top(entry, f"/proc/self/fd/{before}" if entry.path == base else entry.path, root)
    _make(root + "/dev", 0o755)
    devices.show_devices(root + "/dev")
    for path in FRESH:
        _make(root + path, 0o1777 if path != TRIAL_DIR else 0o755)
    for path in fresh:
        upper = place.new_layer(path)
        os.chmod(upper, 0o1777)
        mount.bind(upper, root + path, read_only=False)
    for path, rest in overlays.items():
        place.lay_over(handles.get(path), path, rest)
    for path, read_only in sorted(shown.items(), key=lambda item: real[item[0]]):
        _show(handles[path], root + real[path], read_only=read_only)
    _make(root + "/proc", 0o555)
    devices.show_processes(root + "/proc", root + "/dev")
    tmpfs = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for handle in (*handles.values(), before):
        os.close(handle)
    mount.make_root(root)
    for file in plan.files:
        _show_input(*file)
    if has_inputs:
        mount.unmount(_INPUTS)
        os.rmdir(_INPUTS)
    for path, target in real.items():
        if path != target and not os.path.lexists(path):  # a link that a fresh directory hides
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.symlink(target, path)
    os.makedirs(real[plan.cwd], exist_ok=True)
    os.chdir(real[plan.cwd])
    return tmpfs


def reopen_read_only(fd: int) -> None:
    """Make *fd*, a file of the host's that is open for reading, no way to write it.

    /proc/self/fd/N would open it anew as it lies on the host, not in the view. Before `build`. What
    has no path any more, and what is open for writing anyway, stays as it is.
    """
    status = os.fstat(fd)
    mode = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE
    if mode != os.O_RDONLY or not stat.S_ISREG(status.st_mode):
        return
    mount.make_private()
    path = os.readlink(f"/proc/self/fd/{fd}")
    try:
        if not os.path.samestat(os.stat(path), status):
            return
        mount.bind(path, path, read_only=True)
    except OSError:
        return  # deleted, or on a file system of the kernel's own
    again = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    mount.unmount(path)
    os.lseek(again, os.lseek(fd, 0, os.SEEK_CUR), os.SEEK_SET)
    os.dup2(again, fd)
    os.close(again)


def _mount_points() -> list[str]:
    """Where something is mounted. Source: proc_pid_mountinfo(5)."""
    with open("/proc/self/mountinfo", "rb") as lines:
        fields = [line.split()[4] for line in lines]
    return [os.fsdecode(_unescaped(field) if b"\\" in field else field) for field in fields]


def _unescaped(field: bytes) -> bytes:
    """Space, tab, newline and backslash are octal in mountinfo."""
    return re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), field)


def _show_top(entry: os.DirEntry[str], source: str, root: str) -> None:
    target = root + entry.path
    if entry.path in (*FRESH, "/proc", "/dev"):
        return
    if entry.is_symlink():
        os.symlink(os.readlink(entry.path), target)
    elif entry.is_dir(follow_symlinks=False):
        os.mkdir(target, 0o755)
        mount.bind(source, target, read_only=True)


def _make(path: str, mode: int) -> None:
    os.makedirs(path, exist_ok=True)
    os.chmod(path, mode)


def _show(handle: int, target: str, *, read_only: bool) -> None:
    source = f"/proc/self/fd/{handle}"
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    elif not os.path.exists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_CLOEXEC, 0o644))
    mount.bind(source, target, read_only=read_only)


class _Place(NamedTuple):
    """Where the view is built: its root, its writable layers, and what the host has mounted."""

    root: str
    layers: str
    mounts: list[str]

    def new_layer(self, shown: str) -> str:
        """The directory of a new layer that is seen at *shown*."""
        layer = f"{self.layers}/{len(os.listdir(self.layers))}"
        os.makedirs(f"{layer}/upper")
        os.symlink(shown, f"{layer}/shown")
        return f"{layer}/upper"

    def take(
        self, files: tuple[tuple[str, int, bytes], ...], above: dict[str, os.stat_result]
    ) -> None:
        """Lay out the files to be shown, with the host's directories *above* them."""
        top = self.root + _INPUTS
        os.mkdir(top, 0o755)
        mount.mount("inputs", top, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755")
        for path in _directories_of(files):
            os.mkdir(top + path, 0o755)
            if path in above:
                _dress(top + path, above[path])
        for path, mode, content in files:
            _write(top + path, mode, content)

    def lay_over(self, handle: int | None, shown: str, rest: str = "") -> None:
        """Make the host's directory *shown* writable, with *rest* in it; an empty one for None."""
        upper = self.new_layer(shown)
        os.makedirs(os.path.join(upper, rest), exist_ok=True)
        os.makedirs(self.root + shown, exist_ok=True)
        if handle is not None:
            _dress(upper, os.fstat(handle))
        if handle is not None and any(point.startswith(shown + "/") for point in self.mounts):
            mount.bind(upper, self.root + shown, read_only=False)
            self._lay_over_each(handle, shown)
            return
        work = upper.removesuffix("upper") + "work"
        os.mkdir(work)
        inputs = self.root + _INPUTS
        if handle is None:
            os.makedirs(inputs + shown, exist_ok=True)
        try:
            with _opened(inputs + shown) as lowers:
                lowers += [f"/proc/self/fd/{handle}"] if handle is not None else []
                mount.overlay(lowers, self.root + shown, upper, work)
        except OSError as error:
            raise OSError(error.errno, error.strerror, shown) from None

    def _lay_over_each(self, handle: int, shown: str) -> None:
        """Make the entries of a directory writable, each for itself.

        No overlay can lie over mounts that came with a user namespace: they are locked onto it, so
        that nobody looks beneath them (EINVAL).
        """
        for name in os.listdir(f"/proc/self/fd/{handle}"):
            target = f"{self.root}{shown}/{name}"
            entry = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=handle)
            status = os.fstat(entry)
            try:
                if stat.S_ISLNK(status.st_mode):
                    os.symlink(os.readlink(name, dir_fd=handle), target)
                elif stat.S_ISDIR(status.st_mode):
                    self.lay_over(entry, f"{shown}/{name}")
                elif stat.S_ISREG(status.st_mode) and status.st_size <= _COPY_MAX:
                    _copy(f"/proc/self/fd/{entry}", target)
                    _dress(target, status)
                    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
                else:
                    _show(entry, target, read_only=True)
            except OSError:
                # Not ours to read, or nothing that an overlay can lie over: seen as it is, if that.
                if not os.path.islink(target):
                    _show(entry, target, read_only=True)
            finally:
                os.close(entry)


def _directories_of(files: tuple[tuple[str, int, bytes], ...]) -> list[str]:
    """Every directory above the files, the outer ones first, without the root."""
    found: set[str] = set()
    for path, _, _ in files:
        while (path := os.path.dirname(path)) != "/":
            found.add(path)
    return sorted(found)


@contextlib.contextmanager
def _opened(*directories: str) -> Iterator[list[str]]:
    """Short names for those of *directories* that are there: an overlay's options cannot hold every
    path."""
    with contextlib.ExitStack() as stack:
        names = []
        for path in filter(os.path.isdir, directories):
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
            stack.callback(os.close, fd)
            names.append(f"/proc/self/fd/{fd}")
        yield names


def _show_input(path: str, mode: int, content: bytes) -> None:
    """Show one of the files that are laid into the view, where no overlay does so already. Inside
    the new root."""
    if _holds(path, content):
        return
    if _is_below(path, (TRIAL_DIR,)):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        _write(path, mode, content)
        return
    try:
        if not os.path.exists(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        directory = os.path.dirname(path)
        while not os.path.isdir(directory):
            directory = os.path.dirname(directory)
        with _opened(_INPUTS + directory, directory) as lowers:
            mount.overlay(lowers, directory)
    else:
        mount.bind(_INPUTS + path, path, read_only=True)


def _holds(path: str, content: bytes) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    with open(fd, "rb") as file:
        return stat.S_ISREG(os.fstat(fd).st_mode) and file.read(len(content) + 1) == content


def _write(path: str, mode: int, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)
    os.chmod(path, mode)


def _dress(path: str, like: os.stat_result) -> None:
    """Give *path* the owner and the permissions of its original."""
    try:
        os.chown(path, like.st_uid, like.st_gid)
    except OSError:
        pass  # somebody's who has no number in this user namespace
    os.chmod(path, stat.S_IMODE(like.st_mode))


def _copy(source: str, target: str) -> None:
    with open(source, "rb") as old, open(target, "xb") as new:
        while os.sendfile(new.fileno(), old.fileno(), None, _COPY_MAX):
            pass


class Node(NamedTuple):
    """One thing in the upper layers: its kind, permissions, size and link target, and how to read
    it again."""

    kind: FileKind
    mode: int
    size: int
    stamp: int
    inode: int


_GONE = Node("deleted", 0, 0, 0, 0)
_LOOK = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
Nodes = dict[str, tuple[Node, str]]


def nodes(tmpfs: int) -> Nodes:
    """Everything that the view's writable layers hold: `{path in the view: (node, path below
    tmpfs)}`.

    *tmpfs* is what `build` returned. What a directory holds that we may not look into is left out.
    """
    layers = [("root", "")]
    for number in sorted(map(int, os.listdir(f"/proc/self/fd/{tmpfs}/layers"))):
        shown = os.readlink(f"layers/{number}/shown", dir_fd=tmpfs)
        layers.append((f"layers/{number}/upper", shown))
    found: Nodes = {}
    for below, shown in layers:
        fd = os.open(below, _LOOK, dir_fd=tmpfs)
        try:
            _walk(fd, below, shown, found)
        finally:
            os.close(fd)
    return found


def _walk(fd: int, below: str, shown: str, found: Nodes) -> None:
    for name in sorted(os.listdir(fd)):
        try:
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            continue
        kind = kind_of(status)
        node = Node(
            kind,
            stat.S_IMODE(status.st_mode),
            0 if kind == "dir" else status.st_size,
            0 if kind == "dir" else status.st_mtime_ns,
            status.st_ino,
        )
        path = f"{shown}/{name}"
        found[path] = (node, f"{below}/{name}")
        # Most of the root's directories are mount points: empty here, which tmpfs shows as size 0.
        if kind == "dir" and (status.st_size or below != "root"):
            try:
                child = os.open(name, _LOOK, dir_fd=fd)
            except (PermissionError, FileNotFoundError):
                continue
            try:
                for gone in _replaced(child, path):
                    found[f"{path}/{gone}"] = (_GONE, "")
                _walk(child, f"{below}/{name}", path, found)
            finally:
                os.close(child)


def _replaced(directory: int, path: str) -> list[str]:
    """What the host's directory *path* holds, if *directory* has taken its place: it hides all of
    that without a whiteout for each. Source: overlayfs.rst, opaque directories."""
    try:
        return os.listdir(path) if os.getxattr(directory, "user.overlay.opaque") == b"y" else []
    except OSError:
        return []  # no mark, no such marks here, or nothing there to be replaced


def kind_of(status: os.stat_result) -> FileKind:
    """What a name is, as a layer of an overlay says it."""
    mode = status.st_mode
    if stat.S_ISCHR(mode) and status.st_rdev == 0:
        return "deleted"  # overlayfs writes a whiteout as a character device 0, 0
    return _KINDS.get(stat.S_IFMT(mode), "device")


_KINDS: dict[int, FileKind] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}
