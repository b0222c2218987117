"""The mandate in an agent's folder, as text: read before anything is made for it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from safebox.firewall.errors import ConfigError

MANDATE_NAME: Final = "safebox.toml"


def read_mandate(folder: Path) -> str:
    """The text of the folder's mandate.

    Raises:
        ConfigError: if there is none.
    """
    path = folder / MANDATE_NAME
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8", remedy="save it as UTF-8 text") from error
    except OSError as error:
        raise ConfigError(
            f"{path} can't be read: {error.strerror}", remedy="name a folder with a safebox.toml, or run safebox init"
        ) from error


def check_mandate(text: str, folder: Path) -> None:
    """See that a mandate is one, as the firewall does when a run starts, before anything is built or started for it.

    Raises:
        ConfigError: if it is wrong.
    """
    from datetime import UTC, datetime

    from safebox.firewall.mandate.file import load

    load(text, now=datetime.now(UTC), source=str(folder / MANDATE_NAME))
