"""`safebox init`: write a commented mandate to start from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from safebox.firewall.errors import ConfigError
from safebox.sandbox.cli.console import say


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The agent's folder; made if there is none.")] = Path(),
) -> None:
    """Write a commented safebox.toml that grants next to nothing, ready to be edited."""
    from safebox.firewall.mandate.file import FILE_NAME
    from safebox.firewall.mandate.template import template

    path = folder / FILE_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(template(_agent_name(folder)))
    except FileExistsError as error:
        raise ConfigError(f"{path} is there already", remedy="edit it, or name another folder") from error
    except OSError as error:
        raise ConfigError(f"{path} can't be written: {error.strerror}", remedy="name another folder") from error
    say(f"Wrote {path}. Edit it, then: safebox mandate check {path}")


def _agent_name(folder: Path) -> str:
    plain = re.sub(r"[^a-z0-9_-]+", "-", folder.resolve().name.lower()).strip("-_")
    return plain[:63] or "agent"
