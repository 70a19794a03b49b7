"""What a script can ask of its server, checked when it is asked.

Not a dataclass: importing that would take longer than a script may that is run plainly.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


#: Facilities of syslog(3), by their names there without LOG_; the empty string is no log.
FACILITIES = (
    "",
    *("auth", "authpriv", "cron", "daemon", "lpr", "mail", "news", "syslog", "user", "uucp"),
    *(f"local{number}" for number in range(8)),
)
_SECONDS_MAX = 1e9


class Options:
    """Times in seconds. ValueError or TypeError, in words for a person, for what cannot be."""

    __slots__ = (
        "autoreload_extra",
        "autoreload_modules",
        "call_timeout_s",
        "idle_timeout_s",
        "log_facility",
        "max_errors",
        "max_servers",
    )

    def __init__(
        self,
        *,
        max_servers: int = 4,
        idle_timeout_s: float = 1_000_000.0,
        autoreload_modules: bool = True,
        autoreload_extra: Sequence[str] = (),
        max_errors: int = 100,
        log_facility: str = "user",
        call_timeout_s: float = 30.0,
    ) -> None:
        if max_servers == 0:
            raise ValueError("max_servers is 1 or more, or negative for no limit, not 0")
        # Written so that a NaN is refused too.
        if not -_SECONDS_MAX <= idle_timeout_s <= _SECONDS_MAX:
            raise ValueError(f"idle_timeout is at most 1e9 seconds, not {idle_timeout_s}")
        if not 0 < call_timeout_s <= _SECONDS_MAX:
            raise ValueError(f"call_timeout is more than 0 seconds, not {call_timeout_s}")
        if max_errors < 0:
            raise ValueError(f"max_errors is 0 or more, not {max_errors}")
        name = log_facility.removeprefix("LOG_").lower()
        if name not in FACILITIES:
            known = ", ".join(FACILITIES[1:])
            raise ValueError(f"log_facility is one of {known}, not {log_facility!r}")
        if isinstance(autoreload_extra, str | bytes):
            raise TypeError(f"autoreload_extra is a list of paths, not {autoreload_extra!r}")
        self.max_servers = max_servers
        self.idle_timeout_s = None if idle_timeout_s < 0 else idle_timeout_s
        self.autoreload_modules = autoreload_modules
        self.autoreload_extra = tuple(autoreload_extra)
        self.max_errors = max_errors
        self.log_facility = name
        self.call_timeout_s = call_timeout_s
