"""What the commands about signed bundles have in common: reading and writing the file, and saying what is in it."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from safebox.firewall.errors import ConfigError
from safebox.sandbox.cli.console import say
from safebox.sandbox.cli.words import clean

if TYPE_CHECKING:
    from safebox.firewall.engines.signed import SignedBundle

BundleFile = Annotated[Path, typer.Argument(metavar="FILE", help="As policy bundle build wrote it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def read_bytes(path: Path) -> bytes:
    """The bytes of a bundle's file, if it isn't too large to be one.

    Raises:
        ConfigError: if it can't be read, or is.
    """
    from safebox.firewall.engines.archive import FILE_BYTES_MAX

    try:
        with path.open("rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        remedy = "name a file that safebox policy bundle build wrote"
        raise ConfigError(f"{path} can't be read: {error.strerror}", remedy=remedy) from error
    if len(raw) > FILE_BYTES_MAX:
        raise ConfigError(f"{path} has more than {FILE_BYTES_MAX} bytes", remedy="that is no policy bundle")
    return raw


def read_file(path: Path) -> SignedBundle:
    """The bundle in a file.

    Raises:
        ConfigError: if there is none.
    """
    from safebox.firewall.engines.signed import read_release

    return read_release(read_bytes(path))


def write_file(path: Path, raw: bytes) -> None:
    """Write a file, whole or not at all.

    Raises:
        ConfigError: if it can't be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        try:
            with temporary.open("xb") as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"{path} can't be written: {error.strerror}", remedy="name another: --out FILE") from error


def about(release: SignedBundle) -> dict[str, Any]:
    """What is in a bundle, for JSON."""
    return {
        "version": release.version,
        "bundle": release.bundle.digest,
        "content": release.content,
        "modules": len(release.bundle.modules),
        "relaxed": release.bundle.relaxed,
        "signatures": [{"name": each.name, "key": each.key} for each in release.signatures],
    }


def tell(release: SignedBundle) -> None:
    """What is in a bundle, for people."""
    rows = [
        ("version", str(release.version)),
        ("bundle", release.bundle.digest),
        ("content", release.content),
        ("modules", str(len(release.bundle.modules))),
        *(("relaxed", f"{clean(path)}: {clean(reason)}") for path, reason in release.bundle.relaxed.items()),
        *(("signed by", f"{clean(each.name)}, key {clean(each.key)}") for each in release.signatures),
    ]
    for name, text in rows:
        say(f"{name:9}  {text}")
