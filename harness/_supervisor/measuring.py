"""Which lines the functions of a trial run, as coverage.py measures it.

It begins in the template, before the modules are imported: what is read and looked up there makes
no calls in a trial, and the lines of the modules themselves are measured too. Each process of a
trial lays what it has at its end into one file of the view, where the runner finds it: no data file
of coverage.py's own, for the calls of its SQLite would be many, and its name another each time."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from coverage import Coverage

#: In the view; a file for each process, which has the number of the process for its name.
DIRECTORY = "/.coverage"

_EXIT = os._exit
_measured: Coverage | None = None


def measure_imports() -> None:
    """Measure from here on, as the configuration file of the working directory says."""
    global _measured
    from coverage import Coverage

    _measured = Coverage(data_file=None, config_file=True)
    _measured.start()


def pause() -> None:
    """Measure no more, until `go_on`."""
    if _measured is not None:
        _measured.stop()


def make_directory() -> None:
    """Make room in the view, for processes of any user."""
    if _measured is not None:
        os.mkdir(DIRECTORY)
        os.chmod(DIRECTORY, 0o1777)


def go_on() -> None:
    """Measure this process and what it forks, until it ends by os._exit(), as a child does."""
    if _measured is not None:
        os._exit = _save_and_exit
        _measured.start()


def _save_and_exit(status: int) -> NoReturn:
    save()
    _EXIT(status)


def save() -> None:
    """Stop, and lay down what was measured. A fault may meet this, too: then it is lost."""
    if _measured is None:
        return
    with contextlib.suppress(Exception):
        _measured.stop()
        # get_data() alone would look for files that were never run, in calls of the trial.
        _measured._collector.flush_data()  # type: ignore[union-attr]
        data = _measured.get_data().dumps()
        with open(f"{DIRECTORY}/{os.getpid()}", "wb", buffering=0) as file:
            file.write(data)
