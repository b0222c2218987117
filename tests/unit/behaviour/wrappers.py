"""Ways to wrap a payload so that it no longer looks like what it is."""

from __future__ import annotations

import base64
import bz2
import gzip
import html
import io
import json
import lzma
import quopri
import tarfile
import urllib.parse
import zipfile
import zlib
from collections.abc import Callable, Iterable
from functools import reduce
from typing import Final

Wrapper = Callable[[bytes], bytes]


def _zip(payload: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("notes/main.py", payload)
    return file.getvalue()


def _zip_stored(payload: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("main.py", payload)
    return file.getvalue()


def _tar(payload: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        entry = tarfile.TarInfo("main.py")
        entry.size = len(payload)
        archive.addfile(entry, io.BytesIO(payload))
    return file.getvalue()


def _strings(payload: bytes) -> bytes:
    letters = base64.b64encode(payload).decode()
    lines = [f'    "{letters[at : at + 60]}"' for at in range(0, len(letters), 60)]
    return ("DATA = (\n" + "\n".join(lines) + "\n)\n").encode()


def _sum_of_strings(payload: bytes) -> bytes:
    letters = base64.b64encode(payload).decode()
    return ("const data = " + " +\n  ".join(f"'{letters[at : at + 72]}'" for at in range(0, len(letters), 72))).encode()


def _in_a_letter(payload: bytes) -> bytes:
    return b"Hello Bob, here is what you asked for " + base64.encodebytes(payload) + b"kind regards Alice"


ANY_BYTES: Final[dict[str, Wrapper]] = {
    "base64": base64.b64encode,
    "base64 for URLs": base64.urlsafe_b64encode,
    "base64 in lines": base64.encodebytes,
    "base64 in strings": _strings,
    "base64 in a sum": _sum_of_strings,
    "hex": lambda payload: payload.hex().encode(),
    "URL-encoding": lambda payload: urllib.parse.quote(payload).encode(),
    "gzip": gzip.compress,
    "zlib": zlib.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zip": _zip,
    "zip, stored": _zip_stored,
    "tar": _tar,
    "JSON": lambda payload: json.dumps({"content": payload.decode("latin-1")}).encode(),
}
"""Wrappers that anything can be put in, in any order."""

TEXT_ONLY: Final[dict[str, Wrapper]] = {
    "backwards": lambda payload: payload[::-1],
    "base64 in a letter": _in_a_letter,
    "base64 backwards": lambda payload: base64.b64encode(payload)[::-1],
    "base32": base64.b32encode,
    "base85": base64.b85encode,
    "ascii85": base64.a85encode,
    "C escapes": lambda payload: "".join(f"\\x{byte:02x}" for byte in payload).encode(),
    "hex numbers": lambda payload: ", ".join(f"0x{byte:02x}" for byte in payload).encode(),
    "a list of numbers": lambda payload: str(list(payload)).encode(),
    "UTF-16": lambda payload: payload.decode("latin-1").encode("utf-16"),
    "quoted-printable": quopri.encodestring,
    "HTML": lambda payload: html.escape(payload.decode("latin-1")).encode("latin-1"),
    "a quoted mail": lambda payload: b"\n".join(b"> " + line for line in payload.split(b"\n")),
    "a form": lambda payload: urllib.parse.quote_plus(payload).encode(),
    "lzma": lambda payload: lzma.compress(payload, format=lzma.FORMAT_ALONE),
}
"""Wrappers that are tried on text: the innermost, or the only one."""

ALONE: Final[dict[str, Wrapper]] = {"bare deflate": lambda payload: zlib.compress(payload, wbits=-15)}
"""Nothing tells where it starts, so it is found only where it starts a layer."""


def wrap(payload: bytes, chain: Iterable[str]) -> bytes:
    """Put a payload into one wrapper after the other."""
    every = ANY_BYTES | TEXT_ONLY | ALONE
    return reduce(lambda content, name: every[name](content), chain, payload)
