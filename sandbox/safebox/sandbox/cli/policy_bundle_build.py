"""`safebox policy bundle build`: policies as one file that people can sign."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from safebox.firewall.errors import ConfigError
from safebox.sandbox.cli.bundle_words import AsJson, about, tell, write_file
from safebox.sandbox.cli.console import print_json, say
from safebox.sandbox.cli.policy_check import Folders, policy_folders


def policy_bundle_build(
    version: Annotated[int, typer.Option("--version", metavar="N", help="Higher than any that was in force.", min=1)],
    folders: Folders = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Else policy-N.tar.gz.")] = None,
    as_json: AsJson = False,
) -> None:
    """Put the pack and these folders on top of it into one bundle, if they may come into force together.

    The same policies and version are the same bytes, on any machine.
    """
    from safebox.firewall.engines.signed import make_release
    from safebox.firewall.engines.validate import check

    checked = check(policy_folders(folders))
    if checked.problem is not None:
        raise ConfigError(checked.problem, remedy="safebox policy check says more", code="policy.refused")
    release = make_release(checked.bundle, version)
    path = out or Path(f"policy-{version}.tar.gz")
    write_file(path, release.encode())
    if as_json:
        print_json({"file": str(path), **about(release)})
        return
    tell(release)
    say(f"{path} is written. Next: safebox policy bundle sign {path} --key FILE")
