"""Which folders judge: one base, and overlays on top of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from safebox.firewall.engines.pack import pack_folder


def policy_layers(named: Sequence[Path]) -> tuple[Path, ...]:
    """The folders in force when these are named: a base, then overlays in their order.

    The base is the first of them if that is itself a whole pack, else the pack that came with safebox. A folder named
    twice counts once, where it stands first. This is decided when it is asked, not when a folder changes later.

    Raises:
        PolicyUnavailable: if the pack that came with safebox is needed and not there.
    """
    folders = tuple(dict.fromkeys(folder.absolute() for folder in named))
    return folders if folders and is_pack(folders[0]) else (pack_folder(), *folders)


def is_pack(folder: Path) -> bool:
    """Whether a folder is a whole pack: it has the entrypoint that is asked."""
    return (folder / "safebox" / "main" / "main.rego").is_file()


def describe_layers(layers: Sequence[Path]) -> str:
    """Say in words for people which folders judge."""
    if not layers:
        return "no policy"
    base, overlays = layers[0], layers[1:]
    text = "the pack" if base == pack_folder() else str(base)
    return f"{text}, and over it {', '.join(map(str, overlays))}" if overlays else text
