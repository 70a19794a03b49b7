"""The filter's program, run by an interpreter of our own over what the kernel would show it.

The interpreter is written from <linux/filter.h> and does not know the builder; the reference says
in a few lines what a filter means. Nothing is installed here.
"""

import itertools
from collections.abc import Sequence
from functools import cache

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness._kernel import uapi
from harness._kernel.bpf import ArgTest, Traps, program, ranges_of
from harness._kernel.uapi import AUDIT_ARCH_X86_64, BPF_MAXINSNS, SOCK_FILTER
from harness.calls import BY_NR

NOTIFY, ALLOW = uapi.SECCOMP_RET_USER_NOTIF, uapi.SECCOMP_RET_ALLOW
ENOSYS = uapi.SECCOMP_RET_ERRNO | 38
X32 = 0x40000000
AUDIT_ARCH_I386 = 0x40000003
WORD = (1 << 64) - 1


@cache
def unpacked(code: bytes) -> list[tuple[int, int, int, int]]:
    return list(SOCK_FILTER.iter_unpack(code))


def run(code: bytes, data: bytes) -> int:
    """What the program returns for one `struct seccomp_data`.

    Follows classic BPF as seccomp's checker admits it: jumps go forward only and never past the
    end.
    """
    instructions = unpacked(code)
    accumulator = at = 0
    while True:
        operation, jump_true, jump_false, k = instructions[at]
        at += 1
        if operation == uapi.BPF_RET_K:
            return k
        if operation == uapi.BPF_LD_W_ABS:
            assert k % 4 == 0
            assert k + 4 <= len(data)
            accumulator = int.from_bytes(data[k : k + 4], "little")
        elif operation == uapi.BPF_JMP_JA:
            at += k
        else:
            holds = {
                uapi.BPF_JMP_JEQ_K: accumulator == k,
                uapi.BPF_JMP_JGE_K: accumulator >= k,
                uapi.BPF_JMP_JSET_K: accumulator & k != 0,
            }[operation]
            at += jump_true if holds else jump_false


def seccomp_data(nr: int, arch: int = AUDIT_ARCH_X86_64, args: Sequence[int] = ()) -> bytes:
    """<linux/seccomp.h>: nr, arch, instruction_pointer, args[6]."""
    words = [*args, *[0] * (6 - len(args))]
    head = nr.to_bytes(4, "little") + arch.to_bytes(4, "little") + bytes(8)
    return head + b"".join(word.to_bytes(8, "little") for word in words)


def meaning(traps: Traps, nr: int, arch: int, args: Sequence[int]) -> int:
    """What a filter for *traps* shall return, said as simply as can be."""
    if arch != AUDIT_ARCH_X86_64:
        return NOTIFY
    if nr >= X32:
        return ENOSYS
    if nr not in traps:
        return ALLOW
    for argument, operator, value in traps[nr]:
        low = args[argument] & 0xFFFFFFFF
        holds = {"eq": low == value, "ne": low != value, "any": low & value != 0}[operator]
        if not holds:
            return ALLOW
    return NOTIFY


# Few values, so that tests and arguments meet often; some that differ in their high half only.
VALUES = [0, 1, 2, 3, 0x5400, 0x80000000, 0xFFFFFFFF]
ARGUMENTS = [*VALUES, 1 << 32, (1 << 32) + 1, (1 << 32) + 0x5400, WORD]
NUMBERS = st.one_of(st.integers(0, 12), st.integers(0, 480), st.integers(0, X32 - 1))
TESTS = st.lists(
    st.builds(
        ArgTest, st.integers(0, 5), st.sampled_from(["eq", "ne", "any"]), st.sampled_from(VALUES)
    ),
    max_size=3,
).map(tuple)
TRAPS = st.dictionaries(NUMBERS, TESTS, max_size=40)


@given(data=st.data(), traps=TRAPS)
def test_a_program_notifies_exactly_where_its_traps_say(data: st.DataObject, traps: Traps) -> None:
    near = sorted({nr + d for nr in traps for d in (-1, 0, 1) if 0 <= nr + d < X32})
    numbers = st.one_of(st.sampled_from(near), NUMBERS) if near else NUMBERS
    code = program(traps)
    calls = st.tuples(numbers, st.lists(st.sampled_from(ARGUMENTS), min_size=6, max_size=6))
    for nr, args in data.draw(st.lists(calls, min_size=1, max_size=20)):
        found = run(code, seccomp_data(nr, args=args))
        assert found == meaning(traps, nr, AUDIT_ARCH_X86_64, args), (nr, args)


