/* Two processes exchange a byte over two pipes: two calls each an exchange, and every other call lets
 * the other one go on. Prints how many nanoseconds a lap of 50 exchanges took.
 *
 *     ping_pong LAPS
 */
#include <sys/wait.h>
#include <unistd.h>

#include "laps.h"

static int answer(int from, int to, long count) {
    char byte;
    for (long i = 0; i < count; i++)
        if (read(from, &byte, 1) != 1 || write(to, &byte, 1) != 1)
            return 1;
    return 0;
}

int main(int argc, char **argv) {
    int there[2], back[2], status;
    char byte = 0;
    struct laps laps;
    if (argc != 2 || pipe(there) || pipe(back))
        return 2;
    long count = atol(argv[1]);
    pid_t child = fork();
    if (child < 0)
        return 1;
    if (child == 0)
        return answer(there[0], back[1], count * CALLS_A_LAP);
    for (lap_begin(&laps, count); laps.count < count; lap_end(&laps))
        for (int i = 0; i < CALLS_A_LAP; i++)
            if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
                return 1;
    laps_print(&laps);
    return wait(&status) != child || status != 0;
}
