/* A service on a Unix socket: each connection says a line and is answered. SIGTERM ends it. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static volatile sig_atomic_t told_to_stop;

static void stop(int signal) {
    (void)signal;
    told_to_stop = 1;
}

static int remove_name(const char *path) {
    if (unlink(path) == 0)
        return 0;
    perror(path);
    return 1;
}

static int send_all(int connection, const char *text) {
    size_t left = strlen(text);
    while (left > 0) {
        ssize_t sent = send(connection, text, left, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR)
            return -1;
        text += sent > 0 ? sent : 0;
        left -= sent > 0 ? sent : 0;
    }
    return 0;
}

static int receive_line(int connection) {
    char last = 0;
    while (last != '\n') {
        ssize_t got = recv(connection, &last, 1, 0);
        if (got == 0 || (got < 0 && errno != EINTR))
            return -1;
    }
    return 0;
}

/* The name is given to the socket when it listens: what is there before that is of a dead service. */
static int serve(const char *path, int (*act)(void)) {
    sigset_t blocked, before;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct sigaction action = {.sa_handler = stop};
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    sigaction(SIGTERM, &action, NULL);
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    unlink(path);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(listener, 5) != 0) {
        perror(path);
        unlink(path);
        return 1;
    }
    while (!told_to_stop) {
        struct pollfd wanted = {.fd = listener, .events = POLLIN};
        if (ppoll(&wanted, 1, NULL, &before) <= 0)
            continue;
        int connection = accept(listener, NULL, NULL);
        if (connection < 0)
            continue;
        if (receive_line(connection) == 0)
            send_all(connection, act() == 0 ? "hello\n" : "error\n");
        close(connection);
    }
    return remove_name(path);
}
