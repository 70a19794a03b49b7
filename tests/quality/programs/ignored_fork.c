/* fork fails and gives -1: no child does the work, and nobody waits for it in vain. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static int work(void) {
    int file = open("result", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || write(file, "42\n", 3) != 3 || close(file) != 0) {
        perror("result");
        return 1;
    }
    return 0;
}

int main(void) {
    pid_t child = fork();
    if (child == 0)
        _exit(work());
#ifdef MENDED
    if (child < 0) {
        perror("fork");
        return 1;
    }
#endif
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return status == 0 ? 0 : 1;
}
