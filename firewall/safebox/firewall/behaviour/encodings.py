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
from collections.abc import Callable, Iterator
from typing import Final

from safebox.firewall.behaviour.containers import MAGICS
from safebox.firewall.behaviour.work import Purse

_SHORTEST: Final = 24
"""Decoded bytes below which a run is not worth a look: two words."""
_TEXT_BP: Final = 6500
"""Printable share from which bytes count as text: noise has 3,800, text misread as base64 up to 6,000."""
_CLEAR_BP: Final = 9000
"""A reading this printable is the right one: the others needn't be kept."""
_SHORT: Final = 256
_SHORT_TEXT_BP: Final = 8500
"""In few bytes chance does more: read in eight ways, every long English word would be text once."""
_SLOW_BYTES_MAX: Final = 131_072
"""Base32, base85 and lists of numbers are decoded by slow code; more of them in one layer is truncated."""
_PROBE: Final = 200
"""Letters read to learn how a base85 run is aligned: a multiple of its group of five."""

_NARROW_MIN: Final = 8
_BYTE_ORDER_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
_PRINTABLE: Final = bytes(range(32, 127)) + b"\t\n\r"
_URLSAFE: Final = bytes.maketrans(b"-_", b"+/")
_GLUE: Final = re.compile(rb"""["'][\s\\+,.&]*["']|\\[nrt]""")
_SEPARATORS: Final = b" \t\r\n\"'\\>,`"
_BASE64_LINES: Final = re.compile(
    rb"(?<![A-Za-z0-9+/])={0,2}[A-Za-z0-9+/]{16,}(?:[\s\"'\\>,`]{1,12}[A-Za-z0-9+/]{4,})*+={0,2}"
)
_BASE64_RUN: Final = re.compile(rb"(?<![A-Za-z0-9+/])={0,2}[A-Za-z0-9+/]{32,}={0,2}")
_HEX_SEPARATORS: Final = b" \t\r\n,:;\"'[]%-"
_HEX_RUN: Final = re.compile(rb"(?<![0-9a-fA-F])[0-9a-fA-F]{48,}")
_NUMBERS: Final = re.compile(rb"(?<!\d)(?:\d{1,3}[,;\s]+){24,}")
_BASE32_RUN: Final = re.compile(rb"(?<![A-Z2-7])[A-Z2-7]{48,}={0,6}")
_BASE85_RUN: Final = re.compile(rb"(?<![0-9A-Za-z!#-&(-+;-@^-`{-~-])[0-9A-Za-z!#-&(-+;-@^-`{-~-]{60,}")
_ASCII85_RUN: Final = re.compile(rb"(?<![!-uz])[!-uz]{60,}")
_BASE64_ONLY: Final = re.compile(rb"[A-Za-z0-9+/_=-]+")
_SOFT_BREAK: Final = re.compile(rb"=\r?\n|=3D|=20\r?\n|(?:=[0-9A-F]{2}){2}")
_PERCENT: Final = re.compile(rb"%[0-9A-Fa-f]{2}")
_ENTITY: Final = re.compile(rb"&(?:#\d+|#x[0-9A-Fa-f]+|[a-z]+);")
_UNICODE: Final = re.compile(rb"\\u([0-9A-Fa-f]{4})|\\x([0-9A-Fa-f]{2})")
_ESCAPE: Final = re.compile(rb"\\|%[0-9A-Fa-f]{2}|&(?:#|[a-z]+;)|=(?:[0-9A-F]{2}|\r?$)")
_PLACEHOLDER: Final = b"\xff\xfe\xff"
"""For an escaped backslash meanwhile: what no text has."""
_JSON: Final = (
    (b"\\\\", _PLACEHOLDER),
    (b"\\n", b"\n"),
    (b"\\r", b"\r"),
    (b"\\t", b"\t"),
    (b"\\b", b"\b"),
    (b"\\f", b"\f"),
    (b"\\/", b"/"),
    (b'\\"', b'"'),
    (b"\\'", b"'"),
)


def decoded(blob: bytes, purse: Purse) -> Iterator[bytes]:
    """Everything a text carries in an encoding; long noise that no way of reading turns into text comes too."""
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
    return _is_utf8(blob)


def _is_utf8(blob: bytes) -> bool:
    try:
        blob.decode()
    except UnicodeDecodeError:
        return False
    return b"\x00" not in blob


def _unescaped(blob: bytes, purse: Purse) -> Iterator[bytes]:
    """Quoted-printable, URL, HTML and JSON escapes, undone one after the other: one text, not one for each."""
    text = start = _escaped_lines(blob)
    for marks, undo in _ESCAPES:
        if marks.search(text):
            text = undo(text)
            if not is_text(text):
                break
    if text == start or not purse.attempt():
        return
    readings = {text} if is_text(text) else {text, *_undone_alone(start)}
    for reading in sorted(readings):
        if purse.produce(len(reading)):
            yield reading


def _undone_alone(text: bytes) -> Iterator[bytes]:
    """Each kind of escape undone alone: what is no text must come out to the byte, and marks in it mean nothing."""
    for marks, undo in _ESCAPES:
        if marks.search(text):
            yield undo(text)
    if _PERCENT.search(text):
        yield urllib.parse.unquote_to_bytes(text.replace(b"+", b" "))


def _escaped_lines(blob: bytes) -> bytes:
    """The lines that have an escape, each with its neighbours: what lies between was read as it stands."""
    lines = blob.split(b"\n")
    wanted = [place for place, line in enumerate(lines) if _ESCAPE.search(line)]
    if len(wanted) * 2 >= len(lines):
        return blob
    near = sorted({near for place in wanted for near in (place - 1, place, place + 1) if 0 <= near < len(lines)})
    return b"\n".join([lines[place] for place in near])


