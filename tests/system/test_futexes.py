"""Threads: who is woken waits for its turn, so that a trial of threads repeats as one of processes
does; and a futex gives in a trial what it gives on the plain kernel."""

from __future__ import annotations

import subprocess

import pytest

from conftest import Effort
from harness._engine.runner import Runner
from harness._engine.trial import TrialResult
from tests.system.conftest import CProgram
from tests.system.support import exit_status, plan, python
from tests.system.test_determinism import assert_all_equal, machine, ordinary_runner, repeat

__all__ = ["machine", "ordinary_runner"]  # fixtures

POOL = """
import threading, time
from concurrent.futures import ThreadPoolExecutor
log = []
def work(n):
    log.extend([n] * 3); time.sleep(n / 1000); log.append(-n); return n
with ThreadPoolExecutor(4) as pool: assert sum(pool.map(work, range(12))) == 66
some, items = threading.Condition(), []
def take(n):
    for _ in range(3):
        with some:
            while not items: some.wait()
            log.append((n, items.pop()))
def put():
    for n in range(9):
        with some: items.append(n); some.notify()
threads = [threading.Thread(target=take, args=(n,)) for n in range(3)]
threads.append(threading.Thread(target=put))
for thread in threads: thread.start()
for thread in threads: thread.join()
print(log)
"""

#: `racy` is changed without the lock: what comes of it depends on who runs beside whom.
RACE = r"""
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t some = PTHREAD_COND_INITIALIZER;
static int queue, done, at;
static volatile long racy;
static char taken[400];

static void *take(void *arg) {
    for (;;) {
        pthread_mutex_lock(&lock);
        while (!queue && !done) pthread_cond_wait(&some, &lock);
        if (!queue) return pthread_mutex_unlock(&lock), NULL;
        queue--, taken[at++] = 'a' + (long)arg;
        pthread_mutex_unlock(&lock);
        for (int i = 0; i < 5000; i++) racy = racy * 31 + (long)arg;
        getppid();
    }
}

int main(void) {
    pthread_t threads[4];
    for (long n = 0; n < 4; n++) pthread_create(&threads[n], NULL, take, (void *)n);
    for (int i = 0; i < 60; i++) {
        pthread_mutex_lock(&lock);
        queue++;
        pthread_cond_signal(&some);
        pthread_mutex_unlock(&lock);
        for (int k = 0; k < 5000; k++) racy = racy * 37 + 1;
        if (i % 7 == 0) usleep(10);
    }
    pthread_mutex_lock(&lock);
    done = 1;
    pthread_cond_broadcast(&some);
    pthread_mutex_unlock(&lock);
    for (int n = 0; n < 4; n++) pthread_join(threads[n], NULL);
    printf("%s %ld\n", taken, racy);
}
"""


def assert_one_result(results: list[TrialResult]) -> None:
    assert_all_equal(results)
    assert {r.outcome.end for r in results} == {"exited"}, results[0].outcome.report
    assert len({r.outcome.stdout.head for r in results}) == 1


def trials(effort: Effort) -> int:
    return 100 if effort == "full" else 5


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("seed", [None, 7])
def test_a_thread_pool_and_a_condition_give_one_digest(
    runner: Runner, seed: int | None, effort: Effort
) -> None:
    assert_one_result(repeat(runner, plan(*python(POOL), seed=seed), trials(effort)))


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("seed", [None, 7])
def test_a_race_in_memory_gives_one_result(
    runner: Runner, c_program: CProgram, seed: int | None, effort: Effort
) -> None:
    subject = plan(c_program(RACE, "-pthread"), seed=seed)
    assert_one_result(repeat(runner, subject, trials(effort)))


@pytest.mark.parametrize("machine", ["busy"], indirect=True)
@pytest.mark.usefixtures("machine")
def test_threads_give_one_digest_without_real_time(
    ordinary_runner: Runner, c_program: CProgram, effort: Effort
) -> None:
    for command in (python(POOL), (c_program(RACE, "-pthread"),)):
        assert_one_result(repeat(ordinary_runner, plan(*command, seed=7), trials(effort)))


