"""The system calls an agent may make: one list, from which Docker's profile and bubblewrap's filter are both made.

It is an allow-list: what Docker's default profile allows a container without capabilities, minus what no agent needs
and attackers do. Left out, each for a reason:

- `io_uring_*`: a second way to make system calls that no filter sees.
- `unshare`, `setns`, `clone` with a namespace flag, `mount` and its family, `chroot`, `pivot_root`: new namespaces give
  capabilities over fresh kernel code. `clone3` answers ENOSYS (a filter can't see its flags); libc then uses `clone`.
- `bpf`, `perf_event_open`, `userfaultfd`, `kexec_*`, `*_module`, `modify_ldt`, `vmsplice`: kernel attack surface.
- `keyctl`, `add_key`, `request_key`: keyrings are not divided by namespaces.
- `ptrace`, `process_vm_*`, `process_madvise`, `kcmp`, `pidfd_getfd`: one process reaching into another.
- `memfd_create`, `memfd_secret`: executing what never was a file. libffi and the JITs that use them fall back to files,
  and files are bounded in /work.
- `open_by_handle_at`, `name_to_handle_at`, `fanotify_*`, `quotactl`, `syslog`, clock setting: privileged anyway.

Sockets: only AF_UNIX, AF_INET and AF_INET6 as streams and datagrams (no raw sockets, no AF_VSOCK, AF_ALG, AF_PACKET),
and AF_NETLINK's routing protocol, which `getaddrinfo` and `if_nameindex` ask for the list of interfaces.
"""

import functools
import json
import platform
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safebox.sandbox.errors import SandboxError

ALLOWED = frozenset(
    """
    accept accept4 access alarm arch_prctl bind brk cachestat capget capset chdir chmod chown clock_getres
    clock_gettime clock_nanosleep close close_range connect copy_file_range creat dup dup2 dup3 epoll_create
    epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 execve execveat exit exit_group
    faccessat faccessat2 fadvise64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync
    fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstatfs fsync ftruncate futex futex_requeue
    futex_wait futex_waitv futex_wake futimesat get_robust_list get_thread_area getcpu getcwd getdents getdents64
    getegid geteuid getgid getgroups getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom
    getresgid getresuid getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday getuid getxattr
    inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents
    io_setup io_submit ioctl ioprio_get ioprio_set kill landlock_add_rule landlock_create_ruleset
    landlock_restrict_self lchown lgetxattr link linkat listen listxattr llistxattr lremovexattr lseek lsetxattr
    lstat madvise membarrier mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mprotect mq_getsetattr
    mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock
    munlockall munmap nanosleep newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2
    pkey_alloc pkey_free pkey_mprotect poll ppoll prctl pread64 preadv preadv2 prlimit64 pselect6 pwrite64 pwritev
    pwritev2 read readahead readlink readlinkat readv recvfrom recvmmsg recvmsg remap_file_pages removexattr rename
    renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo
    rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min
    sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity
    sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop
    sendfile sendmmsg sendmsg sendto set_robust_list set_thread_area set_tid_address setfsgid setfsuid setgid
    setgroups setitimer setpgid setpriority setregid setresgid setresuid setreuid setrlimit setsid setsockopt
    setuid setxattr shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 splice stat statfs statx
    symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete
    timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime times tkill
    truncate umask uname unlink unlinkat utime utimensat utimes vfork wait4 waitid write writev
    """.split()  # noqa: SIM905 - a list of 250 strings can't be read
)
"""Allowed whatever their arguments."""

AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16
SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET = 1, 2, 5
_TYPE_MASK = 0xF
"""The rest of socket()'s second argument are the flags SOCK_CLOEXEC and SOCK_NONBLOCK."""
_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET."""
_WORD = 0xFFFFFFFF
EPERM, ENOSYS = 1, 38


@dataclass(frozen=True, slots=True)
class Test:
    """One argument's low 32 bits, masked, equal a value; the kernel reads all arguments judged here as 32-bit words."""

    index: int
    mask: int
    value: int


_Rule = tuple[str, tuple[Test, ...]]


def _sockets() -> list[_Rule]:
    rules: list[_Rule] = []
    for family, kinds in (
        (AF_UNIX, (SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET)),
        (AF_INET, (SOCK_STREAM, SOCK_DGRAM)),
        (AF_INET6, (SOCK_STREAM, SOCK_DGRAM)),
    ):
        rules += [("socket", (Test(0, _WORD, family), Test(1, _TYPE_MASK, kind))) for kind in kinds]
    rules.append(("socket", (Test(0, _WORD, AF_NETLINK), Test(2, _WORD, 0))))
    rules.append(("socketpair", (Test(0, _WORD, AF_UNIX),)))
    return rules


RULES: tuple[_Rule, ...] = (
    *_sockets(),
    ("clone", (Test(0, _NAMESPACES, 0),)),
    *(("personality", (Test(0, _WORD, value),)) for value in (0, 8, _WORD)),
)
"""Allowed when all tests of one of its rules hold."""

