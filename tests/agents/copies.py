"""Whether some bytes carry a program, told in another way than the firewall tells it: line by line.

It opens what it finds in every way it knows, over and over, and counts the lines of the program it can see anywhere.
It may take its time and knows what it looks for, which the firewall does not; so it is the judge, not a second guard.
"""

from __future__ import annotations

import ast
import base64
import binascii
import bz2
import gzip
import io
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar
from urllib.parse import unquote_to_bytes

Given = TypeVar("Given", bytes, str)

DEPTH: Final = 6
"""Wrappings inside one another."""
LINE_MIN: Final = 24
"""Characters of a line that say something about where it comes from."""
_BLOBS: Final = (re.compile(rb"[A-Za-z0-9+/_-]{64,}={0,2}"), re.compile(rb"[!-~]{64,}"))
_HEX: Final = re.compile(rb"(?:[0-9a-fA-F]{2}){32,}")
_MARKUP: Final = ("\\n", "\n")
"""A newline in a string of a program, and what it stands for."""


class _Nameless(ast.NodeTransformer):
    """Gives everything the same name."""

    def visit(self, node: ast.AST) -> ast.AST:
        for field in ("id", "arg", "attr", "name"):
            if isinstance(getattr(node, field, None), str):
                setattr(node, field, "x")
        return self.generic_visit(node)


def lines_of(text: str) -> frozenset[str]:
    """The lines of a text that tell it from others."""
    return frozenset(line for each in text.splitlines() if len(line := each.strip()) >= LINE_MIN)


def shape_of(program: str) -> frozenset[str]:
    """The lines of a program without its names, its comments and its ways to break lines; none if it is no program."""
    try:
        return lines_of(ast.unparse(_Nameless().visit(ast.parse(program))))
    except (SyntaxError, ValueError, RecursionError):
        return frozenset()


def seen_of(program: str, *payloads: bytes) -> float:
    """How much of a program can be found in some payloads taken together, from 0 to 1."""
    texts = [found.decode("utf-8", "replace") for payload in payloads for found in unwrapped(payload)]
    texts += [text.replace(*_MARKUP) for text in texts if _MARKUP[0] in text]
    return max(_share(reads(program), map(reads, texts)) for reads in (lines_of, shape_of))


def _share(wanted: frozenset[str], seen: Iterable[frozenset[str]]) -> float:
    return len(wanted & frozenset().union(*seen)) / len(wanted)


def unwrapped(payload: bytes) -> Iterator[bytes]:
    """The payload and everything that can be found inside it."""
    seen: set[bytes] = set()
    waiting = [(payload, 0)]
    while waiting:
        content, depth = waiting.pop()
        if content in seen or depth > DEPTH:
            continue
        seen.add(content)
        yield content
        waiting += [(inner, depth + 1) for inner in _inside(content)]


def _inside(content: bytes) -> Iterator[bytes]:
    for opens in (gzip.decompress, zlib.decompress, bz2.decompress, lzma.decompress, unquote_to_bytes):
        yield from _tried(opens, content)
    yield from _members(content)
    yield from (inner for blob in _HEX.findall(content) for inner in _tried(bytes.fromhex, blob.decode()))
    for pattern in _BLOBS:
        for blob in pattern.findall(content):
            yield from _tried(base64.b64decode, blob)
            yield from _tried(base64.urlsafe_b64decode, blob)
            yield from _tried(base64.b85decode, blob)


def _tried(opens: Callable[[Given], bytes], content: Given) -> Iterator[bytes]:
    try:
        yield opens(content)
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, binascii.Error):
        return


def _members(content: bytes) -> Iterable[bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return [archive.read(name) for name in archive.namelist()]
    except (zipfile.BadZipFile, ValueError):
        pass
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            return [file.read() for member in archive if (file := archive.extractfile(member)) is not None]
    except (tarfile.TarError, ValueError, EOFError):
        return []
