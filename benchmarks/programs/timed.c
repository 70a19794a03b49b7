/* Makes one call that knows time over and over.
 *
 *     timed clock|nap COUNT
 *
 * It prints nothing: in a trial its clock is the trial's, so whoever runs it has to hold the watch.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

int main(int argc, char **argv) {
    struct timespec now, fifty_ms = {0, 50 * 1000 * 1000};
    if (argc != 3)
        return 2;
    int naps = !strcmp(argv[1], "nap");
    for (long i = atol(argv[2]); i > 0; i--)
        if (naps)
            nanosleep(&fifty_ms, NULL);
        else
            clock_gettime(CLOCK_MONOTONIC, &now);
    return 0;
}
