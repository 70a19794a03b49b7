/* The last of a report is written when it is closed: nobody looks whether that went well. */
#include <stdio.h>

int main(void) {
    FILE *report = fopen("report", "w");
    if (report == NULL) {
        perror("report");
        return 1;
    }
    for (int line = 1; line <= 20; line++)
        fprintf(report, "line %d\n", line);
#ifdef MENDED
    if (fclose(report) != 0) {
        perror("report");
        return 1;
    }
#else
    fclose(report);
#endif
    return 0;
}
