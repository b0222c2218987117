"""Threats E: the ways out of a container that start with a system call, each tried on each real engine."""

import json
import textwrap
from pathlib import Path

import pytest

from tests.contracts.conftest import ENGINES, Bench, real_engine

PROBE = """
import ctypes, errno, json, platform, socket
libc = ctypes.CDLL(None, use_errno=True)
X86 = platform.machine() == "x86_64"
def call(x86, arm, *arguments):
    ctypes.set_errno(0)
    result = libc.syscall(x86 if X86 else arm, *(ctypes.c_long(each) for each in arguments))
    return "allowed" if result >= 0 else errno.errorcode[ctypes.get_errno()]
def family(number, kind=socket.SOCK_STREAM, protocol=0):
    try:
        socket.socket(number, kind, protocol).close()
        return "allowed"
    except OSError as error:
        return errno.errorcode[error.errno]
buffer = ctypes.addressof(ctypes.create_string_buffer(4096))
told = {
    "io_uring_setup": call(425, 425, 4, buffer),
    "io_uring_enter": call(426, 426, 0, 0, 0, 0, 0, 0),
    "io_uring_register": call(427, 427, 0, 0, 0, 0),
    "unshare(user)": call(272, 97, 0x10000000),
    "unshare(mount)": call(272, 97, 0x00020000),
    "setns": call(308, 268, 0, 0),
    "clone(user)": call(56, 220, 0x10000000 | 17, 0, 0, 0, 0),
    "clone3": call(435, 435, buffer, 88),
    "mount": call(165, 40, buffer, buffer, buffer, 4096, 0),
    "umount2": call(166, 39, buffer, 2),
    "pivot_root": call(155, 41, buffer, buffer),
    "chroot": call(161, 51, buffer),
    "open_tree": call(428, 428, -100, buffer, 1),
    "move_mount": call(429, 429, -1, buffer, -1, buffer, 0),
    "fsopen": call(430, 430, buffer, 0),
    "mount_setattr": call(442, 442, -100, buffer, 0, buffer, 32),
    "keyctl": call(250, 219, 0, -3, 1),
    "add_key": call(248, 217, buffer, buffer, buffer, 1, -3),
    "request_key": call(249, 218, buffer, buffer, 0, 0),
    "bpf": call(321, 280, 0, buffer, 120),
    "perf_event_open": call(298, 241, buffer, 0, -1, -1, 0),
    "ptrace": call(101, 117, 0, 0, 0, 0),
    "process_vm_readv": call(310, 270, 1, buffer, 1, buffer, 1, 0),
    "process_vm_writev": call(311, 271, 1, buffer, 1, buffer, 1, 0),
    "pidfd_getfd": call(438, 438, 0, 0, 0),
    "kcmp": call(312, 272, 1, 1, 0, 0, 0),
    "userfaultfd": call(323, 282, 0),
    "kexec_load": call(246, 104, 0, 0, 0, 0),
    "init_module": call(175, 105, buffer, 1, buffer),
    "finit_module": call(313, 273, 0, buffer, 0),
    "memfd_create": call(319, 279, buffer, 0),
    "memfd_secret": call(447, 447, 0),
    "open_by_handle_at": call(304, 265, -100, buffer, 0),
    "fanotify_init": call(300, 262, 0, 0),
    "quotactl": call(179, 60, 0, 0, 0, 0),
    "syslog": call(103, 116, 3, buffer, 100),
    "swapon": call(167, 224, buffer, 0),
    "reboot": call(169, 142, 0, 0, 0, 0),
    "sethostname": call(170, 161, buffer, 1),
    "settimeofday": call(164, 170, buffer, 0),
    "iopl": call(172, 9999, 3),
    "modify_ldt": call(154, 9999, 0, buffer, 16),
    "vmsplice": call(278, 75, 0, buffer, 1, 0),
    "personality(no randomisation)": call(135, 92, 0x0040000),
    "AF_VSOCK": family(40),
    "AF_ALG": family(38, socket.SOCK_SEQPACKET),
    "AF_PACKET": family(17, socket.SOCK_RAW),
    "AF_PACKET datagram": family(17, socket.SOCK_DGRAM),
    "AF_BLUETOOTH": family(31, socket.SOCK_RAW),
    "AF_XDP": family(44, socket.SOCK_RAW),
    "AF_TIPC": family(30, socket.SOCK_SEQPACKET),
    "AF_KEY": family(15, socket.SOCK_RAW),
    "AF_QIPCRTR": family(42, socket.SOCK_DGRAM),
    "raw IPv4": family(2, socket.SOCK_RAW, 1),
    "raw IPv6": family(10, socket.SOCK_RAW, 58),
    "netlink netfilter": family(16, socket.SOCK_RAW, 12),
    "netlink audit": family(16, socket.SOCK_RAW, 9),
}
print(json.dumps(told))
"""

