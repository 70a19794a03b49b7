"""One tree of errors, named after who must act, and the words that they share.

An error here is for a reader, not for a program: `str()` is one printable line that says what,
where and what to do. A bug of ours is an assertion and never one of these. This module imports
nothing of ours."""

from collections.abc import Iterable


class HarnessError(Exception):
    """The base: whatever the harness has to say to a person who can do something about it."""

    def __str__(self) -> str:
        """The message on one line, with nothing in it that a terminal would act on."""
        return printable(" ".join(str(self.args[0]).split()) if self.args else "")


class UsageError(HarnessError):
    """You asked for what cannot be."""


class ScheduleError(UsageError):
    """You wrote a schedule, or a fault on the command line, that cannot run."""


class RecordingError(UsageError):
    """The recording cannot be read: it was edited, cut off, or is of another version."""


class MachineError(HarnessError):
    """This machine cannot do it; *fix* is the command, or the change, that helps."""

    def __init__(self, message: str, fix: str) -> None:
        # Both in args, so that the error survives pickling on its way between two processes.
        super().__init__(message, fix)
        self.fix = fix

    def __str__(self) -> str:
        what = super().__str__()
        return f"{what}; fix: {printable(' '.join(self.fix.split()))}" if self.fix else what


class SubjectError(HarnessError):
    """The subject cannot be started, or did what no fault excuses; `run` exits with *status*."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message, status)
        self.status = status


class ReplayDiverged(HarnessError):
    """The world changed: a replay did not go the way that its recording went."""


class RunnerError(HarnessError):
    """The process that runs the trials ended, or answered what was not asked."""


def printable(text: str) -> str:
    """*text* with each character that is not printable as its escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def quoted(word: object) -> str:
    """A word from outside as an error shows it: in quotes, escaped, not too long."""
    text = word if isinstance(word, str) else str(word)
    return repr(text if len(text) <= 60 else text[:57] + "...")


def in_short(text: str, most: int) -> str:
    """*text* on one line of about *most* characters: its beginning and, since that of a traceback
    says most, its end."""
    line = " ".join(text.split())
    if len(line) <= most:
        return line
    return f"{line[: most // 3]} ... {line[-(most - most // 3) :]}"


def unknown(what: str, word: str, words: Iterable[str]) -> str:
    """`unknown WHAT 'word'` and the nearest of *words*, or all of them when they are few."""
    # Imported here: most runs meet no error, and then need not pay for the import.
    from difflib import get_close_matches

    choice = sorted(words)
    message = f"unknown {what} {quoted(word)}"
    # Only the start of the word: the comparison is quadratic, and the word may be of any length.
    if near := get_close_matches(word[:60], choice, n=1):
        return f"{message}; did you mean {near[0]!r}?"
    return f"{message}; known: {', '.join(choice)}" if 0 < len(choice) <= 12 else message
