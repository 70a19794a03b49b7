/* A service that finds a pid file does not start: nobody asks whether that process is alive. */
#include "service.h"

#include <fcntl.h>
#include <sys/file.h>

static int nothing(void) {
    return 0;
}

static int claim(void) {
#ifdef MENDED
    int file = open("pid", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (file >= 0 && flock(file, LOCK_EX | LOCK_NB) != 0)
        return -1;
#else
    int file = open("pid", O_WRONLY | O_CREAT | O_EXCL, 0600);
#endif
    return file < 0 || dprintf(file, "%d\n", getpid()) < 0 ? -1 : 0;
}

int main(int argc, char **argv) {
    if (argc < 2 || claim() != 0) {
        fprintf(stderr, "pid: there is one already\n");
        return 1;
    }
    int status = serve(argv[1], nothing);
    return remove_name("pid") || status;
}
