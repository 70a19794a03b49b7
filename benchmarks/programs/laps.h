/* A stopwatch that knows when the processor was somebody else's.
 *
 * A lap is a few dozen calls. Laps that took more than twice the median are left out: on a machine
 * that others use too, they measure the others.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { CALLS_A_LAP = 50 };

struct laps {
    long count, room, *took;
    struct timespec began;
};

static void lap_begin(struct laps *laps, long room) {
    laps->count = 0;
    laps->room = room;
    laps->took = malloc(room * sizeof *laps->took);
    for (long i = 0; laps->took && i < room; i++)
        laps->took[i] = 0; /* touched now, not while the watch runs */
    clock_gettime(CLOCK_MONOTONIC, &laps->began);
}

static void lap_end(struct laps *laps) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    long seconds = now.tv_sec - laps->began.tv_sec;
    if (laps->count < laps->room)
        laps->took[laps->count++] = seconds * 1000000000L + now.tv_nsec - laps->began.tv_nsec;
    laps->began = now;
}

static int ascending(const void *a, const void *b) {
    long x = *(const long *)a, y = *(const long *)b;
    return (x > y) - (x < y);
}

/* Prints the mean lap in nanoseconds. */
static void laps_print(struct laps *laps) {
    double sum = 0;
    long taken = 0;
    qsort(laps->took, laps->count, sizeof *laps->took, ascending);
    while (taken < laps->count && laps->took[taken] <= 2 * laps->took[laps->count / 2])
        sum += laps->took[taken++];
    printf("%.0f\n", sum / taken);
}
