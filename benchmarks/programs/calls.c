/* Makes one call over and over and prints how many nanoseconds a lap of 50 took.
 *
 *     calls getppid|pread LAPS
 *
 * getppid is the cheapest call there is; pread takes 4 KiB from memory, which is more like what a
 * program calls the kernel for.
 */
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "laps.h"

int main(int argc, char **argv) {
    static char page[4096];
    struct laps laps;
    if (argc != 3)
        return 2;
    int is_pread = !strcmp(argv[1], "pread");
    long count = atol(argv[2]);
    int data = memfd_create("page", 0);
    if (data < 0 || write(data, page, sizeof page) != sizeof page)
        return 1;
    for (lap_begin(&laps, count); laps.count < count; lap_end(&laps))
        for (int i = 0; i < CALLS_A_LAP; i++)
            if (!is_pread)
                syscall(SYS_getppid);
            else if (pread(data, page, sizeof page, 0) != sizeof page)
                return 1;
    laps_print(&laps);
    return 0;
}
