/* Each call that knows time, in all its ways: `waits CASE NANOSECONDS` prints what came of it, with all
   times in units of so many nanoseconds, rounded. So what it prints with short units on the plain kernel
   and with long ones in a trial must be equal. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
typedef long long ns;

static ns unit, began;

static ns from_timespec(struct timespec t) { return t.tv_sec * SECOND + t.tv_nsec; }
static ns from_timeval(struct timeval t) { return t.tv_sec * SECOND + t.tv_usec * 1000LL; }
static struct timespec to_timespec(ns t) { return (struct timespec){t / SECOND, t % SECOND}; }
static struct timeval to_timeval(ns t) { return (struct timeval){t / SECOND, t % SECOND / 1000}; }
static int units(ns t) { return (int)((t + unit / 2) / unit); }

static ns clock_of(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return from_timespec(t);
}
static ns now(void) { return clock_of(CLOCK_MONOTONIC); }

/* Prints what a call gave, and how long it took since `began`. */
static void said(const char *what, long result) {
    const char *error = result == -1 ? strerrorname_np(errno) : "";
    printf("%s: %ld %s after %d\n", what, result, error, units(now() - began));
    began = now();
}

static volatile int caught;
static void handler(int number) { caught = number; }
static void handle(int number, int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    sigaction(number, &action, NULL);
}

/* A child that does something to us after so many units. */
static pid_t later(int after, void (*act)(pid_t us, int with), int with) {
    pid_t us = getpid(), child;
    fflush(stdout);
    if ((child = fork()))
        return child;
    struct timespec t = to_timespec(after * unit);
    nanosleep(&t, NULL);
    act(us, with);
    _exit(0);
}
static void kill_us(pid_t us, int number) { kill(us, number); }
static void write_to(pid_t us, int fd) { (void)!write(fd, "x", 1); }
static void read_from(pid_t us, int fd) {
    static char data[1 << 20];
    (void)!read(fd, data, sizeof data);
}
static void stop_and_continue(pid_t us, int units_stopped) {
    kill(us, SIGSTOP);
    struct timespec t = to_timespec(units_stopped * unit);
    nanosleep(&t, NULL);
    kill(us, SIGCONT);
}
static void reap(void) {
    int caught_before = caught;
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
        ;
    caught = caught_before;
    began = now();
}

static void sleeps(void) {
    struct timespec two = to_timespec(2 * unit), rest = {-1, -1}, bad = {0, SECOND}, past = {-1, 0};
    said("nanosleep", nanosleep(&two, &rest));
    said("too many nanoseconds", nanosleep(&bad, NULL));
    said("negative", nanosleep(&past, NULL));
    said("no address", syscall(SYS_nanosleep, 8, NULL));
    struct timespec none = {0, 0};
    said("none", nanosleep(&none, NULL));
    handle(SIGUSR1, SA_RESTART);
    later(1, kill_us, SIGUSR1);
    said("a signal", nanosleep(&two, &rest));
    printf("%d left, caught %d\n", units(from_timespec(rest)), caught);
    reap();
    signal(SIGUSR2, SIG_IGN);
    later(1, kill_us, SIGUSR2);
    said("one that is ignored", nanosleep(&two, &rest));
    reap();
    later(1, stop_and_continue, 2);
    said("stopped for two", nanosleep(&two, &rest));
    reap();
    later(1, stop_and_continue, 0);
    said("stopped for a moment", nanosleep(&two, &rest));
}

static void clock_sleeps(void) {
    clockid_t clocks[] = {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME, CLOCK_TAI};
    for (int i = 0; i < 4; i++) {
        struct timespec until = to_timespec(clock_of(clocks[i]) + 2 * unit), rest;
        printf("clock %d: ", clocks[i]);
        said("until", syscall(SYS_clock_nanosleep, clocks[i], TIMER_ABSTIME, &until, NULL));
        printf("clock %d: ", clocks[i]);
        said("is past", syscall(SYS_clock_nanosleep, clocks[i], TIMER_ABSTIME, &until, &rest));
    }
    struct timespec two = to_timespec(2 * unit), rest = {-1, -1};
    said("for", syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &two, &rest));
    said("no such clock", syscall(SYS_clock_nanosleep, 77, 0, &two, &rest));
    said("a clock to read only", syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC_RAW, 0, &two, &rest));
    handle(SIGUSR1, 0);
    later(1, kill_us, SIGUSR1);
    said("a signal", syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &two, &rest));
    printf("%d left\n", units(from_timespec(rest)));
    reap();
    struct timespec until = to_timespec(now() + 2 * unit);
    rest = (struct timespec){-1, -1};
    later(1, kill_us, SIGUSR1);
    said("a signal", syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &until, &rest));
    printf("untouched %ld\n", (long)rest.tv_sec);
    until = to_timespec(now() + 3 * unit);
    reap();
    later(1, stop_and_continue, 1);
    said("stopped", syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL));
}