def test_threads_that_talk_through_a_pipe_run_one_at_a_time(runner: Runner, effort: Effort) -> None:
    code = """
import os, threading
there, back = os.pipe(), os.pipe()
log = []
def answer():
    for n in range(20):
        log.append(("got", os.read(there[0], 1)))
        os.write(back[1], b"x")
        log.append(("said", n))
thread = threading.Thread(target=answer); thread.start()
for n in range(20):
    os.write(there[1], b"y"); log.append(("asked", n)); os.read(back[0], 1); log.append(n)
thread.join(); print(log)
"""
    assert_one_result(repeat(runner, plan(*python(code), seed=3), trials(effort)))


def test_a_new_thread_does_nothing_before_it_is_its_turn(
    runner: Runner, c_program: CProgram
) -> None:
    """Who made it goes on by default, also past its next call; so it sees nothing done yet."""
    source = r"""
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static volatile int has_run;
static void *run(void *arg) { has_run = 1; return arg; }
int main(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, run, NULL);
    getppid();
    write(1, "", 0);
    printf("%d", has_run);
    pthread_join(thread, NULL);
    printf("%d\n", has_run);
}
"""
    result = runner.run(plan(c_program(source, "-pthread", "-Wno-unused-result")))
    assert result.outcome.end == "exited", result.outcome.report
    assert result.outcome.stdout.head == "01\n"


def test_who_forgets_to_wake_waits_for_ever(runner: Runner, c_program: CProgram) -> None:
    """The word has changed, but nobody has said so: as on the plain kernel, nobody wakes."""
    source = r"""
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>
static int word;
static void *wait_for(void *arg) { syscall(SYS_futex, &word, FUTEX_WAIT, 0, 0); return arg; }
int main(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, wait_for, NULL);
    usleep(1000);
    word = 1;
    pthread_join(thread, NULL);
}
"""
    result = runner.run(plan(c_program(source, "-pthread")))
    assert result.outcome.end == "stuck"
    assert "main#1 is blocked in futex#1" in result.outcome.report


#: What a futex gives: printed, and the same on the plain kernel.
FUTEXES = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
static int first, second, third;
static int woken[8];
static pthread_t threads[8];

static long futex(int *word, int op, int value, void *more, int *other, int last) {
    long got = syscall(SYS_futex, word, op, value, more, other, last);
    return got < 0 ? -errno : got;
}
static void *sleeper(void *arg) {
    int bits = 1 << (long)arg;
    woken[(long)arg] = futex(&first, FUTEX_WAIT_BITSET_PRIVATE, 0, 0, 0, bits) == 0;
    return NULL;
}
/* `count` threads that wait for `second`, in this order. */
static void gather(long count) {
    memset(woken, 0, sizeof woken);
    for (long n = 0; n < count; n++) {
        pthread_create(&threads[n], NULL, sleeper, (void *)n);
        while (futex(&first, FUTEX_CMP_REQUEUE_PRIVATE, 0, (void *)1, &second, 0) != 1) usleep(100);
    }
}
static void tell(const char *what, long got) {
    printf("%s: %ld\n", what, got);
    fflush(stdout);
}
static sem_t *shared, here;
static void handle(int number) { (void)number; }
static void handle_and_post(int number) { (void)number; sem_post(&here); }
static void *end_with(void *lock) { pthread_mutex_lock(lock); return NULL; }
static void arm(void (*handler)(int), int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    sigaction(SIGALRM, &action, NULL);
    alarm(1);
}

