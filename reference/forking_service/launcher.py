"""Starts the service beside an application, if its configuration says so, and stops it at exit."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType

from reference.forking_service.listener import StartError
from reference.forking_service.options import INTERRUPTED_S, KILLED_S

#: Between two looks at whether it is there, in seconds.
_STEP_S = 0.02
#: Beyond the children timeout: for what it does after that, in seconds.
_STOP_S = INTERRUPTED_S + KILLED_S + 10.0

#: What the service says when clients may come.
_READY = "Listening on socket: "

_YES = frozenset({"1", "yes", "true", "on"})
_NO = frozenset({"0", "no", "false", "off"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Configuration:
    """Whether to *launch* a service, and how: its socket's *path*, its *log_file*, and the rest as
    of its command line. Times in seconds; *start_timeout* is for it to be ready, modules imported.
    """

    launch: bool = False
    path: str = ""
    log_file: str = ""
    perms: str = "0660"
    preload: str = ""
    commands: str = ""
    children_timeout: float = 300.0
    start_timeout: float = 60.0

    def __post_init__(self) -> None:
        if self.launch and not (self.path and self.log_file):
            raise ValueError("to launch a forking service, path and log_file must be set")

    @classmethod
    def from_section(cls, section: Mapping[str, str]) -> Configuration:
        """From the texts of a section of an INI file. ValueError for a key or value that is none.

        A section that is empty launches nothing.
        """
        known = cls.__dataclass_fields__
        values: dict[str, str | float | bool] = {}
        for key, text in section.items():
            if key not in known:
                raise ValueError(f"no such key: {key!r}; there are {', '.join(known)}")
            values[key] = _read(key, text)
        return cls(**values)  # type: ignore[arg-type]  # each by its key

    def words(self) -> list[str]:
        """The service's command line."""
        words = [sys.executable, "-m", "reference.forking_service", "--path", self.path]
        words += ["--perms", self.perms, "--children-timeout", str(self.children_timeout)]
        words += ["--log-file", self.log_file]
        words += ["--preload", self.preload] if self.preload else []
        for module in self.commands.split(",") if self.commands else []:
            words += ["--commands", module]
        return words


def _read(key: str, text: str) -> str | float | bool:
    if key == "launch":
        if text.lower() not in _YES | _NO:
            raise ValueError(f"launch is yes or no, not {text!r}")
        return text.lower() in _YES
    if key.endswith("_timeout"):
        try:
            return float(text)
        except ValueError:
            raise ValueError(f"{key} is in seconds, not {text!r}") from None
    return text


class Launcher:
    """The service of one application. A context manager; stopped at exit in any case."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it is ready; nothing where it is not wanted, or runs already.

        StartError with what it has said when it does not become ready; then there is none.
        """
        if not self.configuration.launch or self.process is not None:
            return
        try:
            log = os.open(
                self.configuration.log_file,
                os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC,
                0o640,
            )
        except OSError as error:
            why = error.strerror or error
            raise StartError(
                f"cannot write the log file {self.configuration.log_file}: {why}"
            ) from None
        try:
            began_at = os.fstat(log).st_size
            # What libraries print goes there too, not among the application's own output.
            self.process = subprocess.Popen(
                self.configuration.words(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        finally:
            os.close(log)
        atexit.register(self.stop)
        try:
            self._wait_until_ready(began_at)
        except BaseException:
            self.stop()
            raise

    def _wait_until_ready(self, began_at: int) -> None:
        assert self.process is not None
        deadline = time.monotonic() + self.configuration.start_timeout
        while not any(line.startswith(_READY) for line in self._said_since(began_at)):
            if self.process.poll() is not None or time.monotonic() >= deadline:
                said = [*self._said_since(began_at), "it says nothing"]
                raise StartError(f"the forking service does not start: {said[-2:][0]}")
            _wait(self.process, _STEP_S)

    def _said_since(self, place: int) -> list[str]:
        with open(self.configuration.log_file, "rb") as file:
            file.seek(place)
            return file.read().decode("utf-8", "replace").splitlines()

    def stop(self) -> None:
        """Stop it in good order. It has ended when this returns."""
        process, self.process = self.process, None
        if process is None:
            return
        atexit.unregister(self.stop)
        process.terminate()
        if not _wait(process, self.configuration.children_timeout + _STOP_S):
            process.kill()
            process.wait()

    def __enter__(self) -> Launcher:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.stop()


def _wait(process: subprocess.Popen[bytes], timeout: float) -> bool:
    """Wait for its end, at most *timeout* seconds; whether it has ended."""
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        return False
    return True
