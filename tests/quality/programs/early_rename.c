/* A new state is renamed into place before all of it is written: who is killed between the two
   leaves a state that nobody can read. */
#include "service.h"

static int load(void) {
    int count = 0;
    FILE *file = fopen("state", "r");
    if (file == NULL && errno == ENOENT)
        return 0;
    if (file == NULL || fscanf(file, "%d", &count) != 1) {
        fprintf(stderr, "state: cannot be read\n");
        count = -1;
    }
    if (file != NULL)
        fclose(file);
    return count;
}

static int save(void) {
    int count = load();
    FILE *file = count < 0 ? NULL : fopen("state.new", "w");
    if (file == NULL)
        return -1;
    fprintf(file, "%d\n", count + 1);
#ifdef MENDED
    if (fflush(file) != 0) {
        fclose(file);
        unlink("state.new");
        return -1;
    }
#endif
    int failed = rename("state.new", "state");
    if (failed)
        unlink("state.new");
    return fclose(file) != 0 || failed ? -1 : 0;
}

int main(int argc, char **argv) {
    unlink("state.new");
    return argc < 2 || load() < 0 ? 1 : serve(argv[1], save);
}