static void polls(void) {
    int pipe_[2];
    (void)!pipe(pipe_);
    struct pollfd fds[3] = {{pipe_[0], POLLIN, 77}, {-1, POLLIN, 77}, {pipe_[1], POLLPRI, 77}};
    int milliseconds = 2 * unit / 1000000;
    said("nobody writes", poll(fds, 3, milliseconds));
    printf("%d %d %d\n", fds[0].revents, fds[1].revents, fds[2].revents);
    said("none", poll(NULL, 0, milliseconds));
    said("at once", poll(fds, 3, 0));
    later(1, write_to, pipe_[1]);
    said("somebody writes", poll(fds, 3, milliseconds));
    printf("%d %d %d\n", fds[0].revents, fds[1].revents, fds[2].revents);
    reap();
    said("it is there", poll(fds, 1, milliseconds));
    (void)!read(pipe_[0], fds, 1);
    fds[0] = (struct pollfd){pipe_[0], POLLIN, 77};
    handle(SIGUSR1, SA_RESTART);
    later(1, kill_us, SIGUSR1);
    said("a signal", poll(fds, 1, milliseconds));
    printf("%d\n", fds[0].revents);
    reap();
    later(1, stop_and_continue, 3);
    said("stopped for longer", poll(fds, 1, milliseconds));
    reap();
    fds[1] = (struct pollfd){99, POLLIN, 77};
    said("not open", poll(fds, 2, milliseconds));
    printf("%d\n", fds[1].revents);
    said("no address", syscall(SYS_poll, 8, 1, milliseconds));
    said("too many", syscall(SYS_poll, fds, 1 << 30, milliseconds));
    close(pipe_[1]);
    said("hung up", poll(fds, 1, milliseconds));
    printf("%d\n", fds[0].revents);
}

/* The system call, which writes back what is left of the time. */
static long ppoll_(struct pollfd *fds, int count, ns t, const sigset_t *mask, int *left) {
    struct timespec limit = to_timespec(t);
    long result = syscall(SYS_ppoll, fds, count, &limit, mask, 8);
    int error = errno;
    *left = units(from_timespec(limit));
    errno = error;
    return result;
}

static void masked_polls(void) {
    int pipe_[2], left;
    (void)!pipe(pipe_);
    struct pollfd fd = {pipe_[0], POLLIN, 0};
    sigset_t usr1, none;
    sigemptyset(&none);
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    said("nobody writes", ppoll_(&fd, 1, 2 * unit, NULL, &left));
    printf("%d left\n", left);
    later(1, write_to, pipe_[1]);
    said("somebody writes", ppoll_(&fd, 1, 3 * unit, NULL, &left));
    printf("%d left\n", left);
    reap();
    (void)!read(pipe_[0], &left, 1);
    handle(SIGUSR1, SA_RESTART);
    sigprocmask(SIG_BLOCK, &usr1, NULL);
    later(1, kill_us, SIGUSR1);
    said("a signal that is blocked", ppoll_(&fd, 1, 3 * unit, NULL, &left));
    printf("%d left, caught %d\n", left, caught);
    said("which is pending", ppoll_(&fd, 1, 3 * unit, &none, &left));
    printf("%d left, caught %d\n", left, caught);
    reap();
    caught = 0;
    later(1, kill_us, SIGUSR1);
    said("a signal that is let in", ppoll_(&fd, 1, 3 * unit, &none, &left));
    printf("%d left, caught %d\n", left, caught);
    reap();
    struct timespec bad = {0, -1};
    said("negative", syscall(SYS_ppoll, &fd, 1, &bad, NULL, 8));
}

