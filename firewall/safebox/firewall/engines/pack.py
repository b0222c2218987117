"""Where the policy pack is that comes with safebox."""

from __future__ import annotations

from pathlib import Path

from safebox.firewall.errors import PolicyUnavailable


def pack_folder() -> Path:
    """Find the pack: beside the installed package, else in the checkout, never in the current directory.

    Raises:
        PolicyUnavailable: if it is in neither place.
    """
    package = Path(__file__).resolve().parents[2]
    for folder in (package / "policies", package.parents[1] / "policies"):
        if (folder / "safebox" / "main").is_dir():
            return folder
    raise PolicyUnavailable("no policy pack is installed", kind="missing", remedy="reinstall safebox-firewall")
