"""Where the server and its monitors say what went wrong: standard error at first, which is the
first caller's, and syslog from then on. A line that cannot be written is lost, no more."""

from __future__ import annotations

import os
import syslog

STANDARD_ERROR = 2


class Log:
    """Lines for a person, about the script *name*; *facility* is one of options.FACILITIES."""

    def __init__(self, *, name: str, facility: str) -> None:
        self.name = name
        self._facility = facility
        self._is_on_standard_error = True

    def open(self) -> None:
        """Connect to syslog now, so that nothing of it changes later in a fork."""
        if self._facility:
            # Not the script's own connection: an executor that calls openlog has its own again.
            number: int = getattr(syslog, f"LOG_{self._facility.upper()}")
            syslog.openlog(
                f"prefork-interp {self.name}", syslog.LOG_PID | syslog.LOG_NDELAY, number
            )

    def leave_standard_error(self) -> None:
        """Standard error belongs to someone else from now on."""
        self._is_on_standard_error = False

    def error(self, text: str) -> None:
        """Something failed."""
        self.line(syslog.LOG_ERR, text)

    def warning(self, text: str) -> None:
        """Something is as it should not be."""
        self.line(syslog.LOG_WARNING, text)

    def information(self, text: str) -> None:
        """Something has ended in good order: nothing for the first caller."""
        if not self._is_on_standard_error:
            self.line(syslog.LOG_INFO, text)

    def line(self, level: int, text: str) -> None:
        """Write *text*, made one printable line."""
        text = printable(f"{self.name}: prefork: {text}")
        if self._is_on_standard_error:
            write_all(STANDARD_ERROR, text + "\n")
        elif self._facility:
            syslog.syslog(level, text)


def printable(text: str) -> str:
    """*text* with all that is not printable written out."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def write_all(descriptor: int, text: str) -> None:
    """Write *text* as far as it goes. Raises no OSError."""
    data = text.encode("utf-8", "backslashreplace")
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError:
        pass