static void selects(void) {
    int pipe_[2];
    (void)!pipe(pipe_);
    struct timeval limit = to_timeval(2 * unit);
    fd_set in, out;
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_SET(pipe_[0], &in);
    said("nobody writes", select(pipe_[0] + 1, &in, NULL, NULL, &limit));
    printf("%d, %d left\n", FD_ISSET(pipe_[0], &in), units(from_timeval(limit)));
    limit = to_timeval(3 * unit);
    FD_SET(pipe_[0], &in);
    later(1, write_to, pipe_[1]);
    said("somebody writes", select(pipe_[0] + 1, &in, &out, NULL, &limit));
    printf("%d, %d left\n", FD_ISSET(pipe_[0], &in), units(from_timeval(limit)));
    reap();
    FD_SET(pipe_[1], &out);
    limit = to_timeval(3 * unit);
    said("both", select(pipe_[1] + 1, &in, &out, NULL, &limit));
    printf("%d %d, %d left\n", FD_ISSET(pipe_[0], &in), FD_ISSET(pipe_[1], &out),
           units(from_timeval(limit)));
    (void)!read(pipe_[0], &in, 1);
    FD_ZERO(&in);
    FD_SET(pipe_[0], &in);
    handle(SIGUSR1, SA_RESTART);
    limit = to_timeval(3 * unit);
    later(1, kill_us, SIGUSR1);
    said("a signal", select(pipe_[0] + 1, &in, NULL, NULL, &limit));
    printf("%d, %d left\n", FD_ISSET(pipe_[0], &in), units(from_timeval(limit)));
    reap();
    FD_SET(60, &in);
    said("not open", select(100, &in, NULL, NULL, &limit));
    limit = (struct timeval){0, -1};
    said("negative", select(0, NULL, NULL, NULL, &limit));
    said("a negative count", select(-1, NULL, NULL, NULL, NULL));

    struct timespec left = to_timespec(2 * unit);
    sigset_t usr1, none;
    sigemptyset(&none);
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    sigprocmask(SIG_BLOCK, &usr1, NULL);
    kill(getpid(), SIGUSR1);
    struct { const sigset_t *set; size_t size; } mask = {&none, 8};
    caught = 0;
    began = now();
    said("pselect, pending", syscall(SYS_pselect6, 0, NULL, NULL, NULL, &left, &mask));
    printf("%d left, caught %d\n", units(from_timespec(left)), caught);
    left = to_timespec(2 * unit);
    said("pselect", syscall(SYS_pselect6, 0, NULL, NULL, NULL, &left, NULL));
    printf("%d left\n", units(from_timespec(left)));
    FD_ZERO(&in);
    FD_SET(pipe_[0], &in);
    left = to_timespec(3 * unit);
    later(1, write_to, pipe_[1]);
    said("somebody writes", syscall(SYS_pselect6, 50, &in, NULL, NULL, &left, NULL));
    printf("%d, %d left\n", FD_ISSET(pipe_[0], &in), units(from_timespec(left)));
}

static void epolls(void) {
    int pipe_[2], epoll = epoll_create1(0), milliseconds = 2 * unit / 1000000;
    char byte;
    (void)!pipe(pipe_);
    struct epoll_event event = {EPOLLIN | EPOLLET, {.u64 = 7}}, got[2] = {{0}};
    epoll_ctl(epoll, EPOLL_CTL_ADD, pipe_[0], &event);
    said("nobody writes", epoll_wait(epoll, got, 2, milliseconds));
    later(1, write_to, pipe_[1]);
    said("somebody writes", epoll_wait(epoll, got, 2, milliseconds));
    printf("%x %d\n", got[0].events, (int)got[0].data.u64);
    reap();
    said("the edge is past", epoll_wait(epoll, got, 2, milliseconds));
    later(1, write_to, pipe_[1]);
    said("another edge", epoll_wait(epoll, got, 2, milliseconds));
    reap();
    (void)!read(pipe_[0], &byte, 1);
    (void)!read(pipe_[0], &byte, 1);
    event.events = EPOLLIN | EPOLLONESHOT;
    epoll_ctl(epoll, EPOLL_CTL_MOD, pipe_[0], &event);
    later(1, write_to, pipe_[1]);
    said("once", epoll_wait(epoll, got, 2, milliseconds));
    reap();
    said("and not again", epoll_wait(epoll, got, 2, milliseconds));
    handle(SIGUSR1, SA_RESTART);
    later(1, kill_us, SIGUSR1);
    said("a signal", epoll_wait(epoll, got, 2, milliseconds));
    reap();
    struct timespec two = to_timespec(2 * unit);
    said("epoll_pwait2", syscall(SYS_epoll_pwait2, epoll, got, 2, &two, NULL, 0));
    sigset_t usr1, none;
    sigemptyset(&none);
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    sigprocmask(SIG_BLOCK, &usr1, NULL);
    kill(getpid(), SIGUSR1);
    began = now();
    said("a signal that is blocked", epoll_wait(epoll, got, 2, milliseconds));
    said("and let in", epoll_pwait(epoll, got, 2, milliseconds, &none));
    said("no room", epoll_wait(epoll, got, 0, milliseconds));
    said("none such", epoll_wait(99, got, 2, milliseconds));
    said("no epoll", epoll_wait(pipe_[0], got, 2, milliseconds));
}

