"""What makes up one run: the texts that must not leave it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

FILES_MAX: Final = 500
"""Files of an agent's folder that are fingerprinted; an agent is small, its vendored libraries aren't it."""
FILE_BYTES_MAX: Final = 1_048_576
TOTAL_BYTES_MAX: Final = 8_388_608


def read_sources(folder: Path | None, texts: dict[str, str], *, inbox: str | None = None) -> dict[str, bytes]:
    """Read the agent's own files (links are not followed) and add texts such as its task.

    What is in the inbox came from others: quoting it is no copying of oneself.

    Files beyond the bounds are left out, in name order.
    """
    sources = {name: text.encode() for name, text in texts.items() if text}
    total = 0
    for path in _files(folder, inbox):
        content = _read(path)
        total += len(content)
        if total > TOTAL_BYTES_MAX or len(sources) >= FILES_MAX:
            break
        name = str(path.relative_to(folder or path))
        sources[f"./{name}" if name in sources else name] = content  # no file takes the place of a text
    return sources


def _files(folder: Path | None, inbox: str | None) -> list[Path]:
    if folder is None:
        return []
    found: list[Path] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name != "__pycache__"
            and (inbox is None or Path(parent, name) != folder / inbox)
        )
        found += [Path(parent, name) for name in sorted(names)]
    return [path for path in found if path.is_file() and not path.is_symlink()]


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(FILE_BYTES_MAX)
    except OSError:
        return b""
