"""Archives with one way of writing them: the same files are the same bytes, and other bytes are no archive.

A tar (POSIX ustar) inside gzip, as OPA reads bundles. Whatever another program would read differently (links, folders,
devices, two files of one name, names that leave the folder, padding, trailing bytes, a second gzip member) can't be
said in it, because what was read is written again and compared. Nothing is ever unpacked to disk.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable
from typing import Final

FILE_BYTES_MAX: Final = 2_097_152
"""A compressed archive: the shipped pack is 20 KB. It also has to fit into one message of the control socket."""
TAR_BYTES_MAX: Final = 20_971_520
"""Policies of `BUNDLE_BYTES_MAX` with the tar's own blocks; what inflates beyond it is not read to its end."""
ENTRIES_MAX: Final = 4_100
NAME_MAX: Final = 100
"""A ustar name without the prefix field."""
_BLOCK: Final = 512
_NAME: Final = re.compile(r"\.[a-z-]+(?:\.json)?|[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*")
"""Our own hidden files at the top, or plain parts that none of them is hidden."""
_GZIP: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
"""Deflate, no name, no time, best compression, unknown system."""
_HEADER: Final = struct.Struct("100s8s8s8s12s12s8s1s100s6s2s32s32s8s8s155s12x")
_TRAILER: Final = struct.Struct("<II")
_WINDOW: Final = -15
"""A bare deflate stream; header and trailer are read here."""


class ArchiveError(ValueError):
    """These bytes are no archive as it is written here; the message says what is wrong."""


def pack(files: Iterable[tuple[str, bytes]]) -> bytes:
    """Write files (name, content) as a tar, in the order of their names.

    Raises:
        ArchiveError: if a name can't be written, or is there twice.
    """
    blocks: list[bytes] = []
    last = ""
    for name, content in sorted(files):
        if _NAME.fullmatch(name) is None or len(name) > NAME_MAX:
            raise ArchiveError(
                f"{name[:120]!r} is no name for a file in a bundle (at most {NAME_MAX} plain characters)"
            )
        if name == last:
            raise ArchiveError(f"{name} is there twice")
        last = name
        blocks += [_header(name, len(content)), content, bytes(-len(content) % _BLOCK)]
    return b"".join([*blocks, bytes(2 * _BLOCK)])


def unpack(tar: bytes) -> list[tuple[str, bytes]]:
    """Read what `pack` wrote.

    Raises:
        ArchiveError: if it is anything else.
    """
    files: list[tuple[str, bytes]] = []
    place = 0
    while any(head := tar[place : place + _BLOCK]):
        if len(files) >= ENTRIES_MAX:
            raise ArchiveError(f"more than {ENTRIES_MAX} files")
        name, size = _read_header(head)
        start, place = place + _BLOCK, place + _BLOCK + size + (-size % _BLOCK)
        if place > len(tar):
            raise ArchiveError("it is cut off")
        files.append((name, tar[start : start + size]))
    if pack(files) != tar:
        raise ArchiveError("it is not as safebox writes bundles: order, padding or an attribute differs")
    return files


def compress(tar: bytes) -> bytes:
    """Put a tar into gzip.

    Raises:
        ArchiveError: if it is too large.
    """
    engine = zlib.compressobj(9, zlib.DEFLATED, _WINDOW)
    raw = _GZIP + engine.compress(tar) + engine.flush() + _TRAILER.pack(zlib.crc32(tar), len(tar))
    if len(tar) > TAR_BYTES_MAX or len(raw) > FILE_BYTES_MAX:
        raise ArchiveError(f"the bundle would be larger than {FILE_BYTES_MAX} bytes ({TAR_BYTES_MAX} unpacked)")
    return raw


def expand(raw: bytes) -> bytes:
    """Read what `compress` wrote, up to `TAR_BYTES_MAX`.

    Raises:
        ArchiveError: if it is anything else, or too large.
    """
    if len(raw) > FILE_BYTES_MAX:
        raise ArchiveError(f"more than {FILE_BYTES_MAX} bytes")
    if not raw.startswith(_GZIP):
        raise ArchiveError("not a gzip file as safebox writes bundles")
    engine = zlib.decompressobj(_WINDOW)
    try:
        tar = engine.decompress(raw[len(_GZIP) :], TAR_BYTES_MAX + 1)
    except zlib.error as error:
        raise ArchiveError("the compressed data is damaged") from error
    if len(tar) > TAR_BYTES_MAX:
        raise ArchiveError(f"more than {TAR_BYTES_MAX} bytes unpacked")
    if not engine.eof or engine.unused_data != _TRAILER.pack(zlib.crc32(tar), len(tar)):
        raise ArchiveError("the compressed data is damaged, cut off or has something after it")
    return tar


def _header(name: str, size: int, checksum: bytes = b" " * 8) -> bytes:
    number = b"0000000\0"
    head = _HEADER.pack(
        name.encode("ascii"), b"0000644\0", number, number, b"%011o\0" % size, b"%011o\0" % 0, checksum, b"0",
        b"", b"ustar\0", b"00", b"", b"", number, number, b"",
    )  # fmt: skip
    return head if checksum.strip() else _header(name, size, b"%06o\0 " % sum(head))


def _read_header(head: bytes) -> tuple[str, int]:
    """The name and size a header says, if it is exactly the header of a file of that name and size."""
    name, size = head[:NAME_MAX].rstrip(b"\0"), head[124:135]
    if len(head) != _BLOCK or not name.isascii() or not re.fullmatch(rb"[0-7]{11}", size):
        raise ArchiveError("a header is damaged")
    found = name.decode("ascii"), int(size, 8)
    if found[1] > TAR_BYTES_MAX or head != _header(*found):
        raise ArchiveError(f"{found[0][:120]!r} is not a plain file as safebox writes it")
    return found