static void waits_for_signals(void) {
    sigset_t usr1;
    siginfo_t info = {0};
    struct timespec two = to_timespec(2 * unit), bad = {0, SECOND};
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    sigprocmask(SIG_BLOCK, &usr1, NULL);
    handle(SIGUSR2, SA_RESTART);
    said("nobody sends", sigtimedwait(&usr1, &info, &two));
    pid_t child = later(1, kill_us, SIGUSR1);
    said("somebody sends", sigtimedwait(&usr1, &info, &two));
    printf("%d from %d\n", info.si_code, info.si_pid == child);
    reap();
    later(1, kill_us, SIGUSR2);
    said("another one", sigtimedwait(&usr1, &info, &two));
    reap();
    kill(getpid(), SIGUSR1);
    said("it is pending", sigtimedwait(&usr1, &info, &two));
    said("too many nanoseconds", sigtimedwait(&usr1, &info, &bad));
    later(1, kill_us, SIGUSR2);
    said("pause", pause());
    reap();
    sigset_t none;
    sigemptyset(&none);
    later(1, kill_us, SIGUSR2);
    said("sigsuspend", sigsuspend(&none));
    reap();

    int fd = signalfd(-1, &usr1, 0);
    struct pollfd polled = {fd, POLLIN, 0};
    struct signalfd_siginfo read_;
    int milliseconds = 3 * unit / 1000000;
    later(1, kill_us, SIGUSR1);
    said("signalfd", poll(&polled, 1, milliseconds));
    printf("%d, %zd bytes\n", polled.revents, read(fd, &read_, sizeof read_));
    reap();
    int epoll = epoll_create1(0);
    struct epoll_event event = {EPOLLIN, {0}};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    later(1, kill_us, SIGUSR1);
    said("signalfd in epoll", epoll_wait(epoll, &event, 1, milliseconds));
    reap();
    (void)!read(fd, &read_, sizeof read_);
    said("no signal", poll(&polled, 1, milliseconds));
}

