"""Compressed streams and archives, wherever in a payload they start.

Directories of archives are not believed: every stream is found by its own magic and inflated from there, so an
archive with a forged, missing or shifted directory is read all the same. A tar needs nothing here: what it holds lies
in it as it is, and its compressed members are found like any other stream.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, Protocol

from safebox.firewall.behaviour.work import Purse

_FEED: Final = 16_384
"""Fed in pieces, so that what a stream gave before it broke is kept."""
_XZ_MEMORY_MAX: Final = 64 * 1024 * 1024
"""A stream that asks for a larger dictionary can't be looked at; xz -6 asks for 9 MiB."""
_SHORTEST: Final = 16
"""Fewer bytes than this out of a stream tell nothing."""

_ZIP_HEADER: Final = 30
_STORED: Final = 0
_DEFLATED: Final = 8
_BZIP2: Final = 12
_ENCRYPTED: Final = 1
_SIZE_FOLLOWS: Final = 8


class Member(NamedTuple):
    """What one stream gave, and from where to where it lay in the payload."""

    content: bytes
    start: int
    end: int


class _Decompressor(Protocol):
    @property
    def unused_data(self) -> bytes: ...
    @property
    def eof(self) -> bool: ...
    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


def members(blob: bytes, purse: Purse) -> Iterator[Member]:
    """Every compressed stream or archive member in `blob`, in no order."""
    for magic, read in _READERS:
        at = blob.find(magic)
        while at >= 0:
            if not purse.attempt():
                return
            member = read(blob, at, purse)
            if member is not None:
                yield member
            at = blob.find(magic, max(at + 1, member.end if member else 0))
    yield from _whole(blob, purse)


def _whole(blob: bytes, purse: Purse) -> Iterator[Member]:
    """A blob that is one zlib stream of an unusual window or one bare deflate stream, which have no magic."""
    if len(blob) < _SHORTEST or not purse.attempt():
        return
    unusual = blob[0] & 0x0F == _DEFLATED and blob[0] != ord("x") and not (blob[0] * 256 + blob[1]) % 31
    member = _inflate(blob, 0, purse, zlib.MAX_WBITS if unusual else -zlib.MAX_WBITS)
    if member is not None and member.end * 2 > len(blob):
        yield member


def _inflate(blob: bytes, at: int, purse: Purse, window: int) -> Member | None:
    return _drain(_Inflater(window), blob, at, purse)


def _drain(stream: _Decompressor, blob: bytes, at: int, purse: Purse) -> Member | None:
    """Decompress from `at` until the stream ends, breaks, or the purse is empty."""
    pieces: list[bytes] = []
    place = at
    while place < len(blob) and not stream.eof and not purse.truncated:
        try:
            piece = stream.decompress(blob[place : place + _FEED], purse.output + 1)
        except (zlib.error, OSError, EOFError, lzma.LZMAError, ValueError):
            break
        place = min(place + _FEED, len(blob))
        if not purse.produce(len(piece)):
            piece = piece[: purse.output]
        pieces.append(piece)
    content = b"".join(pieces)
    if len(content) < _SHORTEST:
        return None
    return Member(content, at, place - len(stream.unused_data))


class _Inflater:
    """zlib's decompressor with the shape of bz2's: it says when more output waits than was asked for."""

    def __init__(self, window: int) -> None:
        self._stream = zlib.decompressobj(window)

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data

    @property
    def eof(self) -> bool:
        return self._stream.eof

    def decompress(self, data: bytes, max_length: int = 0, /) -> bytes:
        return self._stream.decompress(data, max_length)


def _gzip(blob: bytes, at: int, purse: Purse) -> Member | None:
    return _inflate(blob, at, purse, zlib.MAX_WBITS | 16)


def _zlib(blob: bytes, at: int, purse: Purse) -> Member | None:
    return _inflate(blob, at, purse, zlib.MAX_WBITS)


def _bzip2(blob: bytes, at: int, purse: Purse) -> Member | None:
    return _drain(bz2.BZ2Decompressor(), blob, at, purse)


def _xz(blob: bytes, at: int, purse: Purse) -> Member | None:
    return _drain(lzma.LZMADecompressor(memlimit=_XZ_MEMORY_MAX), blob, at, purse)


def _zip_member(blob: bytes, at: int, purse: Purse) -> Member | None:
    """One member from its local header. Fails closed: encrypted or of an unknown method is truncated."""
    header = blob[at : at + _ZIP_HEADER]
    if len(header) < _ZIP_HEADER:
        return None
    flags, method = int.from_bytes(header[6:8], "little"), int.from_bytes(header[8:10], "little")
    size = int.from_bytes(header[18:22], "little")
    start = at + _ZIP_HEADER + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    if method == _DEFLATED and not flags & _ENCRYPTED:
        return _inflate(blob, start, purse, -zlib.MAX_WBITS)
    if method == _BZIP2 and not flags & _ENCRYPTED:
        return _bzip2(blob, start, purse)
    if method == _STORED and not flags & _ENCRYPTED:
        content = blob[start:] if flags & _SIZE_FOLLOWS else blob[start : start + size]
        return Member(content, at, start) if purse.produce(len(content)) else None
    purse.truncated = True
    return None


_READERS: Final[tuple[tuple[bytes, Callable[[bytes, int, Purse], Member | None]], ...]] = (
    (b"PK\x03\x04", _zip_member),
    (b"\x1f\x8b\x08", _gzip),
    (b"BZh", _bzip2),
    (b"\xfd7zXZ\x00", _xz),
    (b"]\x00\x00", _xz),
    (b"x\x01", _zlib),
    (b"x\x5e", _zlib),
    (b"x\x9c", _zlib),
    (b"x\xda", _zlib),
)

MAGICS: Final = tuple(magic for magic, _ in _READERS)
"""How a compressed stream starts."""
LONG_MAGICS: Final = tuple(magic for magic in MAGICS if len(magic) > 2)  # noqa: PLR2004 -- two bytes are no evidence
"""Those that noise has by chance less than once in a payload."""