FINE = """
import ctypes, json, os, socket, sqlite3, subprocess, threading, multiprocessing, tempfile, mmap
thread = threading.Thread(target=lambda: None); thread.start(); thread.join()
assert subprocess.run(["sh", "-c", "echo hi | cat"], capture_output=True, check=True).stdout == b"hi\\n"
left, right = socket.socketpair(); left.send(b"x"); assert right.recv(1) == b"x"
for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM): socket.socket(family, kind).close()
assert socket.if_nameindex() == [(1, "lo")]
assert socket.getaddrinfo("localhost", 80)
with tempfile.NamedTemporaryFile() as file: file.write(b"x"); file.flush(); mmap.mmap(file.fileno(), 1)
database = sqlite3.connect(os.path.expanduser("~/data.sqlite3")); database.execute("pragma journal_mode=wal")
database.execute("create table t(x)")
with multiprocessing.get_context("fork").Pool(2) as pool: assert pool.map(abs, [-1, -2]) == [1, 2]
callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(lambda value: value + 1); assert callback(1) == 2
os.mkfifo(os.path.expanduser("~/pipe"))
import asyncio; asyncio.run(asyncio.sleep(0))
print("fine")
"""

PLACES = """
import glob, json, os
def opens(path, flags=os.O_RDONLY):
    try:
        os.close(os.open(path, flags)); return True
    except OSError: return False
found = [path for path in (
    "/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock", "/etc/shadow", "/etc/sudoers",
    "/root/.ssh", "/root/.pyenv", "/root/.local", "/home", "/dev/mem", "/dev/kmsg", "/dev/sda", "/dev/vda", "/dev/kvm",
    "/dev/fuse",
    "/dev/net/tun", "/dev/vsock", "/var/log", "/var/lib/docker",
    "/sys/kernel/debug/x", "/sys/fs/cgroup/release_agent",
) if os.path.exists(path)]
found += [path for path in ("/proc/kcore", "/proc/kmsg", "/proc/keys", "/proc/timer_list", "/proc/kallsyms")
          if opens(path) and os.read(os.open(path, os.O_RDONLY), 1)]
found += [path for path in (
    "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/sys/kernel/modprobe", "/proc/sys/vm/drop_caches",
    "/proc/1/environ", "/sys/kernel/uevent_helper", "/proc/irq/default_smp_affinity",
) if opens(path, os.O_WRONLY)]
found += [path for path in ("/proc/1/environ", "/proc/1/root/etc/passwd", "/proc/1/cwd/etc", "/proc/1/fd/0")
          if opens(path) and os.stat(path).st_uid != os.getuid()]
settings = filter(os.path.isfile, glob.glob("/proc/sys/**", recursive=True))
found += [path for path in settings if opens(path, os.O_WRONLY)]
# Whoever has memory that may be written must be under the same filter.
for status in glob.glob("/proc/[0-9]*/status"):
    if "Seccomp:\\t2" not in open(status).read(): found.append(status)
others = sorted(int(name) for name in os.listdir("/proc") if name.isdigit())
print(json.dumps({"found": found, "processes": len(others)}))
"""


@pytest.fixture(scope="module", params=sorted(ENGINES))
def bench(request: pytest.FixtureRequest) -> Bench:
    return Bench(real_engine(request.param))


def test_every_system_call_that_could_lead_out_is_refused(bench: Bench) -> None:
    ended, text = bench.python(PROBE)
    assert ended.code == 0, text
    told: dict[str, str] = json.loads(text)
    through = {name: answer for name, answer in told.items() if answer not in {"EPERM", "ENOSYS"}}
    assert through == {}


def test_ordinary_programs_notice_nothing(bench: Bench) -> None:
    ended, text = bench.python(FINE)
    assert (ended.code, text) == (0, "fine\n")


def test_no_engine_socket_device_secret_or_other_process_is_in_sight(bench: Bench) -> None:
    ended, text = bench.python(PLACES)
    assert ended.code == 0, text
    assert json.loads(text) == {"found": [], "processes": 2}


def test_a_setuid_program_gives_nothing(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "agent"
    folder.mkdir(mode=0o755)
    (folder / "id").write_bytes(Path("/usr/bin/id").read_bytes())
    (folder / "id").chmod(0o6755)
    folder.chmod(0o755)
    _, text = bench.run("/agent/id", "-u", folder=folder)
    assert text == "65534\n"


def test_a_link_in_the_agents_folder_leads_into_the_sandbox_not_the_host(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "agent"
    folder.mkdir()
    folder.chmod(0o755)
    (tmp_path / "secret").write_text("secret")
    (folder / "absolute").symlink_to("/etc/hostname")
    (folder / "relative").symlink_to("../secret")
    ended, text = bench.run("sh", "-c", "cat absolute; cat relative", folder=folder)
    assert ended.code != 0
    assert "secret" not in text.replace("relative: No such file", "").replace("../secret", "")
    assert "sandbox" in text or "absolute" in text


def test_thirty_two_bit_system_calls_end_the_program(bench: Bench) -> None:
    """`int 0x80` would number the calls differently and pass a filter that only looks at 64-bit numbers."""
    program = """
        import ctypes, mmap, platform
        if platform.machine() != "x86_64": raise SystemExit(159)
        code = bytes.fromhex("b814000000cd80c3")  # mov eax, 20 (getpid); int 0x80; ret
        page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        page.write(code)
        address = ctypes.addressof(ctypes.c_char.from_buffer(page))
        print(ctypes.CFUNCTYPE(ctypes.c_long)(address)())
    """
    ended, text = bench.python(textwrap.dedent(program))
    assert ended.code in {159, 139}  # SIGSYS, or SIGSEGV on a kernel without 32-bit calls
    assert text == ""
