/* A worker looks whether there is a job, and opens it: by then another one has taken it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int work(void) {
    char job[16];
#ifdef MENDED
    if (rename("job", "job.taken") != 0)
        return errno == ENOENT ? 0 : 1;
    int file = open("job.taken", O_RDONLY);
    unlink("job.taken");
#else
    struct stat there;
    if (stat("job", &there) != 0)
        return errno == ENOENT ? 0 : 1;
    int file = open("job", O_RDONLY);
    unlink("job");
#endif
    ssize_t length = file < 0 ? -1 : read(file, job, sizeof job);
    if (length < 0) {
        perror("job");
        return 1;
    }
    return write(STDOUT_FILENO, job, length) == length ? 0 : 1;
}

int main(void) {
    int status, failed = 0;
    int file = open("job", O_WRONLY | O_CREAT, 0600);
    if (file < 0 || write(file, "sweep\n", 6) != 6 || close(file) != 0) {
        perror("job");
        return 1;
    }
    for (int worker = 0; worker < 2; worker++) {
        pid_t pid = fork();
        if (pid < 0) {
            perror("fork");
            return 1;
        }
        if (pid == 0)
            _exit(work());
    }
    while (wait(&status) > 0)
        failed |= status;
    return failed != 0;
}