static void alarms(void) {
    handle(SIGALRM, 0);
    struct itimerval one = {{0, 0}, to_timeval(2 * unit)}, old, none = {{0}};
    setitimer(ITIMER_REAL, &one, NULL);
    said("pause", pause());
    struct itimerval many = {to_timeval(2 * unit), to_timeval(unit)};
    setitimer(ITIMER_REAL, &many, NULL);
    said("pause", pause());
    said("pause", pause());
    getitimer(ITIMER_REAL, &old);
    printf("%d every %d\n", units(from_timeval(old.it_value)), units(from_timeval(old.it_interval)));
    setitimer(ITIMER_REAL, &none, &old);
    printf("%d every %d\n", units(from_timeval(old.it_value)), units(from_timeval(old.it_interval)));
    getitimer(ITIMER_REAL, &old);
    printf("%ld.%ld\n", (long)old.it_value.tv_sec, (long)old.it_value.tv_usec);
    struct itimerval bad = {{0, 0}, {0, 1000000}};
    said("too many microseconds", setitimer(ITIMER_REAL, &bad, NULL));
    said("no such timer", setitimer(9, &one, NULL));
    /* Seconds are all that alarm(2) knows, rounded: with units these would not be seen. */
    printf("%u", alarm(1000));
    printf(" %u", alarm(0));
    struct itimerval odd[] = {{{0}, {5, 499000}}, {{0}, {5, 600000}}, {{0}, {0, 300000}}};
    for (int i = 0; i < 3; i++) {
        setitimer(ITIMER_REAL, &odd[i], NULL);
        printf(" %u", alarm(0));
    }
    printf("\n");
    fflush(stdout);
    if (!fork()) {
        getitimer(ITIMER_REAL, &old);
        printf("a child has none: %ld\n", (long)old.it_value.tv_sec);
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
}

static volatile int rings, overruns;
static timer_t timer;
static void rung(int number, siginfo_t *info, void *context) {
    rings++;
    overruns += timer_getoverrun(timer);
    caught = info->si_code == SI_TIMER ? info->si_value.sival_int : -1;
}

static void timers(void) {
    struct sigaction action = {.sa_sigaction = rung, .sa_flags = SA_SIGINFO};
    sigaction(SIGRTMIN, &action, NULL);
    struct sigevent tells = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
    tells.sigev_value.sival_int = 42;
    struct itimerspec spec = {{0}, to_timespec(2 * unit)}, left;
    said("create", timer_create(CLOCK_MONOTONIC, &tells, &timer));
    timer_settime(timer, 0, &spec, NULL);
    said("pause", pause());
    printf("%d rings, value %d, overruns %d\n", rings, caught, overruns);
    timer_gettime(timer, &left);
    printf("%ld.%ld left\n", (long)left.it_value.tv_sec, (long)left.it_value.tv_nsec);
    struct itimerspec many = {to_timespec(unit), to_timespec(unit)};
    timer_settime(timer, 0, &many, &left);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    struct timespec some = to_timespec(7 * unit / 2);
    nanosleep(&some, NULL);
    timer_gettime(timer, &left);
    printf("next in half a unit: %d\n", (int)((from_timespec(left.it_value) * 4 + unit / 2) / unit));
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    printf("%d rings, overruns %d\n", rings, overruns);
    began = now();
    timer_settime(timer, 0, &(struct itimerspec){{0}, {0}}, &left);
    printf("was %d every %d\n", units(from_timespec(left.it_value) + unit / 4),
           units(from_timespec(left.it_interval)));
    struct itimerspec until = {{0}, to_timespec(now() + 2 * unit)};
    began = now();
    timer_settime(timer, TIMER_ABSTIME, &until, NULL);
    said("until", pause());
    timer_settime(timer, TIMER_ABSTIME, &until, NULL);
    printf("%d rings, in the past too\n", rings);
    struct itimerspec bad = {{0}, {0, SECOND}};
    said("too many nanoseconds", timer_settime(timer, 0, &bad, NULL));
    said("delete", timer_delete(timer));
    said("delete it again", timer_delete(timer));
    said("none such", timer_gettime(timer, &left));
    tells.sigev_notify = SIGEV_NONE;
    timer_create(CLOCK_REALTIME, &tells, &timer);
    timer_settime(timer, 0, &spec, NULL);
    some = to_timespec(unit);
    nanosleep(&some, NULL);
    timer_gettime(timer, &left);
    printf("tells nobody, %d left\n", units(from_timespec(left.it_value)));
    tells.sigev_notify = SIGEV_SIGNAL;
    tells.sigev_signo = 99;
    said("no such signal", timer_create(CLOCK_REALTIME, &tells, &timer));
    said("no such clock", timer_create(77, NULL, &timer));
}

static void timer_files(void) {
    uint64_t count = 0;
    int fd = timerfd_create(CLOCK_MONOTONIC, 0);
    struct itimerspec spec = {to_timespec(2 * unit), to_timespec(unit)}, left;
    said("set", timerfd_settime(fd, 0, &spec, NULL));
    ssize_t got = read(fd, &count, 8);
    said("read", got);
    printf("count %d\n", (int)count);
    struct timespec five = to_timespec(5 * unit);
    nanosleep(&five, NULL);
    timerfd_gettime(fd, &left);
    printf("next in %d\n", units(from_timespec(left.it_value)));
    got = read(fd, &count, 8);
    printf("%zd, count %d\n", got, (int)count);
    began = now();
    struct pollfd polled = {fd, POLLIN, 0};
    said("poll", poll(&polled, 1, (int)(9 * unit / 1000000)));
    said("too short", read(fd, &count, 4));
    struct itimerspec none = {{0}, {0}};
    said("disarm", timerfd_settime(fd, 0, &none, &left));
    printf("was %d every %d\n", units(from_timespec(left.it_value)),
           units(from_timespec(left.it_interval)));
    fcntl(fd, F_SETFL, O_NONBLOCK);
    said("nothing there", read(fd, &count, 8));
    struct itimerspec until = {{0}, to_timespec(clock_of(CLOCK_REALTIME) + 2 * unit)};
    int real = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    timerfd_settime(real, TFD_TIMER_ABSTIME, &until, NULL);
    said("not yet", read(real, &count, 8));
    polled.fd = real;
    said("poll", poll(&polled, 1, (int)(9 * unit / 1000000)));
    int twin = dup(real);
    said("read a duplicate", read(twin, &count, 8));
    said("not again", read(real, &count, 8));
    struct itimerspec bad = {{0}, {0, SECOND}};
    said("too many nanoseconds", timerfd_settime(fd, 0, &bad, NULL));
    said("no timer", timerfd_settime(1, 0, &spec, NULL));
    said("none such", timerfd_settime(99, 0, &spec, NULL));
    said("no such clock", timerfd_create(77, 0));
    said("no such flag", timerfd_create(CLOCK_MONOTONIC, 1 << 20));
    timerfd_settime(fd, 0, &(struct itimerspec){{0}, to_timespec(unit)}, NULL);
    fcntl(fd, F_SETFL, 0);
    fflush(stdout);
    if (!fork()) {
        got = read(fd, &count, 8);
        said("a child reads it", got);
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
}

static void sockets(void) {
    int pair[2];
    static char data[1 << 20];
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    struct timeval two = to_timeval(2 * unit), none = {0, 0};
    setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &two, sizeof two);
    setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &two, sizeof two);
    said("recv", recv(pair[0], data, 1, 0));
    said("read", read(pair[0], data, 1));
    said("do not wait", recv(pair[0], data, 1, MSG_DONTWAIT));
    later(1, write_to, pair[1]);
    said("somebody writes", recv(pair[0], data, 1, 0));
    reap();
    handle(SIGUSR1, SA_RESTART);
    later(1, kill_us, SIGUSR1);
    said("a signal", recv(pair[0], data, 1, 0));
    reap();
    later(1, stop_and_continue, 0);
    said("stopped", recv(pair[0], data, 1, 0));
    reap();
    int size = 4096;
    setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    while (send(pair[0], data, 1024, MSG_DONTWAIT) > 0)
        ;
    began = now();
    said("full", send(pair[0], data, 1024, MSG_NOSIGNAL));
    said("full", write(pair[0], data, 1024));
    later(1, read_from, pair[1]);
    said("somebody reads", send(pair[0], data, 1024, 0));
    reap();
    setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &none, sizeof none);
    later(2, write_to, pair[1]);
    said("without a limit", recv(pair[0], data, 1, 0));
    reap();

    int server = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un name = {AF_UNIX, ""};
    snprintf(name.sun_path + 1, 90, "waits-%d", getpid());
    bind(server, (struct sockaddr *)&name, sizeof name);
    listen(server, 1);
    setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &two, sizeof two);
    said("accept", accept(server, NULL, NULL));
    said("connect", connect(client, (struct sockaddr *)&name, sizeof name));
    said("accept", accept(server, NULL, NULL) > 0);
}

static const struct { const char *name; void (*run)(void); } cases[] = {
    {"sleeps", sleeps}, {"clock_sleeps", clock_sleeps}, {"polls", polls},
    {"masked_polls", masked_polls}, {"selects", selects}, {"epolls", epolls},
    {"waits_for_signals", waits_for_signals}, {"alarms", alarms}, {"timers", timers},
    {"timer_files", timer_files}, {"sockets", sockets},
};

int main(int count, char **arguments) {
    if (count == 1)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
            puts(cases[i].name);
    if (count != 3)
        return count != 1;
    unit = atoll(arguments[2]);
    began = now();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (!strcmp(arguments[1], cases[i].name)) {
            cases[i].run();
            return 0;
        }
    return 2;
}
