"""The program that makes a bubblewrap sandbox's namespaces, hands out its listeners, and keeps watch over it.

It is to bubblewrap what the holder container is to Docker. Started with `-I -S` by the owner, it reads one JSON message
from its control socket (descriptor 0) and then, step by step:

1. joins the control groups, so that nothing below escapes them;
2. gives up the host's privileges: a user namespace whose root is an unprivileged user outside;
3. makes a network namespace with `lo` only, binds the ports there and sends the listening sockets to the owner;
4. lays out a private stage under /tmp: the root tree, the agent's folder, and tmpfs with size and inode limits;
5. waits for the word to start bubblewrap, which shuts the rest of the machine out and drops what is left of privileges;
6. ends everything when the time is up, when told, or when the owner's end of the socket closes.

Only the standard library: it may run where no package is installed. Everything is imported before step 4 hides /tmp.
"""

import base64
import contextlib
import ctypes
import fcntl
import importlib
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import time
from typing import Any

Config = dict[str, Any]

CONTROL = 0
_NEWNS, _NEWUSER, _NEWPID, _NEWNET = 0x00020000, 0x10000000, 0x20000000, 0x40000000
_NOSUID, _NODEV, _NOEXEC, _BIND, _REC, _PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
_SET_PDEATHSIG, _SET_DUMPABLE = 1, 4
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
STAGE = "/tmp"  # noqa: S108 - exists everywhere; hidden behind a private mount before it is used
_KEPT = 64 * 1024
_LIBC = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """Move this process into new namespaces."""
    _check(_LIBC.unshare(flags), f"unshare({flags:#x})")


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """Mount a file system or a folder in this mount namespace."""
    arguments = (source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode())
    _check(_LIBC.mount(*arguments), f"mount {source} on {target}")


def join_groups(files: list[str]) -> None:
    """Move this process into the control groups the owner made."""
    for path in files:
        with open(path, "w", encoding="ascii") as file:
            file.write("0")


def become_nobody(outside: int | None) -> None:
    """Enter a user namespace: as root mapped to the uid `outside`, as an ordinary user mapped to that user."""
    if outside is None:
        uid, gid = os.getuid(), os.getgid()
        unshare(_NEWUSER)
        _write_maps("self", uid, gid)
    else:
        os.setgroups([])
        _map_from_outside(outside)
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def _write_maps(process: str, uid: int, gid: int) -> None:
    for name, text in (("setgroups", "deny"), ("gid_map", f"0 {gid} 1"), ("uid_map", f"0 {uid} 1")):
        with open(f"/proc/{process}/{name}", "w", encoding="ascii") as file:
            file.write(text)


def _map_from_outside(outside: int) -> None:
    """Only a process that is still outside may map another uid than its own, so a child does."""
    me = os.getpid()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        with contextlib.suppress(OSError):
            os.close(writer)
            os.read(reader, 1)
            _write_maps(str(me), outside, outside)
            status = 0
        os._exit(status)
    os.close(reader)
    unshare(_NEWUSER)
    os.write(writer, b".")
    os.close(writer)
    if os.waitpid(child, 0)[1] != 0:
        raise OSError("the user namespace could not be mapped")


def lay_stage(config: Config) -> None:
    """Private mounts under /tmp: `root` and `agent` are the host's, the rest is empty."""
    sources = {name: os.open(path, os.O_PATH | os.O_CLOEXEC) for name, path in config["sources"].items()}
    mount("none", "/", "", _REC | _PRIVATE)
    mount("stage", STAGE, "tmpfs", _NOSUID | _NODEV, "mode=0755,size=32m,nr_inodes=64")
    for name in ("job", *config["tmpfs"]):
        os.mkdir(f"{STAGE}/{name}", 0o755)
    for name, descriptor in sources.items():
        os.mkdir(f"{STAGE}/{name}", 0o755)
        mount(f"/proc/self/fd/{descriptor}", f"{STAGE}/{name}", "", _BIND | _REC)
        os.close(descriptor)
    if config["input"] is not None:
        with open(f"{STAGE}/job/input", "wb") as file:
            file.write(base64.b64decode(config["input"]))
        os.chmod(f"{STAGE}/job/input", 0o444)


def mount_tmpfs(folders: Config) -> None:
    """The places the agent may write to, each with its own bounds."""
    for name, (options, noexec) in folders.items():
        mount(name, f"{STAGE}/{name}", "tmpfs", _NOSUID | _NODEV | (_NOEXEC if noexec else 0), options)


