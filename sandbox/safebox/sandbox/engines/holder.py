"""The program of a holder container: owns the network and process namespaces, hands out its listeners, sleeps.

It runs inside the image (stdlib only, started with `-I -S -c SOURCE`), as process 1 of the process namespace that the
agent's container joins: when it ends, by its clock or because its owner is gone, the kernel ends everything in there.

Every run waits for it, so it loads no more than it needs, and most of that after the handover: `_socket` is the part of
`socket` that is written in C.

Arguments: path of the owner's socket ("" when nobody waits for it), seconds to live, ports.
"""

import _socket as socket
import os
import struct
import sys
import time


def bind(ports: list[int]) -> list[socket.socket]:
    """Listening sockets on 127.0.0.1 of this namespace, in order."""
    listeners: list[socket.socket] = []
    for port in ports:
        each = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        each.bind(("127.0.0.1", port))
        each.listen(1024)
        listeners.append(each)
    return listeners


def hand_over(path: str, listeners: list[socket.socket]) -> socket.socket:
    """Send the listeners in one message, then forget them; the connection stays as the sign that the owner lives."""
    owner = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    owner.connect(path)
    rights = struct.pack(f"{len(listeners)}i", *(each.fileno() for each in listeners))
    owner.sendmsg([b"L"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if listeners else [])
    for each in listeners:
        each.close()
    return owner


def sleep_until(end: float, owner: socket.socket | None) -> None:
    """Return when the time is up or the owner's end of the connection has closed.

    The owner of a holder that was made ahead says once how many seconds it has from then on.
    """
    import select

    waiting = [owner] if owner is not None else []
    while (left := end - time.monotonic()) > 0:
        readable, _, _ = select.select(waiting, [], [], min(left, 3600.0))
        for each in readable:
            word = each.recv(32)
            if not word:
                return
            end = time.monotonic() + float(word)


def leave(_number: int, _frame: object) -> None:
    """End at once: process 1 gets no signal it has no handler for."""
    os._exit(0)


def main() -> None:
    """Bind, hand over, sleep."""
    end = time.monotonic() + float(sys.argv[2])
    listeners = bind([int(port) for port in sys.argv[3:]])
    owner = hand_over(sys.argv[1], listeners) if sys.argv[1] else None
    import signal

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # as process 1: orphans are reaped by the kernel
    signal.signal(signal.SIGTERM, leave)
    for stream in (0, 1, 2):
        os.close(stream)
    sleep_until(end, owner)
    os._exit(0)


if __name__ == "__main__":
    main()
