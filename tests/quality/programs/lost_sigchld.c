/* One SIGCHLD is taken for one child: two that end together are one signal, for these do not queue. */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t left = 2;

static void reap(int signal) {
    (void)signal;
#ifdef MENDED
    while (waitpid(-1, NULL, WNOHANG) > 0)
        left--;
#else
    if (waitpid(-1, NULL, WNOHANG) > 0)
        left--;
#endif
}

int main(void) {
    sigset_t blocked, before;
    struct sigaction action = {.sa_handler = reap};
    sigaction(SIGCHLD, &action, NULL);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGCHLD);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    for (int child = 0; child < 2; child++) {
        pid_t pid = fork();
        if (pid < 0) {
            perror("fork");
            return 1;
        }
        if (pid == 0)
            _exit(0);
    }
    while (left > 0)
        sigsuspend(&before);
    return 0;
}
