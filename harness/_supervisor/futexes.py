"""Futexes: waits and wakes on a word of memory, answered from queues of our own.

The kernel's own queue would let a woken thread run beside its waker, and what two threads do
together to one memory is the machine's affair. Here who is woken stays parked until it is its turn.
Queues are first come, first served, as the kernel's are for tasks of one priority, and nobody is
woken but by a call or by the end of a thread: a program that forgets to wake waits for ever, here
as there.

Priority inheritance (the _PI operations), futex_waitv(2) and its kin are left to the kernel.
Source: futex(2), set_tid_address(2), get_robust_list(2).
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator
from typing import NamedTuple

from .._kernel.seccomp import ARGS
from .._kernel.uapi import ERESTARTNOHAND, ERESTARTSYS
from .tasks import Task
from .virtual_time import NEVER, VirtualTime, Wait
from .waits import timespec

#: <linux/futex.h>
WAIT, WAKE, REQUEUE, CMP_REQUEUE, WAKE_OP, WAIT_BITSET, WAKE_BITSET = 0, 1, 3, 4, 5, 9, 10
_PRIVATE, _CLOCK_REALTIME, _COMMANDS = 128, 256, 127
_ANY = 0xFFFFFFFF  # FUTEX_BITSET_MATCH_ANY
_OWNER_DIED = 0x40000000

#: What a futex is known by: a process and an address, or a device, an inode and an offset.
Key = tuple[int | str, ...]
Answer = tuple[int, int]


class _Sleeper:
    """One task in a queue. *shown*: what the word was when it came."""

    __slots__ = ("address", "bits", "shown", "task", "woken")

    def __init__(self, task: Task, address: int, bits: int, shown: int) -> None:
        self.task = task
        self.address = address
        self.bits = bits
        self.shown = shown
        self.woken = False


class _Operation(NamedTuple):
    address: int
    command: int
    flags: int
    value: int
    timeout: int  # a pointer, or the second number
    other: int  # the second address
    third: int


class Futexes:
    """The queues of one trial."""

    def __init__(self, time: VirtualTime) -> None:
        self._time = time
        self._queues: dict[Key, list[_Sleeper]] = {}

    def call(self, task: Task) -> Wait | Answer | None:
        """What becomes of the futex(2) of *task*: a wait that begins, an answer (result and errno),
        or None, when the kernel is to carry it out: it will refuse it, or not wait, or wakes those
        that wait by ways that are not ours."""
        assert task.call is not None
        address, operation, value, timeout, other, third = task.call[ARGS : ARGS + 6]
        asked = _Operation(
            address,
            operation & _COMMANDS,
            operation,
            value & 0xFFFFFFFF,
            timeout,
            other,
            third & 0xFFFFFFFF,
        )
        if address & 3:
            return None
        try:
            if asked.command in (WAIT, WAIT_BITSET):
                return self._wait(task, asked)
            if asked.command in (WAKE, WAKE_BITSET):
                bits = asked.third if asked.command == WAKE_BITSET else _ANY
                woken = self._wake(self._key(task, asked, address), _count(value), bits)
                return (woken, 0) if woken else None
            if asked.command in (REQUEUE, CMP_REQUEUE):
                return self._requeue(task, asked)
            if asked.command == WAKE_OP:
                return self._wake_op(task, asked)
        except OSError:
            pass  # the kernel says EFAULT, or it is gone
        return None

    def ended(self, task: Task) -> None:
        """A thread is gone: what it waited for, and what the kernel did at its end to those who
        wait for it: a word is cleared (pthread_join), a robust lock is marked."""
        self._leave(task)
        if task.clears:
            self._wake((task.tgid, task.clears), 1, _ANY)
        for key, queue in list(self._queues.items()):
            first = queue[0]
            try:
                word = _word(first.task, first.address)
            except OSError:
                continue
            if word & ~first.shown & _OWNER_DIED:
                self._wake(key, 1, _ANY)

    # The operations

    def _wait(self, task: Task, asked: _Operation) -> Wait | None:
        bits = asked.third if asked.command == WAIT_BITSET else _ANY
        if not bits or _word(task, asked.address) != asked.value:
            return None
        deadline = self._deadline(task, asked)
        if deadline is None or task.is_interrupted():
            return None
        sleeper = _Sleeper(task, asked.address, bits, asked.value)
        key = self._key(task, asked, asked.address)
        self._queues.setdefault(key, []).append(sleeper)
        return Wait(
            deadline,
            (0, errno.ETIMEDOUT),
            lambda: sleeper.woken,
            expire=lambda: self._leave(task),
            interrupted=lambda left: self._leave(task),
            value=(0, 0),
            restart=ERESTARTNOHAND if asked.timeout else ERESTARTSYS,
        )

    def _deadline(self, task: Task, asked: _Operation) -> int | None:
        """In the trial's time; None when the kernel refuses it."""
        if not asked.timeout:
            return NEVER
        limit = timespec(task, asked.timeout)
        if limit is None:
            return None
        if asked.command == WAIT:
            return self._time.now + limit
        return self._time.of_clock(0 if asked.flags & _CLOCK_REALTIME else 1, limit)

    def _wake(self, key: Key, count: int, bits: int) -> int:
        woken = 0
        for sleeper in list(self._queues.get(key, ())):
            if woken == count:
                break
            if sleeper.bits & bits:
                sleeper.woken = True
                self._remove(key, sleeper)
                woken += 1
        return woken

    def _requeue(self, task: Task, asked: _Operation) -> Answer | None:
        key = self._key(task, asked, asked.address)
        other = self._key(task, asked, asked.other)
        if key not in self._queues:
            return None
        if asked.command == CMP_REQUEUE and _word(task, asked.address) != asked.third:
            return 0, errno.EAGAIN
        wakes, moves = _signed(asked.value), _signed(asked.timeout)
        if wakes < 0 or moves < 0:
            return 0, errno.EINVAL
        done = self._wake(key, wakes, _ANY) if wakes else 0
        moved = self._queues.get(key, [])[:moves]
        for sleeper in moved:
            self._remove(key, sleeper)
            sleeper.address = asked.other
            self._queues.setdefault(other, []).append(sleeper)
        return done + len(moved), 0

    def _wake_op(self, task: Task, asked: _Operation) -> Answer | None:
        """Change the second word, wake at the first, and at the second if it was as it should."""
        operation, test, change, against = _decoded(asked.third)
        if operation > 4 or test > 5 or asked.other & 3:
            return None
        key = self._key(task, asked, asked.address)
        other = self._key(task, asked, asked.other)
        before = _word(task, asked.other)
        after = (change, before + change, before | change, before & ~change, before ^ change)
        task.memory().write(asked.other, struct.pack("=I", after[operation] & 0xFFFFFFFF))
        old = _signed(before)
        holds = (
            *(old == against, old != against, old < against),
            *(old <= against, old > against, old >= against),
        )
        woken = self._wake(key, _count(asked.value), _ANY)
        if holds[test]:
            woken += self._wake(other, _count(asked.timeout), _ANY)
        return woken, 0

    # The queues

    def _key(self, task: Task, asked: _Operation, address: int) -> Key:
        if asked.flags & _PRIVATE:
            return task.tgid, address
        return _shared(task, address) or (task.tgid, address)

    def _leave(self, task: Task) -> None:
        for key, queue in list(self._queues.items()):
            for sleeper in queue:
                if sleeper.task is task:
                    self._remove(key, sleeper)
                    return

    def _remove(self, key: Key, sleeper: _Sleeper) -> None:
        queue = self._queues[key]
        queue.remove(sleeper)
        if not queue:
            del self._queues[key]


