"""`safebox approvals keygen`: an approver's key."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from safebox.firewall.errors import ConfigError
from safebox.sandbox.cli.console import print_json


def approvals_keygen(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose key: lower-case letters, digits, '-' and '_'.")],
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="The private key's file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Make a key pair: keep the private half; the line that is printed goes below a [group] of approvers.toml."""
    import re

    from safebox.firewall.core.approval import Signer
    from safebox.firewall.core.holds import GROUP
    from safebox.firewall.roster import FILE_NAME, write_signer
    from safebox.firewall.settings import state_folder

    if re.fullmatch(GROUP, name) is None:
        raise ConfigError(f"{name!r} is no name", remedy="lower-case letters, digits, '-' and '_'")
    path = (out or _own_folder() / f"{name}.key").absolute()
    if path.resolve().is_relative_to(state_folder().resolve()):
        raise ConfigError(f"{path} is in the firewall's own folder", remedy="keep keys elsewhere: --out FILE")
    signer = Signer.make(name)
    write_signer(path, signer)
    line = f'{name} = "{signer.verifier.text()}"'
    if as_json:
        print_json({"name": name, "key": str(path), "public": signer.verifier.text(), "line": line})
        return
    sys.stderr.write(f"The private key is in {path}; nobody else may have it.\n")
    sys.stderr.write(f"This line goes below a group, as [owners], in {state_folder() / FILE_NAME}:\n")
    sys.stderr.flush()
    sys.stdout.write(f"{line}\n")


def _own_folder() -> Path:
    """`$XDG_CONFIG_HOME/safebox`, else `~/.config/safebox`."""
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "safebox"
