"""Random bytes of a trial: equal for one seed, and for a role whatever the others draw."""

from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from harness._supervisor.randomness import Randomness, as_uuid, fraction_ns

seeds = st.integers(0, 2**64 - 1)
roles = st.sampled_from(["main", "main/0", "main/0#1", "client/slow"])
#: Who draws, and how much.
draws = st.lists(st.tuples(roles, st.integers(0, 300)), max_size=30)


def drawn(seed: int, asked: list[tuple[str, int]]) -> list[tuple[str, bytes]]:
    randomness = Randomness(seed)
    return [(role, randomness.draw(role, "bytes", size)) for role, size in asked]


@given(seeds, draws)
def test_one_seed_gives_the_same_bytes(seed: int, asked: list[tuple[str, int]]) -> None:
    found = drawn(seed, asked)
    assert found == drawn(seed, asked)
    assert [len(data) for _, data in found] == [size for _, size in asked]


@given(seeds, draws, roles)
def test_a_role_gets_the_same_whatever_the_others_draw(
    seed: int, asked: list[tuple[str, int]], role: str
) -> None:
    among_others = [(who, data) for who, data in drawn(seed, asked) if who == role]
    assert among_others == drawn(seed, [one for one in asked if one[0] == role])


@given(seeds, st.lists(roles, min_size=1, max_size=30))
def test_no_two_draws_are_equal(seed: int, asked: list[str]) -> None:
    randomness = Randomness(seed)
    found = {
        randomness.draw(role, purpose, 16) for role in asked for purpose in ("bytes", "program")
    }
    assert len(found) == 2 * len(asked)


@given(seeds, seeds)
def test_another_seed_gives_other_bytes(one: int, other: int) -> None:
    same = Randomness(one).draw("main", "bytes", 16) == Randomness(other).draw("main", "bytes", 16)
    assert same == (one == other)
    same = Randomness(one).of_the_trial("boot", 16) == Randomness(other).of_the_trial("boot", 16)
    assert same == (one == other)


@given(seeds, st.integers(0, 300_000), st.integers(0, 300_000))
def test_a_longer_draw_begins_as_a_shorter_one(seed: int, one: int, other: int) -> None:
    short, long = sorted((one, other))
    shorter = Randomness(seed).draw("main", "bytes", short)
    assert Randomness(seed).draw("main", "bytes", long).startswith(shorter)


@given(seeds)
def test_a_seed_starts_the_clock_within_its_second(seed: int) -> None:
    found = fraction_ns(seed)
    assert 0 <= found < 10**9
    assert found % 1000 == 0
    assert fraction_ns(0) == 0


@given(st.binary(min_size=16, max_size=16))
def test_sixteen_bytes_make_a_uuid(data: bytes) -> None:
    found = uuid.UUID(as_uuid(data))
    assert str(found) == as_uuid(data)
    assert (found.version, found.variant) == (4, uuid.RFC_4122)
    assert found.bytes[9:] == data[9:]