@given(traps=TRAPS, nr=NUMBERS, arch=st.integers(0, 0xFFFFFFFF))
@example(traps={}, nr=1, arch=AUDIT_ARCH_I386)
def test_a_call_of_another_architecture_always_notifies(traps: Traps, nr: int, arch: int) -> None:
    expected = meaning(traps, nr, arch, [0] * 6)
    assert run(program(traps), seccomp_data(nr, arch)) == expected
    assert arch == AUDIT_ARCH_X86_64 or expected == NOTIFY


@given(traps=TRAPS, nr=st.integers(X32, 0xFFFFFFFF))
@example(traps={1: ()}, nr=X32 + 1)
@example(traps={}, nr=X32)
@example(traps={}, nr=0xFFFFFFFF)
def test_a_call_of_x32_answers_enosys(traps: Traps, nr: int) -> None:
    assert run(program(traps), seccomp_data(nr)) == ENOSYS


@given(traps=TRAPS)
def test_every_path_through_a_program_ends_in_a_return(traps: Traps) -> None:
    """The kernel's own check, which answers EINVAL: nothing jumps or falls past the end."""
    instructions = list(SOCK_FILTER.iter_unpack(program(traps)))
    for at, (operation, jump_true, jump_false, k) in enumerate(instructions):
        if operation == uapi.BPF_RET_K:
            continue
        far = k if operation == uapi.BPF_JMP_JA else max(jump_true, jump_false)
        assert at + 1 + far < len(instructions)


@given(traps=TRAPS)
def test_ranges_are_merged_and_cover_every_number(traps: Traps) -> None:
    ranges = ranges_of(traps)
    starts = [start for start, _ in ranges]
    assert starts[0] == 0
    assert starts == sorted(set(starts))
    assert all(one[1] != other[1] for one, other in itertools.pairwise(ranges)), (
        "two neighbours are alike"
    )


def test_neighbours_that_are_treated_alike_are_one_range() -> None:
    assert ranges_of({3: (), 4: (), 5: ()}) == [(0, None), (3, ()), (6, None)]


def test_number_0_can_be_trapped() -> None:
    assert ranges_of({0: ()}) == [(0, ()), (1, None)]


@pytest.mark.parametrize("apart", [150, 300, 1000])
def test_jumps_over_more_than_255_instructions_land_where_they_should(apart: int) -> None:
    traps: Traps = dict.fromkeys(range(0, 2 * apart, 2), ())
    code = program(traps)
    found = [run(code, seccomp_data(nr)) for nr in range(2 * apart + 2)]
    assert found == [NOTIFY, ALLOW] * apart + [ALLOW, ALLOW]
    assert run(code, seccomp_data(0, AUDIT_ARCH_I386)) == NOTIFY
    assert run(code, seccomp_data(X32)) == ENOSYS


@pytest.mark.parametrize("operator", ["eq", "ne", "any"])
def test_tests_of_one_call_may_be_many(operator: str) -> None:
    """Longer than one jump: a body of tests is skipped as a whole."""
    tests = tuple(ArgTest(i % 6, operator, 1 if operator != "ne" else i + 2) for i in range(400))
    code = program({7: tests})
    assert run(code, seccomp_data(7, args=[1] * 6)) == NOTIFY
    for wrong in range(6):
        args = [1] * 6
        args[wrong] = tests[wrong].value if operator == "ne" else 0
        assert run(code, seccomp_data(7, args=args)) == ALLOW


def test_only_the_low_half_of_an_argument_is_tested() -> None:
    """A descriptor or a flag word is an int: what stands above it in the register means nothing."""
    code = program({16: (ArgTest(1, "eq", 0x5413),)})
    assert run(code, seccomp_data(16, args=[0, 0xDEAD00005413])) == NOTIFY


def test_every_call_that_there_is_fits_into_one_program() -> None:
    traps: Traps = {nr: (ArgTest(0, "ne", nr),) for nr in BY_NR}
    assert len(program(traps)) // SOCK_FILTER.size < BPF_MAXINSNS


def test_what_does_not_fit_is_refused_with_both_figures() -> None:
    traps: Traps = dict.fromkeys(range(0, 6000, 2), ())
    with pytest.raises(ValueError, match=r"the filter has \d+ instructions, the kernel takes 4096"):
        program(traps)
