/* The peer in C: starts a program under a filter that traps getppid, and lets its first N such calls
 * pass with the two ioctls of seccomp_unotify(2). It counts nothing, traces nothing, decides nothing.
 *
 *     notify_loop N PROGRAM ARGUMENT...
 *
 * With N = 0 it traps nothing that the program does, and so shows what the smallest filter costs.
 */
#define _GNU_SOURCE
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* <linux/seccomp.h> since Linux 5.19 and 6.6; the headers may be older than the kernel. */
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

static void check(int good, const char *what) {
    if (!good) {
        perror(what);
        exit(1);
    }
}

static int install(int call) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    check(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                   SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
                   &program);
}

int main(int argc, char **argv) {
    if (argc < 3)
        return 2;
    long count = atol(argv[1]);
    int number[2], go[2], theirs;
    check(!pipe(number) && !pipe(go), "pipe");
    pid_t child = fork();
    check(child >= 0, "fork");
    if (child == 0) {
        char byte;
        int listener = install(count ? SYS_getppid : SYS_acct);
        check(write(number[1], &listener, sizeof listener) == sizeof listener, "write");
        check(read(go[0], &byte, 1) == 1, "read");
        execv(argv[2], argv + 2);
        check(0, argv[2]);
    }
    check(read(number[0], &theirs, sizeof theirs) == sizeof theirs && theirs >= 0, "seccomp");
    int pidfd = syscall(SYS_pidfd_open, child, 0);
    int listener = syscall(SYS_pidfd_getfd, pidfd, theirs, 0);
    check(listener >= 0, "pidfd_getfd");
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
    check(write(go[1], "", 1) == 1, "write");
    for (long i = 0; i < count; i++) {
        struct seccomp_notif notif;
        memset(&notif, 0, sizeof notif);
        check(!ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &notif), "NOTIF_RECV");
        struct seccomp_notif_resp resp = {notif.id, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE};
        check(!ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &resp), "NOTIF_SEND");
    }
    int status;
    check(waitpid(child, &status, 0) == child, "waitpid");
    return status != 0;
}
