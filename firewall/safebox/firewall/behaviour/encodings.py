"""Text encodings that carry bytes: escapes, base64, hex and their like, whole or embedded in other text.

Each decoder is one pass of C code over the payload. Where a decoder can't know how a run is aligned (base64 after a
word, written backwards, broken by quotes) it tries every way and keeps what reads as text or holds a stream.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
import urllib.parse
from collections.abc import Iterator
from typing import Final

from safebox.firewall.behaviour.work import Purse

_SHORTEST: Final = 24
"""Decoded bytes below which a run is not worth a look: two words."""
_TEXT_BP: Final = 5500
"""Printable share from which decoded bytes count as text; noise has 3,800, so a run with some noise in it passes."""
_SHORT: Final = 256
_SHORT_TEXT_BP: Final = 8500
"""In few bytes chance does more: read in eight ways, every long English word would be text once."""
_SLOW_BYTES_MAX: Final = 131_072
"""Base32, base85 and lists of numbers are decoded by slow code; more of them in one payload is truncated."""

_PRINTABLE: Final = bytes(range(32, 127)) + b"\t\n\r"
_GLUE: Final = re.compile(rb"""["'][\s\\+,.&]*["']|\\[nrt]|=\r?\n""")
_SEPARATORS: Final = b" \t\r\n\"'\\>,`\x00"
_BASE64_RUN: Final = re.compile(rb"={0,2}[A-Za-z0-9+/]{32,}={0,2}")
_URLSAFE: Final = bytes.maketrans(b"-_", b"+/")
_HEX_MARK: Final = re.compile(rb"\\x|0x|[\s,:;\"'\[\]%-]+")
_HEX_RUN: Final = re.compile(rb"[0-9a-fA-F]{48,}")
_NUMBERS: Final = re.compile(rb"(?:\d{1,3}[,;\s]+){24,}")
_BASE32_RUN: Final = re.compile(rb"[A-Z2-7]{48,}={0,6}")
_BASE85_RUN: Final = re.compile(rb"[!-~]{60,}")
_BASE64_ONLY: Final = re.compile(rb"[A-Za-z0-9+/_=-]+")
_SOFT_BREAK: Final = re.compile(rb"=\r?\n|=3D|=20|=0A")
_PERCENT: Final = re.compile(rb"%[0-9A-Fa-f]{2}")
_ENTITY: Final = re.compile(rb"&(?:#\d+|#x[0-9A-Fa-f]+|[a-z]+);")
_ESCAPE: Final = re.compile(rb"\\|%[0-9A-Fa-f]{2}|&(?:#|[a-z]+;)|=(?:[0-9A-F]{2}|\r?$)")
_UNICODE: Final = re.compile(rb"\\u00([2-7][0-9A-Fa-f])|\\x([0-9A-Fa-f]{2})")
_JSON: Final = ((b"\\\\", b"\x00"), (b"\\n", b"\n"), (b"\\r", b"\r"), (b"\\t", b"\t"), (b'\\"', b'"'), (b"\\'", b"'"))


def decoded(blob: bytes, purse: Purse) -> Iterator[bytes]:
    """Everything `blob` carries in a text encoding; noise that no way of reading turns into text comes once."""
    yield from _unescaped(blob, purse)
    yield from _base64_runs(blob, purse)
    yield from _hex_runs(blob, purse)
    yield from _slow_runs(blob, purse)


def printable_bp(blob: bytes) -> int:
    """How much of it is printable ASCII, in basis points."""
    return 10_000 - 10_000 * len(blob.translate(None, _PRINTABLE)) // max(1, len(blob))


def is_text(blob: bytes) -> bool:
    """Whether it reads as text: mostly printable ASCII, or valid UTF-8."""
    if printable_bp(blob) >= (_TEXT_BP if len(blob) >= _SHORT else _SHORT_TEXT_BP):
        return True
    try:
        blob.decode()
    except UnicodeDecodeError:
        return False
    return True


def _unescaped(blob: bytes, purse: Purse) -> Iterator[bytes]:
    """Quoted-printable, URL, HTML and JSON escapes, undone one after the other: one text, not one for each."""
    text = blob = _escaped_lines(blob)
    if _SOFT_BREAK.search(text):
        text = binascii.a2b_qp(text)
    if _PERCENT.search(text):
        text = urllib.parse.unquote_to_bytes(text)
    if _ENTITY.search(text):
        text = html.unescape(text.decode("utf-8", "replace")).encode()
    if b"\\" in text:
        text = _unescape_json(text)
    if text != blob and purse.attempt() and purse.produce(len(text)):
        yield text


def _escaped_lines(blob: bytes) -> bytes:
    """The lines that have an escape, each with its neighbours: what lies between was read as it stands."""
    lines = blob.split(b"\n")
    wanted = {place for place, line in enumerate(lines) if _ESCAPE.search(line)}
    near = sorted({near for place in wanted for near in (place - 1, place, place + 1) if 0 <= near < len(lines)})
    return b"\n".join([lines[place] for place in near])


def _unescape_json(text: bytes) -> bytes:
    for escape, plain in _JSON:
        text = text.replace(escape, plain)
    if b"\\u00" in text or b"\\x" in text:
        text = _UNICODE.sub(lambda found: bytes.fromhex((found[1] or found[2]).decode()), text)
    return text.replace(b"\x00", b"\\")


def _base64_runs(blob: bytes, purse: Purse) -> Iterator[bytes]:
    """Runs as they stand, then runs put together again from lines, quotes and concatenations."""
    plain = blob.translate(_URLSAFE)
    whole = _GLUE.sub(b"", blob).translate(_URLSAFE, _SEPARATORS)
    seen: set[bytes] = set()
    for text in (plain, whole):
        for found in _BASE64_RUN.finditer(text):
            run = found[0]
            if run not in seen:
                seen.add(run)
                if not purse.attempt():
                    return
                yield from _base64(run, purse)


def _base64(run: bytes, purse: Purse) -> Iterator[bytes]:
    """Read a run at each of four alignments, forwards and backwards; the first reading if none is text."""
    letters = run.strip(b"=")
    readings = [_read64(way[shift:]) for way in (letters, letters[::-1]) for shift in range(4)]
    texts = [reading for reading in readings if is_text(reading)]
    yield from _kept(texts or _streams(readings) or readings[:1], purse)


def _kept(readings: list[bytes], purse: Purse) -> Iterator[bytes]:
    """Those readings that are worth a look and can be paid for: text, streams, and noise long enough to matter."""
    for reading in readings:
        if (len(reading) >= _SHORT or is_text(reading) or reading.startswith(_MAGICS)) and purse.produce(len(reading)):
            yield reading


def _streams(readings: list[bytes]) -> list[bytes]:
    return [reading for reading in readings if reading.startswith(_MAGICS)]


_MAGICS: Final = (b"\x1f\x8b", b"PK\x03\x04", b"BZh", b"\xfd7zXZ", b"x\x01", b"x\x5e", b"x\x9c", b"x\xda", b"]\x00\x00")


def _read64(letters: bytes) -> bytes:
    usable = letters[: len(letters) - (len(letters) % 4 == 1)]
    return binascii.a2b_base64(usable + b"=" * (-len(usable) % 4))


def _hex_runs(blob: bytes, purse: Purse) -> Iterator[bytes]:
    r"""Hex as it stands, or with `\x`, `0x`, colons, commas or blanks between the bytes; also backwards."""
    for found in _HEX_RUN.finditer(_HEX_MARK.sub(b"", blob)):
        if not purse.attempt():
            return
        run = found[0]
        even = len(run) & ~1
        readings = [bytes.fromhex(way.decode()) for way in (run[:even], run[len(run) - even :], run[::-1][:even])]
        yield from _kept([reading for reading in readings if is_text(reading)] or readings[:1], purse)


def _slow_runs(blob: bytes, purse: Purse) -> Iterator[bytes]:
    left = _SLOW_BYTES_MAX
    for pattern, read in ((_NUMBERS, _read_numbers), (_BASE32_RUN, _read32), (_BASE85_RUN, _read85)):
        for found in pattern.finditer(blob):
            left -= len(found[0])
            if left < 0:
                purse.truncated = True
                return
            if not purse.attempt():
                return
            for reading in read(found[0]):
                if len(reading) >= _SHORTEST and purse.produce(len(reading)):
                    yield reading


def _read_numbers(run: bytes) -> Iterator[bytes]:
    values = [int(number) for number in re.findall(rb"\d+", run)]
    if max(values) < 256:  # noqa: PLR2004 -- a byte
        yield bytes(values)


def _read32(run: bytes) -> Iterator[bytes]:
    letters = run.rstrip(b"=")
    usable = letters[: len(letters) & ~7]
    yield base64.b32decode(usable)


def _read85(run: bytes) -> Iterator[bytes]:
    """Both alphabets in use; a run that is plain base64 was read already."""
    if _BASE64_ONLY.fullmatch(run):
        return
    for read in (base64.b85decode, base64.a85decode):
        try:
            reading = read(run)
        except ValueError:
            continue
        if is_text(reading) or reading.startswith(_MAGICS):
            yield reading