UNKNOWN = frozenset({"clone3"})
"""Answered as if the kernel didn't know them, so that libc falls back."""


@functools.cache
def docker_profile() -> str:
    """The profile as Docker takes it (`--security-opt seccomp=`), the same text as `seccomp.json`."""
    allow, refuse = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"
    calls: list[dict[str, Any]] = [{"names": sorted(ALLOWED), "action": allow}]
    calls += [{"names": [name], "action": allow, "args": [_condition(test) for test in tests]} for name, tests in RULES]
    calls.append({"names": sorted(UNKNOWN), "action": refuse, "errnoRet": ENOSYS})
    arches: list[Any] = [
        {"architecture": f"SCMP_ARCH_{name}", "subArchitectures": []} for name in ("X86_64", "AARCH64")
    ]
    profile: dict[str, Any] = {"defaultAction": refuse, "defaultErrnoRet": EPERM, "archMap": arches, "syscalls": calls}
    return json.dumps(profile, indent=1) + "\n"


def _condition(test: Test) -> dict[str, Any]:
    if test.mask == _WORD and test.value != _WORD:
        return {"index": test.index, "value": test.value, "op": "SCMP_CMP_EQ"}
    return {"index": test.index, "value": test.mask, "valueTwo": test.value, "op": "SCMP_CMP_MASKED_EQ"}


# --- the same list as a program for the kernel (seccomp(2), linux/bpf_common.h) ---

_LOAD_WORD = 0x20
_AND = 0x54
_JUMP_EQUAL = 0x15
_JUMP_GREATER = 0x25
_JUMP_GREATER_EQUAL = 0x35
_RETURN = 0x06
_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_KILL_PROCESS = 0x80000000
_AT_NUMBER, _AT_ARCH, _AT_ARGUMENTS = 0, 4, 16
_X32_BIT = 0x40000000
_ARCHES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_Step = tuple[int, int, int, int]


@functools.cache
def _numbers(machine: str) -> dict[str, int]:
    """The numbers of all calls on one machine, from libseccomp 2.5.4's tables (see tests: compared with the host)."""
    table = json.loads((Path(__file__).parent / "syscalls.json").read_text(encoding="ascii"))
    return {name: int(number) for name, number in table[machine].items()}


def bpf_filter(machine: str | None = None) -> bytes:
    """The allow-list as classic BPF, an array of `struct sock_filter`, for bubblewrap's --seccomp.

    Raises:
        SandboxError: the machine is neither x86_64 nor aarch64; there is no filter then, so no sandbox.
    """
    machine = machine or platform.machine()
    if machine not in _ARCHES:
        raise SandboxError(f"there is no system call filter for {machine}", "use Docker", "sandbox.no_filter")
    numbers = _numbers(machine)
    steps: list[_Step] = [
        (_LOAD_WORD, 0, 0, _AT_ARCH),
        (_JUMP_EQUAL, 1, 0, _ARCHES[machine]),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD_WORD, 0, 0, _AT_NUMBER),
        (_JUMP_GREATER_EQUAL, 0, 1, _X32_BIT),
        (_RETURN, 0, 0, _ERRNO | ENOSYS),
    ]
    for name, tests in RULES:
        if name in numbers:
            steps += _guarded(numbers[name], tests)
    for low, high in _ranges(sorted(numbers[name] for name in ALLOWED if name in numbers)):
        steps += [(_JUMP_GREATER_EQUAL, 0, 2, low), (_JUMP_GREATER, 1, 0, high), (_RETURN, 0, 0, _ALLOW)]
    for name in UNKNOWN:
        steps += [(_JUMP_EQUAL, 0, 1, numbers[name]), (_RETURN, 0, 0, _ERRNO | ENOSYS)]
    newest = max(numbers.values())
    steps += [(_JUMP_GREATER, 0, 1, newest), (_RETURN, 0, 0, _ERRNO | ENOSYS), (_RETURN, 0, 0, _ERRNO | EPERM)]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def _guarded(number: int, tests: tuple[Test, ...]) -> list[_Step]:
    """Allow one call when all tests hold; else go on with the call's number loaded again."""
    size = 3 * len(tests) + 1
    steps: list[_Step] = [(_JUMP_EQUAL, 0, size + 1, number)]
    for place, test in enumerate(tests):
        left = size - 3 * (place + 1)
        steps.append((_LOAD_WORD, 0, 0, _AT_ARGUMENTS + 8 * test.index))
        steps.append((_AND, 0, 0, test.mask))
        steps.append((_JUMP_EQUAL, 0, left, test.value & test.mask))
    steps.append((_RETURN, 0, 0, _ALLOW))
    steps.append((_LOAD_WORD, 0, 0, _AT_NUMBER))
    return steps


def _ranges(numbers: list[int]) -> list[tuple[int, int]]:
    """Neighbouring numbers as (first, last)."""
    ranges: list[tuple[int, int]] = []
    for each in numbers:
        if ranges and ranges[-1][1] == each - 1:
            ranges[-1] = (ranges[-1][0], each)
        else:
            ranges.append((each, each))
    return ranges
