"""The service's log: lines on a descriptor. A line that cannot be written is lost, no more."""

from __future__ import annotations

import os
import time

STANDARD_ERROR = 2


class Log:
    """Lines on standard error, or with the time (UTC) at the end of the file *path*.

    OSError when the file cannot be opened.
    """

    def __init__(self, path: str | None = None) -> None:
        self._is_file = path is not None
        self._descriptor = STANDARD_ERROR
        if path is not None:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._descriptor = os.open(path, flags, 0o640)

    def line(self, text: str) -> None:
        """Write *text*, made one printable line. Never raises, whatever becomes of the line."""
        text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
        # gmtime, not localtime, which looks for the time zone's file each time.
        stamp = time.strftime("%Y-%m-%d %H:%M:%S ", time.gmtime()) if self._is_file else ""
        write_all(self._descriptor, f"{stamp}{text}\n")

    def leave_standard_error(self) -> None:
        """Standard error belongs to someone else from now on."""
        if not self._is_file:
            self._descriptor = -1

    def close(self) -> None:
        """Close the file. Lines after it are lost."""
        if self._is_file and self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            close_descriptor(descriptor)


def write_all(descriptor: int, text: str) -> bool:
    """Write *text* as far as it goes; whether that was all of it. Raises no OSError."""
    data = text.encode("utf-8", "backslashreplace")
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError:
        return False
    return True


def close_descriptor(descriptor: int) -> None:
    """Close *descriptor*. What close(2) reports is not told: Linux has closed it all the same."""
    try:
        os.close(descriptor)
    except OSError:
        pass
