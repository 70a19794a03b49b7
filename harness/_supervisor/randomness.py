"""What is random in a trial: bytes drawn from the schedule's seed. Pure.

Each role draws for itself: how often another one has drawn does not move what it gets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

_PIECE = 1 << 16
_MICROSECONDS = 10**6


class Randomness:
    """The draws of one trial. The n-th draw of a role for a purpose is a stream of bytes, which
    depends on nothing but seed, purpose, role and n."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._drawn: dict[tuple[str, str], int] = {}

    def pieces(self, role: str, purpose: str, size: int) -> Iterator[bytes]:
        """The next draw of *role* for *purpose*, *size* bytes long, piece by piece."""
        nth = self._drawn[role, purpose] = self._drawn.get((role, purpose), 0) + 1
        for number in range(-(-size // _PIECE)):
            length = min(_PIECE, size - number * _PIECE)
            yield _stream(f"{self._seed}\n{purpose}\n{role}\n{nth}\n{number}", length)

    def draw(self, role: str, purpose: str, size: int) -> bytes:
        """The same, in one."""
        return b"".join(self.pieces(role, purpose, size))

    def of_the_trial(self, purpose: str, size: int) -> bytes:
        """What is random but the same whoever asks, and as often as they ask."""
        return _stream(f"{self._seed}\n{purpose}", size)


def fraction_ns(seed: int) -> int:
    """By how much the clocks are ahead of the second at which a trial starts: many a program draws
    from them. Whole microseconds; none for the seed 0."""
    if not seed:
        return 0
    drawn = int.from_bytes(_stream(f"{seed}\nclock", 8), "little")
    return 1000 * (drawn % _MICROSECONDS)


def as_uuid(drawn: bytes) -> str:
    """A random UUID (version 4) of 16 bytes, as the kernel writes it. Source: RFC 9562."""
    marked = bytearray(drawn)
    marked[6] = marked[6] & 0x0F | 0x40
    marked[8] = marked[8] & 0x3F | 0x80
    text = marked.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _stream(key: str, size: int) -> bytes:
    return hashlib.shake_256(key.encode("utf-8", "surrogateescape")).digest(size)
