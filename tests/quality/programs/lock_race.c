/* A lock file is made if there is none: two that look at the same time both have the lock. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void fail(const char *what) {
    perror(what);
    _exit(1);
}

static void lock(void) {
#ifdef MENDED
    int file;
    while ((file = open("lock", O_CREAT | O_EXCL | O_WRONLY, 0600)) < 0) {
        if (errno != EEXIST)
            fail("lock");
        usleep(1000);
    }
#else
    while (access("lock", F_OK) == 0)
        usleep(1000);
    int file = open("lock", O_CREAT | O_WRONLY, 0600);
    if (file < 0)
        fail("lock");
#endif
    close(file);
}

static void count(void) {
    char text[16] = "";
    lock();
    int file = open("count", O_RDWR | O_CREAT, 0600);
    if (file < 0 || pread(file, text, sizeof text - 1, 0) < 0)
        fail("count");
    int length = snprintf(text, sizeof text, "%d\n", atoi(text) + 1);
    if (pwrite(file, text, length, 0) != length)
        fail("count");
    close(file);
    unlink("lock");
    _exit(0);
}

int main(void) {
    int status, failed = 0;
    for (int child = 0; child < 2; child++) {
        pid_t pid = fork();
        if (pid < 0)
            fail("fork");
        if (pid == 0)
            count();
    }
    while (wait(&status) > 0)
        failed |= status;
    return failed != 0;
}
