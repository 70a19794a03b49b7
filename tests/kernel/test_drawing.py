"""The C library's getrandom, replaced for a while."""

import os
import random
import secrets
import uuid

import pytest

from harness._kernel import drawing
from harness._kernel.drawing import random_bytes_from


def drawn() -> list[object]:
    """By every way that Python has but os.getrandom, which makes the call by itself."""
    return [
        os.urandom(40),
        secrets.token_bytes(5),
        uuid.uuid4(),
        random.Random().random(),
        random.SystemRandom().random(),
    ]


def test_while_it_lasts_all_random_bytes_are_those_that_are_given() -> None:
    found = []
    for _ in range(2):
        rng = random.Random(7)
        with random_bytes_from(rng.randbytes):
            found.append(drawn())
    assert found[0] == found[1]
    assert found[0][0] == random.Random(7).randbytes(40)


def test_afterwards_they_are_the_kernels_again() -> None:
    with random_bytes_from(bytes):
        assert os.urandom(8) == bytes(8)
    found = [drawn() for _ in range(2)]
    assert not {*map(str, found[0])} & {*map(str, found[1])}


def test_an_error_within_ends_it_too() -> None:
    with pytest.raises(ZeroDivisionError), random_bytes_from(bytes):
        _ = 1 // 0
    assert os.urandom(32) != bytes(32)


def test_where_it_cannot_be_replaced_the_kernels_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_where: int, _code: bytes) -> None:
        raise PermissionError

    monkeypatch.setattr(drawing, "_overwrite", refused)
    with random_bytes_from(bytes):
        assert os.urandom(32) != bytes(32)