int main(void) {
    gather(3);
    tell("nobody has this bit", futex(&second, FUTEX_WAKE_BITSET_PRIVATE, 9, 0, 0, 8));
    tell("one has", futex(&second, FUTEX_WAKE_BITSET_PRIVATE, 9, 0, 0, 2));
    pthread_join(threads[1], NULL);
    tell("the second", woken[1]);
    tell("by none, one", futex(&second, FUTEX_WAKE_PRIVATE, 0, 0, 0, 0));
    pthread_join(threads[0], NULL);
    tell("the first", woken[0]);
    tell("the rest", futex(&second, FUTEX_WAKE_PRIVATE, 99, 0, 0, 0));
    pthread_join(threads[2], NULL);
    tell("nobody", futex(&second, FUTEX_WAKE_PRIVATE, 99, 0, 0, 0));

    gather(4);
    third = 2;
    int add_5_if_2 = FUTEX_OP(FUTEX_OP_ADD, 5, FUTEX_OP_CMP_EQ, 2);
    tell("to another", futex(&second, FUTEX_REQUEUE_PRIVATE, 1, (void *)2, &third, 0));
    tell("at both", futex(&second, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &third, add_5_if_2));
    tell("the word", third);
    tell("at one", futex(&second, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &third, add_5_if_2));
    tell("the word", third);
    tell("the last", futex(&third, FUTEX_WAKE_PRIVATE, 9, 0, 0, 0));
    for (int n = 0; n < 4; n++) pthread_join(threads[n], NULL);

    struct timespec tenth = {0, 100 * 1000 * 1000}, bad = {0, -1}, past = {1, 0};
    tell("not this word", futex(&first, FUTEX_WAIT, 7, 0, 0, 0));
    tell("too late", futex(&first, FUTEX_WAIT, 0, &tenth, 0, 0));
    tell("long ago", futex(&first, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &past, 0, 1));
    tell("bad time", futex(&first, FUTEX_WAIT, 0, &bad, 0, 0));
    tell("no bits", futex(&first, FUTEX_WAIT_BITSET, 0, 0, 0, 0));
    tell("no bits to wake", futex(&first, FUTEX_WAKE_BITSET, 1, 0, 0, 0));
    tell("odd", futex((int *)((char *)&first + 1), FUTEX_WAIT, 0, 0, 0, 0));
    tell("nowhere", futex((int *)8, FUTEX_WAIT, 0, 0, 0, 0));
    tell("not this to requeue", futex(&first, FUTEX_CMP_REQUEUE, 0, 0, &second, 7));

    pthread_mutex_t lock;
    pthread_mutexattr_t robust;
    pthread_mutexattr_init(&robust);
    pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&lock, &robust);
    pthread_create(&threads[0], NULL, end_with, &lock);
    pthread_join(threads[0], NULL);
    tell("its owner is dead", pthread_mutex_lock(&lock));

    shared = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    sem_init(shared, 1, 0);
    if (fork() == 0) return sem_post(shared);
    tell("from another process", sem_wait(shared));
    wait(NULL);

    sem_init(&here, 0, 0);
    arm(handle, 0);
    tell("interrupted", sem_wait(&here));
    tell("by errno", errno);
    arm(handle_and_post, SA_RESTART);
    tell("begun again", syscall(SYS_futex, &here, FUTEX_WAIT, 0, 0) ? errno : 0);
}
"""


def test_a_futex_gives_what_it_gives_on_the_plain_kernel(
    runner: Runner, c_program: CProgram
) -> None:
    program = c_program(FUTEXES, "-pthread")
    bare = subprocess.run([program], capture_output=True, text=True, timeout=30, check=True)
    result = runner.run(plan(program))
    assert result.outcome.end == "exited", result.outcome.report
    assert result.outcome.stdout.head == bare.stdout
    assert bare.stdout.count("\n") == 27


def test_a_lock_whose_owner_dies_wakes_who_waits_for_it(
    runner: Runner, c_program: CProgram
) -> None:
    source = r"""
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static pthread_mutex_t lock;
static void *die_with_it(void *arg) { pthread_mutex_lock(&lock); usleep(1000); return arg; }
int main(void) {
    pthread_mutexattr_t robust;
    pthread_t thread;
    pthread_mutexattr_init(&robust);
    pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&lock, &robust);
    pthread_create(&thread, NULL, die_with_it, NULL);
    usleep(500);
    printf("%d\n", pthread_mutex_lock(&lock));
}
"""
    result = runner.run(plan(c_program(source, "-pthread")))
    assert result.outcome.end == "exited", result.outcome.report
    assert result.outcome.stdout.head == "130\n"


def test_a_process_of_waiting_threads_ends_when_it_is_killed(runner: Runner) -> None:
    code = """
import os, signal, threading
for _ in range(3): threading.Thread(target=threading.Event().wait).start()
os.kill(os.getpid(), signal.SIGTERM)
"""
    result = runner.run(plan(*python(code)))
    assert (result.outcome.end, exit_status(result)) == ("exited", 128 + 15)
