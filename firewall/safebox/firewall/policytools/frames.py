"""Messages between a process and the child it started, over pipes: four bytes of length, then MessagePack."""

from __future__ import annotations

import struct
from typing import BinaryIO, Final

_LENGTH: Final = struct.Struct(">I")


def write_frame(file: BinaryIO, message: bytes) -> None:
    """Write one message, and flush it."""
    file.write(_LENGTH.pack(len(message)))
    file.write(message)
    file.flush()


def read_frame(file: BinaryIO) -> bytes | None:
    """Read one message; None if the other side is gone, in the middle of one, too."""
    head = file.read(_LENGTH.size)
    if len(head) != _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    message = file.read(length)
    return message if len(message) == length else None
