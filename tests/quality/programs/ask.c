/* The client of the services: says a line, and prints the answer. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv) {
    char answer[16];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = 0;
    ssize_t got;
    strncpy(address.sun_path, argc > 1 ? argv[1] : "", sizeof address.sun_path - 1);
    int connection = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(connection, (struct sockaddr *)&address, sizeof address) != 0 ||
        write(connection, "hello\n", 6) != 6) {
        perror("ask");
        return 1;
    }
    while ((got = read(connection, answer + length, sizeof answer - length)) > 0)
        length += got;
    fwrite(answer, 1, length, stdout);
    if (length != 6 || strncmp(answer, "hello\n", 6) != 0) {
        fprintf(stderr, "ask: no greeting\n");
        return 1;
    }
    return fclose(stdout) == 0 ? 0 : 1;
}
