"""`safebox policy bundle sign`: one person's yes to one bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from safebox.sandbox.cli.bundle_words import AsJson, BundleFile, about, read_file, tell, write_file
from safebox.sandbox.cli.console import print_json, say
from safebox.sandbox.cli.words import clean


def policy_bundle_sign(
    file: BundleFile,
    key: Annotated[Path, typer.Option("--key", metavar="FILE", help="Your private key, of approvals keygen.")],
    as_json: AsJson = False,
) -> None:
    """Show what is in a bundle and add your signature to the file; nobody else's is lost."""
    from safebox.firewall.roster import read_signer

    signer = read_signer(key)
    signed = read_file(file).signed_by(signer)
    write_file(file, signed.encode())
    if as_json:
        print_json({"file": str(file), **about(signed)})
        return
    tell(signed)
    say(f"{clean(signer.name)} signed {file}.", style="green")
