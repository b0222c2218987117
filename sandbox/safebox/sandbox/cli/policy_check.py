"""`safebox policy check`: what is wrong with policies, before they come into force."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safebox.sandbox.cli.console import is_rich, print_json, say
from safebox.sandbox.cli.exit import CHECK_FAILED
from safebox.sandbox.cli.words import clean

if TYPE_CHECKING:
    from safebox.firewall.policytools import Finding

Folders = Annotated[
    list[Path] | None, typer.Argument(metavar="DIR", help="Overlays on top of the pack, or first a whole pack.")
]


def policy_check(
    folders: Folders = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Check the policies as they would be in force: the pack that came with safebox, and these folders on top."""
    import msgspec

    from safebox.firewall.policytools import check

    findings = check(policy_folders(folders))
    if as_json:
        print_json({"ok": not findings, "findings": msgspec.to_builtins(findings)})
    else:
        for finding in findings:
            _say(finding)
        count = f"{len(findings)} finding{'' if len(findings) == 1 else 's'}"
        say(count if findings else "The policies may come into force.", style="bold red" if findings else "green")
    if findings:
        raise typer.Exit(CHECK_FAILED)


def policy_folders(named: list[Path] | None) -> list[Path]:
    """The folders in force when these are named, as for `safebox serve --policies`."""
    from safebox.firewall.engines.layers import policy_layers

    return list(policy_layers(named or ()))


def _say(finding: Finding) -> None:
    line = f":{finding.line}" if finding.line else ""
    where = f"{clean(finding.file)}{line}: " if finding.file else ""
    bold, dim, end = ("\x1b[1m", "\x1b[2m", "\x1b[0m") if is_rich() else ("", "", "")
    say(f"{bold}{where}{end}{finding.code}: {clean(finding.message)}")
    if finding.remedy:
        say(f"{dim}  → {clean(finding.remedy)}{end}")
