/* A descriptor is closed twice: between the two it may have become somebody else's. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static int failed;

static void write_file(const char *name, int times) {
    int file = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || write(file, "begin\n", 6) != 6 || write(file, "end\n", 4) != 4) {
        perror(name);
        failed = 1;
    }
    while (times-- > 0)
        close(file);
}

static void *log_it(void *unused) {
    write_file("log", 1);
    return unused;
}

int main(void) {
    pthread_t logger;
    if (pthread_create(&logger, NULL, log_it, NULL) != 0) {
        fprintf(stderr, "no thread\n");
        return 1;
    }
#ifdef MENDED
    write_file("data", 1);
#else
    write_file("data", 2);
#endif
    pthread_join(logger, NULL);
    return failed;
}