def raise_loopback() -> None:
    """Bring `lo` up in this network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sH22x", b"lo", 0)
        flags = struct.unpack("16sH22x", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags | _IFF_UP))


def prepare(config: Config) -> list[socket.socket]:
    """Steps 1 to 4; return the listeners."""
    join_groups(config["groups"])
    outside: int | None = config["outside"]
    if outside is None:
        become_nobody(None)
        unshare(_NEWNS)
        lay_stage(config)
        unshare(_NEWNET)
    else:
        unshare(_NEWNS)
        lay_stage(config)
        become_nobody(outside)
        unshare(_NEWNS | _NEWNET)
    mount_tmpfs(config["tmpfs"])
    raise_loopback()
    listeners: list[socket.socket] = config["holder"].bind(config["ports"])
    return listeners


def start(config: Config, output: int | None) -> int:
    """Fork and become bubblewrap, as process 1 of a process namespace; return its process id.

    Bubblewrap makes another such namespace inside. Were this one not around it, killing bubblewrap before its own
    child has asked to die with it would leave that child behind.
    """
    unshare(_NEWPID)
    keeper = os.pidfd_open(os.getpid())
    child = os.fork()
    if child:
        os.close(keeper)
        return child
    try:
        _LIBC.prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if select.select([keeper], [], [], 0)[0]:  # it died before it could take us along
            os._exit(1)
        if output is not None:
            os.dup2(output, 1)
            os.dup2(output, 2)
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        _LIBC.prctl(_SET_DUMPABLE, 1, 0, 0, 0)  # else the file below belongs to the root this process no longer is
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("1000")
        for name, value in config["rlimits"].items():
            resource.setrlimit(getattr(resource, name), (value, value))
        seccomp = _memory_file(base64.b64decode(config["seccomp"]))
        arguments = ["--seccomp", str(seccomp), *config["arguments"]]
        options = _memory_file(b"".join(each.encode() + b"\0" for each in arguments))
        os.execve(config["bwrap"], ["bwrap", "--args", str(options), "--", *config["command"]], {})  # noqa: S606
    except OSError as error:
        os.write(2, f"bwrap: {error}\n".encode())
    finally:
        os._exit(1)


def _memory_file(data: bytes) -> int:
    descriptor = os.memfd_create("safebox", 0)
    os.write(descriptor, data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


class Tail:
    """The end of a detached sandbox's output, in a file the owner opened before privileges were given up."""

    def __init__(self, file: int, most: int) -> None:
        """Keep the last 64 KiB in `file`; `most` bytes in all are too much."""
        self._file = file
        self._kept = b""
        self._left = most

    def add(self, chunk: bytes) -> bool:
        """Keep a chunk; False when there has been too much output."""
        self._kept = (self._kept + chunk)[-_KEPT:]
        os.pwrite(self._file, self._kept, 0)
        self._left -= len(chunk)
        return self._left >= 0


def watch(config: Config, child: int, owner: socket.socket, output: int | None, tail: Tail | None) -> int:
    """Step 6: wait for the end of bubblewrap, for whatever cause; return its exit code."""
    ended = os.pidfd_open(child)
    signal.signal(signal.SIGTERM, lambda _number, _frame: os.kill(child, signal.SIGKILL))
    end = time.monotonic() + config["seconds"]
    waiting: list[Any] = [ended]
    if not config["detached"]:
        waiting.append(owner)
    if output is not None:
        waiting.append(output)
    while True:
        readable, _, _ = select.select(waiting, [], [], max(0.0, min(end - time.monotonic(), 3600.0)))
        late = time.monotonic() >= end
        if output in readable and output is not None and tail is not None:
            chunk = os.read(output, 65536)
            late = late or not tail.add(chunk)
            if not chunk:
                waiting.remove(output)
        if ended in readable and output not in readable:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if late or owner in readable:
            os.kill(child, signal.SIGKILL)
            waiting = [each for each in waiting if each is not owner]
            end = time.monotonic() + 60


def report(config: Config, facts: Config) -> None:
    """Write what became of a detached sandbox where it can be found later."""
    if config["state"] is not None:
        data = json.dumps(facts).encode()
        os.ftruncate(config["state"], 0)
        os.pwrite(config["state"], data, 0)


def run(config: Config, owner: socket.socket) -> None:
    """Steps 1 to 6."""
    listeners = prepare(config)
    rights = b"".join(struct.pack("i", each.fileno()) for each in listeners)
    owner.sendmsg([b"L"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if listeners else [])
    for each in listeners:
        each.close()
    if owner.recv(1) != b"G":
        return
    reader, writer = os.pipe() if config["detached"] else (None, None)
    started = time.time()
    report(config, {"started_at": started})  # before it is true: who reads nothing here may say that nothing ran
    child = start(config, writer)
    if writer is not None:
        os.close(writer)
    for stream in (1, 2):
        os.close(stream)
    tail = Tail(config["output"], config["log_bytes"]) if config["detached"] else None
    owner.send(b"S")
    code = watch(config, child, owner, reader, tail)
    code = 128 - code if code < 0 else code
    report(config, {"started_at": started, "ended_at": time.time(), "exit_code": code})
    with contextlib.suppress(OSError):
        owner.send(b"X%d" % code)


def receive_config(owner: socket.socket) -> Config:
    """One line of JSON."""
    data = b""
    while not data.endswith(b"\n"):
        chunk = owner.recv(1 << 20)
        if not chunk:
            os._exit(1)
        data += chunk
    config: Config = json.loads(data)
    return config


def main() -> None:
    """Take orders from descriptor 0 until the sandbox has ended."""
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    holder = importlib.import_module("holder")  # the same listeners as in a container, from the same file
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    owner = socket.socket(fileno=os.dup(CONTROL))
    config = receive_config(owner)
    if config["detached"] and os.fork():
        os._exit(0)
    config["holder"] = holder
    owner.send(b"P%d\n" % os.getpid())
    try:
        run(config, owner)
    except OSError as error:
        with contextlib.suppress(OSError):
            owner.send(b"E" + str(error).encode())
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main()
