"""`safebox audit check-proof`: whether what `audit prove` printed is true; needs the public key and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from safebox.firewall.errors import ConfigError
from safebox.sandbox.cli.console import print_json, say


def audit_check_proof(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What safebox audit prove printed.")],
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="The public key; else this machine's.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the proved events, one JSON document a line.")] = False,
) -> None:
    """Check each proof of a file and say what it proves."""
    import msgspec

    from safebox.firewall.store.proof import Proof, check
    from safebox.sandbox.cli.audit_verify import read_key, read_text
    from safebox.sandbox.cli.event_lines import plain_line
    from safebox.sandbox.cli.state import ledger_path

    verifier = read_key(key, ledger_path())
    if verifier is None:
        raise ConfigError("there is no public key here", remedy="name it: --key FILE")
    lines = [line for line in read_text(file).split("\n") if line.strip()]
    if not lines:
        raise ConfigError(f"{file} has no proof in it", remedy="give what safebox audit prove printed")
    for line in lines:
        try:
            proof = msgspec.json.decode(line, type=Proof)
        except msgspec.DecodeError as error:
            raise ConfigError(f"{file} is no proof: {error}", remedy="give what safebox audit prove printed") from error
        event = check(proof, verifier)
        if as_json:
            print_json(event)
        else:
            say(f"proved, record {proof.index + 1}: {plain_line(event, with_run=True)}", style="green")
