"""Where recordings lie: `.harness/ID/recording.json` below the working directory, and a link
`latest`."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

from ..errors import UsageError, unknown
from ..recording import Recording
from ..strict import sha256_of

DIRECTORY = ".harness"
_FILE = "recording.json"


def identify(recording: Recording) -> str:
    """Eight hex digits: the same subject with the same clients, schedule and finding have the
    same."""
    functions = [str(recording.function)] if recording.function else []
    clients = [client.describe() for client in recording.clients]
    parts = (
        [*recording.command, *functions, *clients],
        recording.schedule.to_json(),
        [finding.identity() for finding in recording.verdict.findings],
    )
    return sha256_of(json.dumps(parts).encode())[:8]


def save(recording: Recording, directory: str = DIRECTORY) -> str:
    """Write *recording* into the store, whole or not at all; its id. Raises `OSError`."""
    ident = identify(recording)
    folder = Path(directory, ident)
    folder.mkdir(parents=True, exist_ok=True)
    write(recording, str(folder / _FILE))
    link = Path(directory, f".latest-{os.getpid()}")
    link.unlink(missing_ok=True)
    link.symlink_to(ident)
    link.replace(Path(directory, "latest"))
    return ident


def drop(ident: str, directory: str = DIRECTORY) -> None:
    """Take a recording out of the store again; nothing when it is not there."""
    shutil.rmtree(Path(directory, ident), ignore_errors=True)


def write(recording: Recording, path: str) -> None:
    """Write *recording* to the file *path*, whole or not at all; into what is there and is no file
    (a pipe, a device: to replace that would be to destroy it). Raises `UsageError` when it cannot
    be written."""
    is_file = _is_replaced(path)
    target = f"{path}.{os.getpid()}.tmp" if is_file else path
    how = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_EXCL if is_file else os.O_TRUNC)
    try:
        # For its owner alone, whatever the umask: it holds what the trial read, also of files that
        # nobody else may read.
        fd = os.open(target, how, 0o600)
        with open(fd, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(recording.dumps())
        if is_file:
            os.replace(target, path)
    except BaseException as error:
        if is_file:
            Path(target).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _not_written(path, error.errno or errno.EIO) from None
        raise


def check(path: str) -> None:
    """Raise `UsageError` when it is plain to see that a recording cannot be written to *path*:
    better before a trial than after it."""
    place = (os.path.dirname(path) or ".") if _is_replaced(path) else path
    if os.path.isdir(path):
        raise _not_written(path, errno.EISDIR)
    if not os.path.exists(place):
        raise _not_written(path, errno.ENOENT)
    if not os.access(place, os.W_OK):
        raise _not_written(path, errno.EACCES)


def _is_replaced(path: str) -> bool:
    """Whether *path* is a file, or nothing yet. A link is written through: what it leads to may be
    anything, and the link is not ours."""
    return not os.path.islink(path) and (os.path.isfile(path) or not os.path.lexists(path))


def _not_written(path: str, number: int) -> UsageError:
    return UsageError(f"{path}: the recording is not written: {os.strerror(number)}")


def find(name: str | None, directory: str = DIRECTORY) -> list[Path]:
    """The recording files that *name* means: a file, a folder, an id or the start of one, `latest`;
    None: all."""
    store = Path(directory)
    if name is None:
        files = _kept_in(store)
        if not files:
            raise UsageError(
                f"no recording in {directory}/: name one, or make one with run --record FILE"
            )
        return files
    path = Path(name)
    if path.is_file():
        return [path]
    if path.is_dir():
        files = [p for p in (path / _FILE,) if p.is_file()] or _kept_in(path)
        files = files or sorted(path.glob("*.json"))
        if not files:
            raise UsageError(f"no recording in the folder {name}")
        return files
    if (store / name / _FILE).is_file():
        return [store / name / _FILE]
    known = [p.name for p in store.iterdir()] if store.is_dir() else []
    matching = [ident for ident in known if ident.startswith(name)]
    if len(matching) == 1:
        return [store / matching[0] / _FILE]
    raise UsageError(unknown("recording", name, known))


def _kept_in(store: Path) -> list[Path]:
    """Its recordings, each once: `latest` is one of them. Not deeper: what else lies there may be
    anybody's."""
    return sorted(p for p in store.glob(f"*/{_FILE}") if not p.parent.is_symlink())


def load(path: Path) -> Recording:
    """Read one recording strictly. Raises `UsageError` when it cannot be read."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    return Recording.loads(text, str(path))
