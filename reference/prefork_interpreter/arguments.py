"""The launcher's command line, read as prefork-interp(1) reads its own. Pure."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


USAGE = """\
usage: python -m reference.prefork_interpreter [OPTION ...] INTERPRETER [SCRIPT [ARGUMENT ...]]

Run SCRIPT by a fork of a server that has started it before, or start the server first. The script
says when it is set up: initialisation_complete() of reference.prefork_interpreter.library for
Python, prefork_initialisation_complete() of Proc::Prefork::Interp for Perl.

  -U         both the server and the call get all arguments and variables (required)
  -f         start a fresh server; the old one ends
  --kill     end the server, and run nothing
  -E NAME    servers differ by the variable NAME, or its absence
  -G STRING  servers differ by STRING
  -g IDENT   name the server IDENT; otherwise its name is drawn from -E, -G, INTERPRETER, SCRIPT,
             the working directory, the root directory and the machine
  --help     say this

Options and INTERPRETER may be one word, joined by `,` or a blank, with values joined to their
options, as a #! line has it:
  #!/usr/bin/env -S python3 -m reference.prefork_interpreter -U python3

The server's socket and lock are in /var/run/user/UID/prefork-interp if /var/run/user/UID is
private, else in ~/.prefork-interp/HOST.

exit status: the script's; the signal's, if that is HUP, INT, KILL, PIPE or TERM; 127 with a message
when it could not be run, or another signal ended it; 255 for a command line that cannot be.
"""

NORMAL, FRESH, KILL, HELP = "normal", "fresh", "kill", "help"


class UsageError(Exception):
    """The command line cannot be; its text says why."""


class Arguments:
    """What the command line asks for. *items* are -G and -E in their order, as (letter, value)."""

    __slots__ = ("ident", "interpreter", "is_unlaundered", "items", "mode", "rest", "script")

    def __init__(self) -> None:
        self.mode = NORMAL
        self.ident: bytes | None = None
        self.items: list[tuple[bytes, bytes]] = []
        self.is_unlaundered = False
        self.interpreter = b""
        self.script: bytes | None = None
        self.rest: list[bytes] = []

    @property
    def command(self) -> list[bytes]:
        """What a plain run would run."""
        script = [] if self.script is None else [self.script]
        return [self.interpreter, *script, *self.rest]


def parse(words: Sequence[bytes]) -> Arguments:
    """The arguments in *words*, without the program's name. UsageError if they cannot be."""
    found = Arguments()
    rest = list(words)
    if rest and rest[0].startswith(b"-") and (b" " in rest[0] or b"," in rest[0]):
        own = _split(rest.pop(0))
        _options(found, own)
        if found.mode is not HELP and not rest:
            raise UsageError("no script argument (expected after combined #! options)")
    else:
        own = rest
        _options(found, own)
        rest = own[1:]
    if found.mode is HELP:
        return found
    if not own:
        raise UsageError("need interpreter argument")
    if not found.is_unlaundered:
        raise UsageError("need -U (both sides get all arguments and variables)")
    found.interpreter = own[0]
    found.script, found.rest = (rest[0], rest[1:]) if rest else (None, [])
    return found


def _split(joined: bytes) -> list[bytes]:
    """Options, and the interpreter: the first word that is no option, and all that follows it."""
    words = []
    while joined.startswith(b"-"):
        between = b" " if b" " in joined else b","
        word, found, joined = joined.partition(between)
        if not found:
            raise UsageError("combined arg lacks <interpreter>")
        words.append(word)
    return [*words, joined]


def _options(found: Arguments, words: list[bytes]) -> None:
    """Take the options from the front of *words*."""
    while words and words[0].startswith(b"-"):
        word = words.pop(0)
        if word == b"--":
            return
        if word == b"--kill":
            found.mode = KILL
        elif word == b"--help":
            found.mode = HELP
        elif word.startswith(b"--"):
            raise UsageError(f"unknown option {_shown(word)}")
        else:
            _letters(found, word[1:], words)


def _letters(found: Arguments, letters: bytes, words: list[bytes]) -> None:
    while letters:
        letter, letters = letters[:1], letters[1:]
        if letter == b"U":
            found.is_unlaundered = True
        elif letter == b"f":
            found.mode = FRESH
        elif letter in (b"E", b"G", b"g"):
            if not letters and not words:
                raise UsageError(f"-{letter.decode()} option takes a value")
            value = letters.removeprefix(b"=") if letters else words.pop(0)
            if letter == b"g":
                found.ident = value
            else:
                found.items.append((letter, value))
            return
        else:
            raise UsageError(f"unknown option -{_shown(letter)}")


def _shown(word: bytes) -> str:
    return word.decode("ascii", "backslashreplace")