def _word(task: Task, address: int) -> int:
    return int.from_bytes(task.memory().read(address, 4), "little")


def _count(word: int) -> int:
    """How many to wake; the kernel wakes one before it looks at the number."""
    return max(1, _signed(word))


def _signed(word: int) -> int:
    word &= 0xFFFFFFFF
    return word - (1 << 32) if word >> 31 else word


def _decoded(word: int) -> tuple[int, int, int, int]:
    """The operation, comparison, and their two numbers of a FUTEX_WAKE_OP."""
    operation, test = word >> 28, word >> 24 & 15
    change, against = (_twelve(word >> at) for at in (12, 0))
    if operation & 8:
        change = 1 << (change & 31)
    return operation & 7, test, change, against


def _twelve(word: int) -> int:
    """A signed number of twelve bits."""
    word &= 0xFFF
    return word - 0x1000 if word & 0x800 else word


def _shared(task: Task, address: int) -> Key | None:
    """What is known by the same name in every process that maps it; None for memory that is not
    shared. Source: proc_pid_maps(5)."""
    for low, high, rights, offset, device, inode in _areas(task):
        if low <= address < high:
            return (device, inode, offset + address - low) if "s" in rights else None
    return None


def _areas(task: Task) -> Iterator[tuple[int, int, str, int, str, int]]:
    with open(f"/proc/{task.tid}/maps") as file:
        for line in file:
            where, rights, offset, device, inode = line.split(maxsplit=5)[:5]
            low, high = where.split("-")
            yield int(low, 16), int(high, 16), rights, int(offset, 16), device, int(inode)
