"""Archives with one way of writing them: the same files are the same bytes, and other bytes are no archive.

A tar (POSIX ustar) inside gzip, as OPA reads bundles. Whatever another program would read differently (links, folders,
devices, two files of one name, names that leave the folder, padding, trailing bytes, a second gzip member) can't be
said in it, because what was read is written again and compared. Nothing is ever unpacked to disk.

The gzip stores and doesn't compress: no two builds of zlib have to agree on the bytes, and nothing can be a bomb.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import Final

FILE_BYTES_MAX: Final = 3_000_000
"""The shipped pack is 70 KB. As base64 it also has to fit into one message of the control socket."""
ENTRIES_MAX: Final = 4_100
NAME_MAX: Final = 100
"""A ustar name without the prefix field."""
_BLOCK: Final = 512
_NAME: Final = re.compile(r"\.[a-z-]+(?:\.json)?|[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*")
"""Our own hidden files at the top, or plain parts that none of them is hidden."""
_GZIP: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""Deflate, no name, no time, unknown system."""
_STORED: Final = struct.Struct("<BHH")
"""Before each piece that is stored: 1 for the last, its length, and that inverted (RFC 1951, 3.2.4)."""
_PIECE: Final = 65_535
_HEADER: Final = struct.Struct("100s8s8s8s12s12s8s1s100s6s2s32s32s8s8s155s12x")
_TRAILER: Final = struct.Struct("<II")


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


def wrap(tar: bytes) -> bytes:
    """Put a tar into gzip.

    Raises:
        ArchiveError: if it is too large.
    """
    raw = b"".join([_GZIP, *_pieces(tar), _TRAILER.pack(zlib.crc32(tar), len(tar))])
    if len(raw) > FILE_BYTES_MAX:
        raise ArchiveError(f"the bundle would be larger than {FILE_BYTES_MAX} bytes")
    return raw


def unwrap(raw: bytes) -> bytes:
    """Read what `wrap` wrote.

    Raises:
        ArchiveError: if it is anything else.
    """
    if len(raw) > FILE_BYTES_MAX:
        raise ArchiveError(f"more than {FILE_BYTES_MAX} bytes")
    tar = b"".join(_stored(raw))
    if wrap(tar) != raw:
        raise ArchiveError("not a file as safebox writes bundles, or damaged, or something follows it")
    return tar


def _pieces(tar: bytes) -> Iterator[bytes]:
    for start in range(0, max(1, len(tar)), _PIECE):
        piece = tar[start : start + _PIECE]
        yield _STORED.pack(start + _PIECE >= len(tar), len(piece), len(piece) ^ _PIECE)
        yield piece


def _stored(raw: bytes) -> Iterator[bytes]:
    """The pieces that are stored, as far as they are."""
    place = len(_GZIP)
    while len(head := raw[place : place + _STORED.size]) == _STORED.size:
        last, length, _ = _STORED.unpack(head)
        yield raw[place + _STORED.size : place + _STORED.size + length]
        place += _STORED.size + length
        if last:
            return


def _header(name: str, size: int, checksum: bytes = b" " * 8) -> bytes:
    number = b"0000000\0"
    head = _HEADER.pack(
        name.encode("ascii"), b"0000644\0", number, number, b"%011o\0" % size, b"%011o\0" % 0, checksum, b"0",
        b"", b"ustar\0", b"00", b"", b"", b"", b"", b"",
    )  # fmt: skip
    return head if checksum.strip() else _header(name, size, b"%06o\0 " % sum(head))


def _read_header(head: bytes) -> tuple[str, int]:
    """The name and size a header says, if it is exactly the header of a file of that name and size."""
    name, size = head[:NAME_MAX].rstrip(b"\0"), head[124:135]
    if len(head) != _BLOCK or not name.isascii() or not re.fullmatch(rb"[0-7]{11}", size):
        raise ArchiveError("a header is damaged")
    found = name.decode("ascii"), int(size, 8)
    if found[1] > FILE_BYTES_MAX or head != _header(*found):
        raise ArchiveError(f"{found[0][:120]!r} is not a plain file as safebox writes it")
    return found
