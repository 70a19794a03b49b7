"""Constants and structures of Linux, under the kernel's own names, with the header that each comes
from.

Sizes are proved at import: a structure of the wrong size would be a silent corruption later.
"""

from __future__ import annotations

import ctypes
import struct

# <linux/audit.h>
AUDIT_ARCH_X86_64 = 0xC000003E

# <linux/seccomp.h>
SECCOMP_SET_MODE_FILTER = 1
SECCOMP_GET_ACTION_AVAIL = 2
SECCOMP_GET_NOTIF_SIZES = 3
SECCOMP_FILTER_FLAG_NEW_LISTENER = 1 << 3
SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV = 1 << 5  # since Linux 5.19
SECCOMP_RET_USER_NOTIF = 0x7FC00000
SECCOMP_RET_ERRNO = 0x00050000
SECCOMP_RET_ALLOW = 0x7FFF0000
SECCOMP_USER_NOTIF_FLAG_CONTINUE = 1
SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP = 1
SECCOMP_ADDFD_FLAG_SETFD = 1
SECCOMP_ADDFD_FLAG_SEND = 2
SECCOMP_IOCTL_NOTIF_RECV = 0xC0502100
SECCOMP_IOCTL_NOTIF_SEND = 0xC0182101
SECCOMP_IOCTL_NOTIF_ID_VALID = 0x40082102
SECCOMP_IOCTL_NOTIF_ADDFD = 0x40182103
SECCOMP_IOCTL_NOTIF_SET_FLAGS = 0x40082104  # since Linux 6.6

#: struct seccomp_notif: id, pid, flags, then struct seccomp_data: nr, arch, instruction_pointer,
#: args[6].
SECCOMP_NOTIF = struct.Struct("=QII iIQ6Q")
#: struct seccomp_notif_resp: id, val, error, flags.
SECCOMP_NOTIF_RESP = struct.Struct("=QqiI")
#: struct seccomp_notif_addfd: id, flags, srcfd, newfd, newfd_flags.
SECCOMP_NOTIF_ADDFD = struct.Struct("=QIIII")
assert (SECCOMP_NOTIF.size, SECCOMP_NOTIF_RESP.size, SECCOMP_NOTIF_ADDFD.size) == (80, 24, 24)

# <linux/filter.h>, <linux/bpf_common.h>
BPF_LD_W_ABS = 0x20
BPF_JMP_JA = 0x05
BPF_JMP_JEQ_K = 0x15
BPF_JMP_JGE_K = 0x35
BPF_JMP_JSET_K = 0x45
BPF_RET_K = 0x06
BPF_MAXINSNS = 4096
#: struct sock_filter: code, jt, jf, k.
SOCK_FILTER = struct.Struct("=HBBI")
assert SOCK_FILTER.size == 8


class sock_fprog(ctypes.Structure):
    """<linux/filter.h>."""

    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


assert ctypes.sizeof(sock_fprog) == 16

# <linux/sched.h>
CLONE_VM = 0x100
CLONE_VFORK = 0x4000
CLONE_PARENT = 0x8000
CLONE_THREAD = 0x10000
CLONE_CHILD_CLEARTID = 0x200000
CLONE_NEWNS = 0x20000
CLONE_NEWUTS = 0x4000000
CLONE_NEWIPC = 0x8000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

# <linux/prctl.h>, <linux/personality.h>
PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38
PR_SET_CHILD_SUBREAPER = 36
ADDR_NO_RANDOMIZE = 0x0040000

# <linux/mount.h>
MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 1 << 18
MNT_DETACH = 2
MOUNT_ATTR_RDONLY = 1
OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = 0o2000000
MOVE_MOUNT_F_EMPTY_PATH = 4
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
AT_FDCWD = -100


class mount_attr(ctypes.Structure):
    """<linux/mount.h>, since Linux 5.12."""

    _fields_ = [
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    ]


assert ctypes.sizeof(mount_attr) == 32

# <linux/if.h>, <linux/sockios.h>
SIOCGIFFLAGS = 0x8913
SIOCSIFFLAGS = 0x8914
IFF_UP = 1

# <linux/errno.h>: what a call answers so that the kernel restarts it, or not, around a signal
# handler
ERESTARTSYS = 512
ERESTARTNOINTR = 513
ERESTARTNOHAND = 514

# <asm/unistd_64.h>, the calls that have no function in the standard library
SYS_ptrace = 101
SYS_rt_sigqueueinfo = 129
SYS_rt_tgsigqueueinfo = 297
SYS_personality = 135
SYS_pivot_root = 155
SYS_prctl = 157
SYS_mount = 165
SYS_umount2 = 166
SYS_clone = 56
SYS_sethostname = 170
SYS_setdomainname = 171
SYS_tgkill = 234
SYS_process_vm_readv = 310
SYS_process_vm_writev = 311
SYS_seccomp = 317
SYS_open_tree = 428
SYS_move_mount = 429
SYS_pidfd_getfd = 438
SYS_mount_setattr = 442

# <linux/ptrace.h>
PTRACE_CONT = 7
PTRACE_DETACH = 17
PTRACE_SEIZE = 0x4206
PTRACE_INTERRUPT = 0x4207
PTRACE_O_TRACEEXEC = 0x10
PTRACE_EVENT_EXEC = 4