def _unescape_html(text: bytes) -> bytes:
    return html.unescape(text.decode("utf-8", "replace")).encode("utf-8", "replace")


def _unescape_json(text: bytes) -> bytes:
    for escape, plain in _JSON:
        text = text.replace(escape, plain)
    if b"\\u" in text or b"\\x" in text:
        text = _UNICODE.sub(_unescape_unicode, text)
    return text.replace(_PLACEHOLDER, b"\\")


def _unescape_unicode(found: re.Match[bytes]) -> bytes:
    if found[2]:
        return bytes.fromhex(found[2].decode())
    return chr(int(found[1], 16)).encode("utf-8", "replace")


_ESCAPES: Final[tuple[tuple[re.Pattern[bytes], Callable[[bytes], bytes]], ...]] = (
    (_SOFT_BREAK, binascii.a2b_qp),
    (_PERCENT, urllib.parse.unquote_to_bytes),
    (_ENTITY, _unescape_html),
    (re.compile(rb"\\"), _unescape_json),
)


def narrowed(blob: bytes) -> bytes:
    """The bytes that were written as wider characters: UTF-16, or Latin-1 said as UTF-8; anything else as it is."""
    body = blob[2:] if blob[:2] in _BYTE_ORDER_MARKS else blob
    for high, low in ((body[1::2], body[0::2]), (body[0::2], body[1::2])):
        if len(high) >= _NARROW_MIN and high.count(0) * 20 >= len(high) * 19 and low.count(0) * 4 < len(low):
            return low
    try:
        return blob if blob.isascii() else blob.decode().encode("latin-1")
    except UnicodeError:
        return blob


def _base64_runs(blob: bytes, purse: Purse) -> Iterator[bytes]:
    """Runs over lines, quotes and concatenations; then, in what is left, runs of still shorter pieces."""
    text = _GLUE.sub(b"", blob).translate(_URLSAFE)
    for found in _BASE64_LINES.finditer(text):
        yield from _base64(found[0].translate(None, _SEPARATORS), purse)
    rest = _BASE64_LINES.sub(b".", text).translate(None, _SEPARATORS)
    for found in _BASE64_RUN.finditer(rest):
        yield from _base64(found[0], purse)


def _base64(run: bytes, purse: Purse) -> Iterator[bytes]:
    """Read a run at each of four alignments, forwards and backwards."""
    letters = run.strip(b"=")
    if len(letters) * 3 < _SHORTEST * 4 or not purse.attempt():
        return
    readings = [_read64(way[shift:]) for way in (letters, letters[::-1]) for shift in range(4)]
    yield from _kept(readings, purse)


def _read64(letters: bytes) -> bytes:
    usable = letters[: len(letters) - (len(letters) % 4 == 1)]
    return binascii.a2b_base64(usable + b"=" * (-len(usable) % 4))


def _kept(readings: list[bytes], purse: Purse) -> Iterator[bytes]:
    """The readings that are worth a look and can be paid for: text, streams, and noise long enough to matter."""
    scores = [_clearness(reading) for reading in readings]
    best = max(scores)
    if best >= _CLEAR_BP:
        chosen = [readings[scores.index(best)]]
    else:
        told = [one for one, score in zip(readings, scores, strict=True) if _reads(one, score)]
        chosen = told or [one for one in readings[:1] if len(one) >= _SHORT]
    for reading in chosen:
        if purse.produce(len(reading)):
            yield reading


def _reads(reading: bytes, score: int) -> bool:
    return score >= (_TEXT_BP if len(reading) >= _SHORT else _SHORT_TEXT_BP) or reading.startswith(MAGICS)


def _clearness(reading: bytes) -> int:
    return 10_000 if _is_utf8(reading) else printable_bp(reading)


def _hex_runs(blob: bytes, purse: Purse) -> Iterator[bytes]:
    r"""Hex as it stands, or with `\x`, `0x`, colons, commas or blanks between the bytes; also backwards."""
    text = blob.replace(b"\\x", b"").replace(b"0x", b"").translate(None, _HEX_SEPARATORS)
    for found in _HEX_RUN.finditer(text):
        if not purse.attempt():
            return
        run = found[0]
        even = len(run) & ~1
        ways = (run[:even], run[len(run) - even :], run[::-1][:even], run[::-1][len(run) - even :])
        yield from _kept([bytes.fromhex(way.decode()) for way in ways], purse)


def _slow_runs(blob: bytes, purse: Purse) -> Iterator[bytes]:
    left = _SLOW_BYTES_MAX
    for pattern, read in _SLOW:
        for found in pattern.finditer(blob):
            if read is not _read_numbers and _BASE64_ONLY.fullmatch(found[0]) and read is not _read32:
                continue
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
    yield base64.b32decode(letters[: len(letters) & ~7])


def _read85(run: bytes) -> Iterator[bytes]:
    yield from _aligned(run, base64.b85decode)


def _read_ascii85(run: bytes) -> Iterator[bytes]:
    yield from _aligned(run, base64.a85decode)


def _aligned(run: bytes, read: Callable[[bytes], bytes]) -> Iterator[bytes]:
    """Read a run at the first of five alignments whose beginning reads as text or a stream."""
    for shift in range(5):
        try:
            probe = read(run[shift : shift + _PROBE])
            if is_text(probe) or probe.startswith(MAGICS) or b"\x00\x00\x00\x00" in probe:
                yield read(run[shift:])
                return
        except ValueError:
            continue


_SLOW: Final[tuple[tuple[re.Pattern[bytes], Callable[[bytes], Iterator[bytes]]], ...]] = (
    (_NUMBERS, _read_numbers),
    (_BASE32_RUN, _read32),
    (_BASE85_RUN, _read85),
    (_ASCII85_RUN, _read_ascii85),
)
