/* A wait that a signal interrupts is not tried again: the status stays the one that it began with. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t progress_wanted;

static void ask(int signal) {
    (void)signal;
    progress_wanted = 1;
}

int main(void) {
    struct sigaction action = {.sa_handler = ask};
    sigaction(SIGUSR1, &action, NULL);
    pid_t child = fork();
    if (child < 0) {
        perror("fork");
        return 1;
    }
    if (child == 0)
        _exit(3);
    int status = 0;
#ifdef MENDED
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) {
            perror("waitpid");
            return 1;
        }
    }
#else
    waitpid(child, &status, 0);
#endif
    if (progress_wanted)
        fprintf(stderr, "it has ended\n");
    if (!WIFEXITED(status)) {
        fprintf(stderr, "the child was killed\n");
        return 1;
    }
    printf("the child exits %d\n", WEXITSTATUS(status));
    return fclose(stdout) == 0 ? 0 : 1;
}
