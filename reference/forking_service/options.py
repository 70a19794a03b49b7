"""What the service can be told, checked when it is said."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field

from reference.forking_service.peer import AllowList

#: Between SIGINT and SIGKILL, and between SIGKILL and giving up on a child, in seconds.
INTERRUPTED_S = 1.0
KILLED_S = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """*path* of the socket and its *perms*; times in seconds; *children_max* 0 is no limit.

    *directory* is where the children's directories are made: by default where temporary files are
    (TMPDIR); *allowed* is who may ask. ValueError, in words for a person, for what cannot be.
    """

    path: str
    perms: int = 0o660
    directory: str = field(default_factory=tempfile.gettempdir)
    children_timeout_s: float = 300.0
    request_timeout_s: float = 1.0
    connect_timeout_s: float = 120.0
    #: How long a child may take to become ready: it only has to set itself up.
    prepare_timeout_s: float = 10.0
    children_max: int = 0
    allowed: AllowList = field(default_factory=AllowList)

    def __post_init__(self) -> None:
        if not self.path or "\0" in self.path:
            raise ValueError("the path of the socket is empty or holds a NUL")
        if not self.directory or "\n" in self.directory or "\0" in self.directory:
            raise ValueError("the directory is empty, or holds a line's end or a NUL")
        if not 0 <= self.perms <= 0o777:
            raise ValueError(f"permissions are 0 to 0777, not {self.perms:#o}")
        for name in ("children", "request", "connect", "prepare"):
            # Written so that a NaN is refused too.
            seconds = getattr(self, f"{name}_timeout_s")
            if not 0 <= seconds <= 1e9:
                raise ValueError(f"the {name} timeout is 0 to 1e9 seconds, not {seconds}")
        if self.children_max < 0:
            raise ValueError(f"the most children are 0 (no limit) or more, not {self.children_max}")


def parse_perms(text: str) -> int:
    """Permissions in octal, as chmod(1) takes them. ValueError if not."""
    if not text or not set(text.removeprefix("0o")) <= set("01234567"):
        raise ValueError(f"permissions are octal digits, as 0660, not {text!r}")
    return int(text.removeprefix("0o"), 8)
