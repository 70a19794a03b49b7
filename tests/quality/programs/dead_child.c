/* A parent waits for its child's answer, and holds the other end of the pipe itself: when the child
   is dead there is no end of file. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int answer(int pipe) {
    return write(pipe, "42\n", 3) == 3 ? 0 : 1;
}

int main(void) {
    int ends[2];
    char text[16] = "";
    size_t length = 0;
    if (pipe(ends) != 0) {
        perror("pipe");
        return 1;
    }
    pid_t child = fork();
    if (child < 0) {
        perror("fork");
        return 1;
    }
    if (child == 0)
        _exit(answer(ends[1]));
#ifdef MENDED
    close(ends[1]);
#endif
    while (strchr(text, '\n') == NULL && length < sizeof text - 1) {
        ssize_t got = read(ends[0], text + length, sizeof text - 1 - length);
        if (got == 0 || (got < 0 && errno != EINTR)) {
            fprintf(stderr, "no answer\n");
            return 1;
        }
        length += got > 0 ? got : 0;
    }
    fputs(text, stdout);
    return fclose(stdout) == 0 ? 0 : 1;
}
