"""What a remote user may run: one command, which stands for one of ours.

This decides and starts; who the user is has been found out before, by sshd or whoever asks.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from reference.forking_service import plain, protocol
from reference.forking_service.client import ForkedProcess, ForkingServiceClient

#: Stands in a template for who asks.
USER_ID = "USER_ID"

Spawn = Callable[[Sequence[str], Mapping[str, str]], subprocess.Popen[bytes]]


class ForbiddenCommand(Exception):
    """The user may not run that; its text is one line for the user."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionPolicy:
    """A user may run *command*, and gets *template*, with the words USER_ID replaced, for it.

    Both are lines as a shell reads them; words are compared, so quotes and blanks do not matter.
    Of the user's variables those in *variables* are passed on. ValueError for a line that cannot be
    split, and for a template in which no word is USER_ID.
    """

    command: str = "bzr serve --inet --directory=/ --allow-writes"
    template: str = f"lp-serve --inet {USER_ID}"
    variables: frozenset[str] = frozenset({"BZR_EMAIL"})
    _words: tuple[str, ...] = field(init=False, repr=False)
    _template_words: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_words", protocol.parse_command(self.command.encode()))
        object.__setattr__(self, "_template_words", protocol.parse_command(self.template.encode()))
        if USER_ID not in self._template_words:
            raise ValueError(f"no word of the template is {USER_ID}: {self.template!r}")

    def argv_for(self, asked: str, user_id: str) -> tuple[str, ...]:
        """What is run when *user_id* asks for the line *asked*. ForbiddenCommand if nothing is."""
        try:
            words = protocol.parse_command(asked.encode("utf-8", "surrogateescape"))
        except ValueError:
            words = ()
        if words != self._words:
            raise ForbiddenCommand(f"not allowed to run {asked!r}")
        return tuple(user_id if word == USER_ID else word for word in self._template_words)

    def environment_for(self, asked: Mapping[str, str]) -> dict[str, str]:
        """Of the variables *asked* for, those that are passed on."""
        return {key: value for key, value in asked.items() if key in self.variables}


@dataclass(frozen=True, kw_only=True, slots=True)
class Sessions:
    """Starts what users ask for: by *client* while *is_forking*, otherwise by *spawn*."""

    policy: SessionPolicy
    client: ForkingServiceClient
    is_forking: bool = True
    spawn: Spawn = plain.spawn

    def start(
        self, asked: str, user_id: str, environment: Mapping[str, str] | None = None
    ) -> ForkedProcess | subprocess.Popen[bytes]:
        """The process for the line *asked*.

        ForbiddenCommand when *user_id* may not run it; ForkingServiceError when the service cannot
        be asked, and the client has no fallback.
        """
        argv = self.policy.argv_for(asked, user_id)
        variables = self.policy.environment_for(environment or {})
        if self.is_forking:
            return self.client.spawn(argv, variables)
        return self.spawn(argv, variables)
