/* Times that nobody means: `absurd NANOSECONDS` prints what each call makes of them. Who waits for ever is
   ended by a signal after so many nanoseconds; what is left of such a wait is printed as `for ever`. */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
#define EVER 8000000000LL /* seconds; the kernel counts up to 2^63 nanoseconds, 9,223,372,036 s */

static long long unit;
static struct timespec began;

static void said(const char *what, long result) {
    struct timespec t;
    const char *error = result == -1 ? strerrorname_np(errno) : "";
    clock_gettime(CLOCK_MONOTONIC, &t);
    long long took = (t.tv_sec - began.tv_sec) * SECOND + t.tv_nsec - began.tv_nsec;
    printf("%s: %ld %s after %lld\n", what, result, error, (took + unit / 2) / unit);
    clock_gettime(CLOCK_MONOTONIC, &began);
}
static void left(long long seconds) {
    printf("  left %s\n", seconds >= EVER ? "for ever" : seconds ? "some" : "none");
}
static void rung(int number) { (void)number; }
static void ring(void) {
    struct itimerval once = {{0, 0}, {unit / SECOND, unit % SECOND / 1000}};
    struct sigaction action = {.sa_handler = rung};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &once, NULL);
    clock_gettime(CLOCK_MONOTONIC, &began);
}

static void waits(const char *what, struct timespec t, int for_ever) {
    struct timespec rest = {0, 0}, given = t;
    struct timeval micro = {t.tv_sec, t.tv_nsec < 0 ? -1 : t.tv_nsec / 1000};
    sigset_t usr2;
    int word = 0, epoll = epoll_create1(0);
    sigemptyset(&usr2);
    sigaddset(&usr2, SIGUSR2);
    printf("%s\n", what);
#define CALL(name, call) if (for_ever) ring(); said(name, call)
    CALL("nanosleep", nanosleep(&t, &rest));
    left(rest.tv_sec);
    rest.tv_sec = 0;
    CALL("clock_nanosleep", -(errno = clock_nanosleep(CLOCK_REALTIME, 0, &t, &rest)) ? -1 : 0);
    left(rest.tv_sec);
    CALL("until", -(errno = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL)) ? -1 : 0);
    CALL("ppoll", syscall(SYS_ppoll, NULL, 0, &given, NULL, 8));
    left(given.tv_sec);
    given = t;
    CALL("pselect6", syscall(SYS_pselect6, 0, NULL, NULL, NULL, &given, NULL));
    left(given.tv_sec);
    if (t.tv_nsec < SECOND) { /* too many microseconds are allowed */
        CALL("select", syscall(SYS_select, 0, NULL, NULL, NULL, &micro));
        left(micro.tv_sec);
    }
    CALL("epoll_pwait2", syscall(SYS_epoll_pwait2, epoll, &(struct epoll_event){0}, 1, &t, NULL, 8));
    CALL("sigtimedwait", sigtimedwait(&usr2, NULL, &t));
    CALL("futex", syscall(SYS_futex, &word, FUTEX_WAIT, 0, &t, NULL, 0));
    CALL("futex until", syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, 0, &t, NULL, -1));
    close(epoll);
}

static void timers(const char *what, struct timespec t, long microseconds) {
    struct itimerspec spec = {{0, 0}, t}, now = {{0}};
    struct itimerval micro = {{0, 0}, {t.tv_sec, microseconds}}, old = {{0}};
    struct sigevent none = {.sigev_notify = SIGEV_NONE};
    timer_t timer;
    int fd = timerfd_create(CLOCK_MONOTONIC, 0);
    printf("%s\n", what);
    clock_gettime(CLOCK_MONOTONIC, &began);
    timer_create(CLOCK_MONOTONIC, &none, &timer);
    said("timer_settime", timer_settime(timer, 0, &spec, NULL));
    timer_gettime(timer, &now);
    left(now.it_value.tv_sec);
    said("timer_settime, until", timer_settime(timer, TIMER_ABSTIME, &spec, NULL));
    spec.it_interval = t;
    said("every", timer_settime(timer, 0, &spec, NULL));
    timer_gettime(timer, &now);
    left(now.it_interval.tv_sec);
    spec.it_interval = (struct timespec){0, 0};
    said("timerfd_settime", timerfd_settime(fd, 0, &spec, NULL));
    timerfd_gettime(fd, &now);
    left(now.it_value.tv_sec);
    said("setitimer", setitimer(ITIMER_REAL, &micro, NULL));
    getitimer(ITIMER_REAL, &old);
    left(old.it_value.tv_sec);
    setitimer(ITIMER_REAL, &(struct itimerval){{0}}, NULL);
    timer_delete(timer);
    close(fd);
}

int main(int count, char **arguments) {
    if (count != 2)
        return 2;
    unit = atoll(arguments[1]);
    setvbuf(stdout, NULL, _IONBF, 0);
    clock_gettime(CLOCK_MONOTONIC, &began);
    waits("negative seconds", (struct timespec){-1, 0}, 0);
    waits("negative nanoseconds", (struct timespec){1, -1}, 0);
    waits("too many nanoseconds", (struct timespec){0, 1 << 30}, 0);
    waits("the most", (struct timespec){LONG_MAX, SECOND - 1}, 1);
    waits("beyond what is counted", (struct timespec){LONG_MAX / SECOND + 1, 0}, 1);
    timers("negative seconds", (struct timespec){-1, 0}, 0);
    timers("negative nanoseconds", (struct timespec){1, -1}, -1);
    timers("too many nanoseconds", (struct timespec){0, 1 << 30}, 1000000);
    timers("the most", (struct timespec){LONG_MAX, SECOND - 1}, 999999);

    struct timeval micro = {0, unit / 1000};
    clock_gettime(CLOCK_MONOTONIC, &began);
    said("select, all in microseconds", syscall(SYS_select, 0, NULL, NULL, NULL, &micro));
    micro = (struct timeval){-1, 1000000 + unit / 1000};
    said("select, in parts of both signs", syscall(SYS_select, 0, NULL, NULL, NULL, &micro));
    micro = (struct timeval){0, LONG_MAX};
    ring();
    said("select, the most microseconds", syscall(SYS_select, 0, NULL, NULL, NULL, &micro));
    ring();
    said("poll, any negative number", poll(NULL, 0, INT_MIN));
    ring();
    said("poll, the most", poll(NULL, 0, INT_MAX));
    said("alarm", (long)alarm(UINT_MAX));
    printf("  %s\n", alarm(0) >= UINT_MAX - 1 ? "all of it" : "less");
    return 0;
}
